"""Results of a study, written for people and for programs."""

from gainstage.report.study._details import StudyDetails as StudyDetails
from gainstage.report.study._details import versions as versions
from gainstage.report.study._html import study_html as study_html
from gainstage.report.study._json import study_csv as study_csv
from gainstage.report.study._json import study_json as study_json
from gainstage.report.study._text import study_text as study_text
from gainstage.report.study._write import STUDY_FORMATS as STUDY_FORMATS
from gainstage.report.study._write import write_study as write_study

"""Reports: the findings of one check, written for people and for programs, and drawings for the terminal."""

from gainstage.report._math import readable as readable
from gainstage.report._template import check_installed as check_installed
from gainstage.report._write import FORMATS as FORMATS
from gainstage.report._write import write as write
from gainstage.report.chart import chart as chart
from gainstage.report.concise import concise as concise
from gainstage.report.details import Details as Details
from gainstage.report.details import Place as Place
from gainstage.report.fold import fold as fold
from gainstage.report.github import github as github
from gainstage.report.html import html as html
from gainstage.report.json import json_text as json_text
from gainstage.report.junit import junit as junit
from gainstage.report.sarif import sarif as sarif
from gainstage.report.text import text as text

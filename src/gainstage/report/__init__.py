"""Reports: the findings of one check, written for people and for programs, and drawings for the terminal."""

from gainstage.report._visible import visible as visible
from gainstage.report.chart import chart as chart
from gainstage.report.fold import fold as fold
from gainstage.report.json import json_text as json_text
from gainstage.report.text import text as text

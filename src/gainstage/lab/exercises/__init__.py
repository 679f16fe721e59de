"""Exercises: write it yourself, and have it compared with torch and with this library.

An exercise is one Markdown file of this folder. Its head gives title, lesson, minutes and points; its text is the task;
its blocks are `{starter}`, `{solution}`, `{tests}` and, step by step, `{hint}`. A test is a function whose docstring is
the line that a learner reads. What tests may say is in `_kit.py`; they run beside the learner's code in a process of
its own with limits of time and memory.

>>> from gainstage.lab import exercises
>>> exercises.load("relu").title
'ReLU, forward and backward'
"""

from gainstage.lab.exercises._cell_magic import load_ipython_extension as load_ipython_extension
from gainstage.lab.exercises._format import Exercise as Exercise
from gainstage.lab.exercises._format import load as load
from gainstage.lab.exercises._format import names as names
from gainstage.lab.exercises._format import of_lesson as of_lesson
from gainstage.lab.exercises._format import parse as parse
from gainstage.lab.exercises._grade import Grade as Grade
from gainstage.lab.exercises._grade import Line as Line
from gainstage.lab.exercises._grade import grade as grade
from gainstage.lab.exercises._widget import Attempt as Attempt
from gainstage.lab.exercises._widget import Widget as Widget
from gainstage.lab.exercises._widget import answer as answer
from gainstage.lab.exercises._widget import graded as graded
from gainstage.lab.exercises._widget import widget as widget

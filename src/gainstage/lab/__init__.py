"""The lessons, live on this library: `gainstage lab` serves them, `gainstage lab --export DIR` writes them.

`playground` beside them is one page that trains a network in the browser.

A lesson is one Markdown document in `lessons/` (`course` makes a page, a notebook and a test of it) or, where it was
not rewritten yet, one marimo file. Both hold prose and widgets only; every number, also in prose, is computed by public
functions of gainstage. A lesson goes: requirement, derivation, a version from scratch beside the library's, sliders
with `readout`, `table` and figures (`lines`, `points`, `bars`, `heat`, `by_layer`, `strip`), a prediction, a fix, lines
to take home and questions. What is shown is a `Block` or a `Figure`.

Of a marimo file the server, the export and the tests rely on these names:

- `LESSON` in the setup cell: `lab.lesson("l07_orthogonal")`; the table of these lessons is `_lessons.py`.
- `committed, commit = mo.state(None, allow_self_loops=True)`, `prediction` and `truth` of the prediction.
- `graded, grade = mo.state(None, allow_self_loops=True)` and `fix` of the exercise.
- `take_home`, the block with the lines to take home.

>>> from gainstage.lab import lesson
>>> lesson("l03_variance").number
3
"""

from gainstage.lab import coursework as coursework
from gainstage.lab import exercises as exercises
from gainstage.lab import networks as networks
from gainstage.lab._blocks import Block as Block
from gainstage.lab._blocks import Prose as Prose
from gainstage.lab._blocks import code as code
from gainstage.lab._blocks import note as note
from gainstage.lab._blocks import prose as prose
from gainstage.lab._blocks import readout as readout
from gainstage.lab._blocks import source as source
from gainstage.lab._blocks import stack as stack
from gainstage.lab._blocks import static as static
from gainstage.lab._blocks import table as table
from gainstage.lab._blocks import title as title
from gainstage.lab._controls import dropdown as dropdown
from gainstage.lab._controls import panel as panel
from gainstage.lab._controls import slider as slider
from gainstage.lab._dashboard import dashboard as dashboard
from gainstage.lab._dashboard import strip as strip
from gainstage.lab._data import Digits as Digits
from gainstage.lab._data import digits as digits
from gainstage.lab._data import draw as draw
from gainstage.lab._errors import LabError as LabError
from gainstage.lab._export import export as export
from gainstage.lab._figures import Figure as Figure
from gainstage.lab._figures import bars as bars
from gainstage.lab._figures import by_layer as by_layer
from gainstage.lab._figures import heat as heat
from gainstage.lab._figures import lines as lines
from gainstage.lab._figures import points as points
from gainstage.lab._fix import Code as Code
from gainstage.lab._fix import Fix as Fix
from gainstage.lab._fix import compiled as compiled
from gainstage.lab._fix import findings as findings
from gainstage.lab._fix import questions as questions
from gainstage.lab._fix import take_home as take_home
from gainstage.lab._judge import Demand as Demand
from gainstage.lab._judge import Judgement as Judgement
from gainstage.lab._judge import Trained as Trained
from gainstage.lab._judge import keeps_its_level as keeps_its_level
from gainstage.lab._judge import near_one_elsewhere as near_one_elsewhere
from gainstage.lab._judge import on_digits as on_digits
from gainstage.lab._lessons import Lesson as Lesson
from gainstage.lab._lessons import lesson as lesson
from gainstage.lab._predict import Predict as Predict
from gainstage.lab._serve import PORT as PORT
from gainstage.lab._serve import application as application
from gainstage.lab._serve import serve as serve
from gainstage.lab.course.widgets import Rows as Rows
from gainstage.lab.course.widgets import live as live
from gainstage.lab.course.widgets import repair as repair

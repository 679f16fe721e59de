"""The lessons, live on this library: `gainstage lab` serves them, `gainstage lab --export DIR` writes them.

`playground` beside them is one page that trains a network in the browser.

A lesson is one marimo file in `lessons/` and holds prose and widgets only; every number on its page, also in its prose,
is computed by public functions of gainstage. It goes: `title` (with the requirement), derivation (`prose`), a version
from scratch beside the library's (`code`), sliders (`slider`, `dropdown`, `panel`) with `readout`, `table` and charts
(`lines`, `points`, `bars`, `heat`), one `Predict`, one `Fix`, `take_home` and `questions`. What a cell shows is a
`Block`: live HTML for marimo and plain HTML for the export.

Names that the server, the export and the tests rely on, the same in every lesson:

- `LESSON` in the setup cell: `lab.lesson("l03_variance")`; the table of lessons is `_lessons.py`.
- `committed, commit = mo.state(None, allow_self_loops=True)`, `prediction` and `truth` of the prediction.
- `graded, grade = mo.state(None, allow_self_loops=True)` and `fix` of the exercise.
- `take_home`, the block with the lines to take home.

>>> from gainstage.lab import lesson
>>> lesson("l03_variance").number
3
"""

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
from gainstage.lab._charts import bars as bars
from gainstage.lab._charts import heat as heat
from gainstage.lab._charts import lines as lines
from gainstage.lab._charts import points as points
from gainstage.lab._controls import dropdown as dropdown
from gainstage.lab._controls import panel as panel
from gainstage.lab._controls import slider as slider
from gainstage.lab._data import Digits as Digits
from gainstage.lab._data import digits as digits
from gainstage.lab._data import draw as draw
from gainstage.lab._errors import LabError as LabError
from gainstage.lab._export import export as export
from gainstage.lab._fix import Code as Code
from gainstage.lab._fix import Fix as Fix
from gainstage.lab._fix import compiled as compiled
from gainstage.lab._fix import findings as findings
from gainstage.lab._fix import questions as questions
from gainstage.lab._fix import take_home as take_home
from gainstage.lab._lessons import Lesson as Lesson
from gainstage.lab._lessons import lesson as lesson
from gainstage.lab._predict import Predict as Predict
from gainstage.lab._serve import PORT as PORT
from gainstage.lab._serve import application as application
from gainstage.lab._serve import serve as serve

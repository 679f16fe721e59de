"""The whole model: what each parameter is, how it should start, and why."""

from gainstage._callable import make_callable
from gainstage.plan._assignment import Assignment as Assignment
from gainstage.plan._audit import Deviation as Deviation
from gainstage.plan._fingerprint import Fingerprint as Fingerprint
from gainstage.plan._fingerprint import drawn_box as drawn_box
from gainstage.plan._fingerprint import fingerprint as fingerprint
from gainstage.plan._forecast import Forecast as Forecast
from gainstage.plan._foresee import foresee as foresee
from gainstage.plan._make import initialize as initialize
from gainstage.plan._make import plan as plan
from gainstage.plan._make import plan_from as plan_from
from gainstage.plan._origin import KINDS as KINDS
from gainstage.plan._origin import Origin as Origin
from gainstage.plan._origin import Origins as Origins
from gainstage.plan._plan import Plan as Plan
from gainstage.plan.schemes import CLASSICAL as CLASSICAL

make_callable(__name__, plan)

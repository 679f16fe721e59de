"""The rules, one file a family; importing this package fills the catalogue."""

from gainstage.check.rules import backward as backward
from gainstage.check.rules import initialization as initialization
from gainstage.check.rules import levels as levels
from gainstage.check.rules import loss as loss
from gainstage.check.rules import nonfinite as nonfinite
from gainstage.check.rules import streams as streams
from gainstage.check.rules import units as units

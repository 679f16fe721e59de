"""INI1xx: how the parameters start."""

from gainstage.check.rules.initialization import memory as memory
from gainstage.check.rules.initialization import norms as norms
from gainstage.check.rules.initialization import recurrent as recurrent
from gainstage.check.rules.initialization import scale as scale
from gainstage.check.rules.initialization import tables as tables
from gainstage.check.rules.initialization import units as units

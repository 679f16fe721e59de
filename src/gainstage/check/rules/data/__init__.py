"""DAT6xx: the batch that the model is given."""

from gainstage.check.rules.data import overwritten as overwritten
from gainstage.check.rules.data import samples as samples
from gainstage.check.rules.data import scale as scale
from gainstage.check.rules.data import targets as targets
from gainstage.check.rules.data import values as values

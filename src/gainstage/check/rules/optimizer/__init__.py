"""OPT8xx: the optimizer and the step that it makes."""

from gainstage.check.rules.optimizer import direction as direction
from gainstage.check.rules.optimizer import loop as loop
from gainstage.check.rules.optimizer import members as members
from gainstage.check.rules.optimizer import rate as rate
from gainstage.check.rules.optimizer import settings as settings
from gainstage.check.rules.optimizer import watched as watched

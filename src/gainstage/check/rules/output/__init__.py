"""OUT5xx: outputs, targets and the loss."""

from gainstage.check.rules.output import initial as initial
from gainstage.check.rules.output import reachable as reachable
from gainstage.check.rules.output import shapes as shapes
from gainstage.check.rules.output import softmax as softmax
from gainstage.check.rules.output import summed as summed
from gainstage.check.rules.output import swapped as swapped
from gainstage.check.rules.output import twice as twice

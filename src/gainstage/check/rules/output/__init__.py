"""OUT5xx: outputs, targets and the loss."""

from gainstage.check.rules.output import initial as initial

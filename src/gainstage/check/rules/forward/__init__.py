"""FWD2xx: the signal on its way forward."""

from gainstage.check.rules.forward import levels as levels
from gainstage.check.rules.forward import narrow as narrow
from gainstage.check.rules.forward import nonfinite as nonfinite
from gainstage.check.rules.forward import softmax as softmax
from gainstage.check.rules.forward import streams as streams
from gainstage.check.rules.forward import units as units

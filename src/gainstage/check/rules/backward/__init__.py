"""BWD3xx: the gradient on its way back, and the parameters that it does not reach."""

from gainstage.check.rules.backward import concentrated as concentrated
from gainstage.check.rules.backward import depth as depth
from gainstage.check.rules.backward import missing as missing
from gainstage.check.rules.backward import nonfinite as nonfinite

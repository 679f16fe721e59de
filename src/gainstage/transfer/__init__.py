"""Two sizes of a model: what grows, and the start, rates and multipliers under which the large one is as the small."""

from gainstage._callable import make_callable
from gainstage.transfer._groups import Scaling as Scaling
from gainstage.transfer._groups import param_groups as param_groups
from gainstage.transfer._growth import KINDS as KINDS
from gainstage.transfer._judge import Coordinates as Coordinates
from gainstage.transfer._judge import Row as Row
from gainstage.transfer._multipliers import Multiplier as Multiplier
from gainstage.transfer._rates import Rates as Rates
from gainstage.transfer._resolve import Scaled as Scaled
from gainstage.transfer._rules import RULES as RULES
from gainstage.transfer._transfer import Transfer as Transfer
from gainstage.transfer._transfer import transfer as transfer

make_callable(__name__, transfer)

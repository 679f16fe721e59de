"""REG7xx: dropout, penalties and smoothing."""

from gainstage.check.rules.regularization import delivered as delivered
from gainstage.check.rules.regularization import dropout as dropout
from gainstage.check.rules.regularization import penalty as penalty
from gainstage.check.rules.regularization import smoothing as smoothing

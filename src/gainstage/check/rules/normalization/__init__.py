"""NRM4xx: normalization layers and their statistics."""

from gainstage.check.rules.normalization import biases as biases
from gainstage.check.rules.normalization import running as running
from gainstage.check.rules.normalization import settings as settings
from gainstage.check.rules.normalization import values as values

"""TRN9xx: a short training run, only where `train=True` asks for it."""

from gainstage.check.rules.trainability import control as control
from gainstage.check.rules.trainability import overfit as overfit
from gainstage.check.rules.trainability import seeds as seeds

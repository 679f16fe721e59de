"""Training: one small loop that hides nothing."""

from gainstage.train._batches import minibatches as minibatches
from gainstage.train._errors import TrainError as TrainError
from gainstage.train._evaluate import accuracy as accuracy
from gainstage.train._loop import Fit as Fit
from gainstage.train._loop import Step as Step
from gainstage.train._loop import fit as fit
from gainstage.train._loop import warmup as warmup

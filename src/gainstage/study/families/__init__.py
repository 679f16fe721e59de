"""Networks that an arm describes, for any data."""

from collections.abc import Callable

from torch import nn

from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study.families._cnn import cnn as cnn
from gainstage.study.families._mlp import mlp as mlp
from gainstage.study.families._resnet import resnet as resnet
from gainstage.study.families._rnn import rnn as rnn
from gainstage.study.families._transformer import transformer as transformer

FAMILIES: dict[str, Callable[[Arm, Data], nn.Module]] = {
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "transformer": transformer,
    "rnn": rnn,
}

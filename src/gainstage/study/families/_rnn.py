"""Recurrent networks over rows and time steps."""

from torch import Tensor, nn

import gainstage.nn as gnn
from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study._errors import StudyError
from gainstage.study.families._parts import check_kind
from gainstage.study.families._transformer import Tokens


def rnn(arm: Arm, data: Data) -> nn.Module:
    """An LSTM of `depth` layers of `width`, and a head on the last hidden state of its last layer.

    Steps are the rows of an image from above, or the points of a signal. Dropout follows every layer. An LSTM has its
    own activations, no normalization and no residual connections: these fields stay at their defaults.

    References:
        Hochreiter & Schmidhuber, *Long Short-Term Memory*, 1997.
    """
    check_kind(arm, "rnn")
    for name, default in (("norm", None), ("activation", "relu"), ("residual", False)):
        if (value := getattr(arm, name)) != default:
            raise StudyError(f"{name}={value!r} has no place in rnn, an LSTM, whose inside is fixed: leave {name} out.")
    if len(data.shape) == 1:
        raise StudyError(
            f"rnn needs signals [channels, length] or images [channels, height, width], and the samples of "
            f"{data.name!r} have shape {list(data.shape)}: use mlp or transformer."
        )
    return RNN(arm, data)


class RNN(nn.Module):
    """See `rnn`."""

    def __init__(self, arm: Arm, data: Data) -> None:
        super().__init__()
        self.steps = Tokens(data, pieces=data.shape[1])
        between = arm.dropout if arm.depth > 1 else 0.0
        self.lstm = nn.LSTM(self.steps.features, arm.width, arm.depth, batch_first=True, dropout=between)
        self.drop = gnn.Dropout(arm.dropout) if arm.dropout else nn.Identity()
        self.head = nn.Linear(arm.width, data.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, ...]` to `[n, outputs]`."""
        y: Tensor = self.head(self.drop(self.lstm(self.steps(x))[0][:, -1]))
        return y

"""Plain convolutions over images and signals."""

from torch import Tensor, nn

from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study._errors import StudyError
from gainstage.study.families._parts import activation, centres, check_kind, dropout, named_sequence, norm

SMALLEST = 4  # edge of a map that is not halved


def cnn(arm: Arm, data: Data) -> nn.Module:
    r"""`depth` convolutions of `width` channels, 3 wide, the mean over all positions, and a head.

    $$ x_{l+1} = \text{dropout}(\phi(\text{norm}(W_l * x_l + b_l))) $$

    Some of them, evenly spaced, step two positions at a time, as often as the shorter edge of the map stays at 4 or
    more: 8 by 8 images are halved once, signals of 40 points three times. A bias that a normalization would take
    away, as batch normalization does, is left out. Blocks of `"block"` are 3 wide.
    """
    check_kind(arm, "cnn")
    if arm.residual:
        raise StudyError("residual=True has no place in cnn: use resnet.")
    return CNN(arm, data)


class CNN(nn.Module):
    """See `cnn`."""

    def __init__(self, arm: Arm, data: Data) -> None:
        super().__init__()
        dims, halved = spatial(data, "cnn"), halvings(data.shape[1:], arm.depth)
        layers = []
        for i in range(arm.depth):
            own = None if arm.norm is None else norm(arm.norm, arm.width, "maps")
            channels = data.shape[0] if i == 0 else arm.width
            layers.append(
                named_sequence(
                    conv=conv(channels, arm.width, dims, stride=1 + (i in halved), bias=not centres(own)),
                    norm=own,
                    activation=activation(arm.activation),
                    drop=dropout(arm.dropout_kind, arm.dropout, dims) if arm.dropout else None,
                )
            )
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(arm.width, data.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, ...]` to `[n, outputs]`."""
        y: Tensor = self.head(self.layers(x).flatten(2).mean(-1))
        return y


def spatial(data: Data, family: str) -> int:
    """The number of axes that follow the channels: 1 or 2."""
    if len(data.shape) in (2, 3):
        return len(data.shape) - 1
    raise StudyError(
        f"{family} needs signals [channels, length] or images [channels, height, width], and the samples of "
        f"{data.name!r} have shape {list(data.shape)}: use mlp" + (" or transformer." if len(data.shape) == 1 else ".")
    )


def halvings(sizes: tuple[int, ...], depth: int) -> set[int]:
    """Which of `depth` layers halve a map of these sizes, never the first: as many as leave its edges at `SMALLEST`.

    Example:
        >>> halvings((8, 8), 4), sorted(halvings((40,), 8))
        ({2}, [2, 4, 6])
    """
    count, edge = 0, min(sizes)
    while (edge := -(-edge // 2)) >= SMALLEST and count < depth - 1:
        count += 1
    return {(k + 1) * depth // (count + 1) for k in range(count)}


def conv(inputs: int, outputs: int, dims: int, *, stride: int = 1, bias: bool = True) -> nn.Module:
    """A convolution 3 wide that keeps the size of the map, or halves it with stride 2."""
    return (nn.Conv1d, nn.Conv2d)[dims - 1](inputs, outputs, 3, stride=stride, padding=1, bias=bias)

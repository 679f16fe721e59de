"""Residual networks in pre-activation order, over images and signals."""

from torch import Tensor, nn

from gainstage.nn import depth_rates
from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study.families._cnn import conv, halvings, spatial
from gainstage.study.families._parts import activation, centres, check_kind, dropout, named_sequence, norm


def resnet(arm: Arm, data: Data) -> nn.Module:
    r"""A stem, `depth` residual blocks of two convolutions, 3 wide with `width` channels, and a head.

    $$ x_{l+1} = s(x_l) + \text{path}(W_2 * d(\phi(\text{norm}(W_1 * \phi(\text{norm}(x_l)))))) $$

    Pre-activation order: nothing stands on the way of $x$, also without a normalization, and a block whose branch
    answers zeros is the identity. Some blocks halve the map, as in `cnn`; there the short way $s$ takes every second
    position, has no weights, and elsewhere is the identity. After the blocks come a normalization, the activation,
    the mean over positions and the head: 2 `depth` + 2 weights in all. A bias that normalizations would take away, as
    batch normalization does, is left out. Dropout $d$ stands in front of the second convolution; blocks of `"block"`
    are 3 wide; the rates of `"path"` rise linearly with depth. `residual` changes nothing: it is always on.

    References:
        He, Zhang, Ren, Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016.
        Zagoruyko & Komodakis, *Wide Residual Networks*, BMVC 2016 (dropout between the convolutions).
    """
    check_kind(arm, "resnet")
    return ResNet(arm, data)


class ResNet(nn.Module):
    """See `resnet`."""

    def __init__(self, arm: Arm, data: Data) -> None:
        super().__init__()
        dims, halved = spatial(data, "resnet"), halvings(data.shape[1:], arm.depth + 1)
        rates = depth_rates(arm.dropout, arm.depth)
        self.stem = conv(data.shape[0], arm.width, dims, bias=not centres(_norm(arm)))
        self.blocks = nn.Sequential(*(Block(arm, dims, 1 + (i + 1 in halved), rates[i]) for i in range(arm.depth)))
        self.last = named_sequence(norm=_norm(arm), activation=activation(arm.activation))
        self.head = nn.Linear(arm.width, data.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, channels, ...]` to `[n, outputs]`."""
        y: Tensor = self.head(self.last(self.blocks(self.stem(x))).flatten(2).mean(-1))
        return y


class Block(nn.Module):
    """A basic block whose short way takes every `stride`-th position."""

    def __init__(self, arm: Arm, dims: int, stride: int, rate: float) -> None:
        super().__init__()
        self.stride = stride
        bias, path = not centres(_norm(arm)), arm.dropout_kind == "path"
        self.branch = named_sequence(
            norm1=_norm(arm),
            activation1=activation(arm.activation),
            conv1=conv(arm.width, arm.width, dims, stride=stride, bias=bias),
            norm2=_norm(arm),
            activation2=activation(arm.activation),
            drop=dropout(arm.dropout_kind, arm.dropout, dims) if arm.dropout and not path else None,
            conv2=conv(arm.width, arm.width, dims, bias=bias),
            path=dropout("path", rate) if arm.dropout and path else None,
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[n, width, ...]`, kept, or halved in each of the last axes."""
        short = x
        if self.stride > 1:
            short = x[:, :, :: self.stride] if x.dim() == 3 else x[:, :, :: self.stride, :: self.stride]
        y: Tensor = short + self.branch(x)
        return y


def _norm(arm: Arm) -> nn.Module | None:
    return None if arm.norm is None else norm(arm.norm, arm.width, "maps")

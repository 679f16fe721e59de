"""Fully connected layers."""

from math import prod

from torch import Tensor, nn

import gainstage.nn as gnn
from gainstage.nn import depth_rates
from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study.families._parts import Residual, activation, centres, check_kind, dropout, named_sequence, norm


def mlp(arm: Arm, data: Data) -> nn.Module:
    r"""`depth` hidden layers of `width`, and a head; samples of any shape, laid flat.

    $$ x_{l+1} = \text{dropout}(\phi(\text{norm}(W_l x_l + b_l))) $$

    With `residual`, every hidden layer after the first is bypassed, in pre-activation order, and the last activation
    stands before the head. The number of weights and normalizations is the same.

    $$ x_{l+1} = x_l + \text{path}(W_l\, \text{dropout}(\phi(\text{norm}(x_l))) + b_l) $$

    A bias that a normalization would take away, as
    batch normalization does, is left out. `"connect"` drops hidden weights, one mask a sample.
    The rates of `"path"` rise linearly with depth.
    """
    check_kind(arm, "mlp")
    return MLP(arm, prod(data.shape), data.outputs)


class MLP(nn.Module):
    """See `mlp`."""

    def __init__(self, arm: Arm, inputs: int, outputs: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(*(_residual(arm, inputs) if arm.residual else _plain(arm, inputs)))
        self.head = nn.Linear(arm.width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, *shape]` to `[n, outputs]`."""
        y: Tensor = self.head(self.layers(self.flatten(x)))
        return y


def _plain(arm: Arm, inputs: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i in range(arm.depth):
        own = _norm(arm)
        linear = _linear(arm, inputs if i == 0 else arm.width, bias=not centres(own))
        layers.append(named_sequence(linear=linear, norm=own, activation=activation(arm.activation), drop=_drop(arm)))
    return layers


def _residual(arm: Arm, inputs: int) -> list[nn.Module]:
    """The first layer, the bypassed ones, and the last activation."""
    bias = not centres(_norm(arm))
    layers: list[nn.Module] = [_linear(arm, inputs, bias=bias)]
    for rate in depth_rates(arm.dropout, arm.depth - 1):
        path = dropout("path", rate) if arm.dropout_kind == "path" and arm.dropout else None
        linear = _linear(arm, arm.width, bias=bias)
        layers.append(
            Residual(
                named_sequence(
                    norm=_norm(arm), activation=activation(arm.activation), drop=_drop(arm), linear=linear, path=path
                )
            )
        )
    return [*layers, named_sequence(norm=_norm(arm), activation=activation(arm.activation), drop=_drop(arm))]


def _norm(arm: Arm) -> nn.Module | None:
    return None if arm.norm is None else norm(arm.norm, arm.width, "vectors")


def _drop(arm: Arm) -> nn.Module | None:
    elsewhere = arm.dropout_kind in ("connect", "path")
    return dropout(arm.dropout_kind, arm.dropout) if arm.dropout and not elsewhere else None


def _linear(arm: Arm, inputs: int, *, bias: bool) -> nn.Module:
    linear = nn.Linear(inputs, arm.width, bias=bias)
    return gnn.DropConnect(linear, arm.dropout) if arm.dropout and arm.dropout_kind == "connect" else linear

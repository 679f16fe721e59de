"""In place, with torch's own random numbers: a drop-in superset of `torch.nn.init`.

What torch has is torch's own, so that the same `torch.manual_seed` gives the same numbers; only what torch refuses is
added (gains of every activation, orthogonal matrices in bfloat16). What torch lacks takes one seed from the torch
generator and fills from the keyed stream of that seed.
"""

from math import sqrt

import torch
from torch import Tensor, nn

from . import _attention, _classical, _depth, _orthogonal, _patterns, _scaling, _truncated
from ._fans import fans
from ._fill import fill_
from ._gain import calculate_gain
from ._law import Law

Generator = torch.Generator | None

constant_, ones_, zeros_, eye_, dirac_ = (
    nn.init.constant_,
    nn.init.ones_,
    nn.init.zeros_,
    nn.init.eye_,
    nn.init.dirac_,
)
uniform_, normal_, trunc_normal_, sparse_ = (
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.sparse_,
)
xavier_uniform_, xavier_normal_ = nn.init.xavier_uniform_, nn.init.xavier_normal_
glorot_uniform_, glorot_normal_ = xavier_uniform_, xavier_normal_

_TORCH_GAINS = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator = None
) -> Tensor:
    """`torch.nn.init.kaiming_uniform_` for every activation that `gain` knows.

    Args:
        tensor: at least 2 dimensions.
        a: negative slope, for `"leaky_relu"`.
        mode: `"fan_in"` or `"fan_out"`.
        nonlinearity: torch's names have torch's gains (tanh 5/3), all others the exact one.
        generator: of torch; default: the global one.

    Returns:
        `tensor`.

    Example:
        >>> kaiming_uniform_(torch.empty(8, 4), nonlinearity="gelu").shape
        torch.Size([8, 4])
    """
    if _torch_knows(nonlinearity) or tensor.numel() == 0:
        return nn.init.kaiming_uniform_(tensor, a, mode, nonlinearity, generator)  # type: ignore[arg-type]
    bound = sqrt(3) * calculate_gain(nonlinearity) / sqrt(_fan(tensor, mode))
    return nn.init.uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator = None
) -> Tensor:
    """`torch.nn.init.kaiming_normal_` for every activation that `gain` knows; arguments as `kaiming_uniform_`.

    Example:
        >>> kaiming_normal_(torch.empty(8, 4), nonlinearity="silu").shape
        torch.Size([8, 4])
    """
    if _torch_knows(nonlinearity) or tensor.numel() == 0:
        return nn.init.kaiming_normal_(tensor, a, mode, nonlinearity, generator)  # type: ignore[arg-type]
    return nn.init.normal_(tensor, 0.0, calculate_gain(nonlinearity) / sqrt(_fan(tensor, mode)), generator)


he_uniform_, he_normal_ = kaiming_uniform_, kaiming_normal_


def orthogonal_(
    tensor: Tensor, gain: float = 1, generator: Generator = None, *, scale: str = "singular", heads: int = 1
) -> Tensor:
    """`torch.nn.init.orthogonal_` in any dtype, per head, and at the scale of `fan_in` if asked.

    float32 and float64 with neither are torch's own matrices; everything else is the law `orthogonal`.

    Args:
        tensor: at least 2 dimensions.
        gain: multiplies every entry.
        generator: of torch; default: the global one.
        scale: as for the law `orthogonal`.
        heads: as for the law `orthogonal`.

    Returns:
        `tensor`.

    Example:
        >>> orthogonal_(torch.empty(8, 4, dtype=torch.bfloat16)).dtype
        torch.bfloat16
    """
    if scale == "singular" and heads == 1 and tensor.dtype in (torch.float32, torch.float64):
        return nn.init.orthogonal_(tensor, gain, generator)
    return _drawn(tensor, _orthogonal.orthogonal(gain, scale, heads), generator)


def lecun_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """In place: the law `lecun_normal`."""
    return _drawn(tensor, _classical.lecun_normal(gain), generator)


def lecun_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator = None) -> Tensor:
    """In place: the law `lecun_uniform`."""
    return _drawn(tensor, _classical.lecun_uniform(gain), generator)


def variance_scaling_(
    tensor: Tensor,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    generator: Generator = None,
) -> Tensor:
    """In place: the law `variance_scaling`."""
    return _drawn(tensor, _scaling.variance_scaling(scale, mode, distribution), generator)


def truncated_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, cut: float = 2.0, generator: Generator = None
) -> Tensor:
    """In place: the law `truncated_normal`, whose result has the standard deviation `std`, unlike JAX's and timm's."""
    return _drawn(tensor, _truncated.truncated_normal(mean, std, cut), generator)


def small_normal_(tensor: Tensor, std: float = 0.02, generator: Generator = None) -> Tensor:
    """In place: the law `small_normal`."""
    return _drawn(tensor, _depth.small_normal(std), generator)


def scaled_normal_(tensor: Tensor, n_layers: int, sigma: float = 0.02, generator: Generator = None) -> Tensor:
    """In place: the law `scaled_normal`."""
    return _drawn(tensor, _depth.scaled_normal(n_layers, sigma), generator)


def gpt2_residual_(tensor: Tensor, n_layers: int, generator: Generator = None) -> Tensor:
    """In place: the law `gpt2_residual`."""
    return _drawn(tensor, _depth.gpt2_residual(n_layers), generator)


def fixup_(tensor: Tensor, n_branches: int, n_weights: int = 2, generator: Generator = None) -> Tensor:
    """In place: the law `fixup`."""
    return _drawn(tensor, _depth.fixup(n_branches, n_weights), generator)


def delta_orthogonal_(
    tensor: Tensor, gain: float = 1.0, generator: Generator = None, *, scale: str = "singular", groups: int = 1
) -> Tensor:
    """In place: the law `delta_orthogonal`."""
    return _drawn(tensor, _orthogonal.delta_orthogonal(gain, scale, groups), generator)


def mirrored_(
    tensor: Tensor, gain: float = 1.0, rows: bool = True, columns: bool = True, generator: Generator = None
) -> Tensor:
    """In place: the law `mirrored`."""
    return _drawn(tensor, _orthogonal.mirrored(gain, rows, columns), generator)


def identity_(tensor: Tensor, gain: float = 1.0, groups: int = 1) -> Tensor:
    """In place: the law `identity`."""
    return fill_(tensor, _patterns.identity(gain, groups), name="")


def zero_(tensor: Tensor) -> Tensor:
    """In place: the law `zero` (ZerO), which is not `zeros_`."""
    return fill_(tensor, _patterns.zero(), name="")


def mimetic_(
    q: Tensor,
    k: Tensor,
    v: Tensor | None = None,
    o: Tensor | None = None,
    *,
    heads: int = 1,
    generator: Generator = None,
) -> None:
    """In place: the law `mimetic` on the projections of one attention layer, two or four of them."""
    seed = _seed(generator)
    for part, tensor in zip("qkvo", (q, k, v, o), strict=True):
        if tensor is not None:
            fill_(tensor, _attention.mimetic(part, heads, pair="attention"), seed=seed, name=part)


def _drawn(tensor: Tensor, law: Law, generator: Generator) -> Tensor:
    """Fill from the keyed stream of a seed that the torch generator gives; nothing is drawn for no elements."""
    if tensor.numel() == 0:
        return tensor
    law.check(tuple(tensor.shape))
    return fill_(tensor, law, seed=_seed(generator), name="")


def _seed(generator: Generator) -> int:
    device = generator.device if generator is not None else "cpu"
    return int(torch.randint(2**63 - 1, (), generator=generator, device=device))


def _torch_knows(nonlinearity: str) -> bool:
    return nonlinearity in _TORCH_GAINS or nonlinearity.startswith("conv")


def _fan(tensor: Tensor, mode: str) -> float:
    fan_in, fan_out = fans(tensor)
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out'; got {mode!r}")
    return fan_in if mode.lower() == "fan_in" else fan_out

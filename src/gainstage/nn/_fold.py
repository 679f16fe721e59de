"""Batch normalization folded into the layer before it, for inference."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from gainstage.nn._errors import LayerError
from gainstage.nn._frozen import FrozenBatchNorm

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def fold_conv_bn(conv: nn.Module, norm: nn.Module) -> nn.Module:
    r"""One convolution or linear layer that computes `norm(conv(x))` as `norm` does in evaluation.

    $$ s = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \qquad W' = s\,W, \qquad b' = s\,(b - \mu) + \beta $$

    with $s$ along the output channels. Computed in float64 and rounded once.

    Args:
        conv: `Conv1d` to `Conv3d`, `ConvTranspose1d` to `ConvTranspose3d`, with any groups, or a `Linear` whose output
            is `[N, C]`.
        norm: batch normalization with running statistics, of `torch.nn` or `gainstage.nn`, or a frozen one.

    Returns:
        A new layer of the kind of `conv`, with a bias. Both arguments are left as they are.

    Raises:
        LayerError: another kind of layer, other channels, or no running statistics.

    Example:
        >>> conv, norm, x = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), torch.randn(2, 3, 8, 8)
        >>> expected = norm.eval()(conv(x))
        >>> torch.allclose(fold_conv_bn(conv, norm)(x), expected, atol=1e-6)
        True

    References:
        Jacob et al., *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
        CVPR 2018, section 3.2.
    """
    if (why := _not_foldable(conv)) or (why := _no_constant(norm)):
        raise LayerError(why)
    weight, bias = conv.weight, conv.bias
    assert isinstance(weight, Tensor)
    mean, var, gamma, beta = (
        _double(getattr(norm, name)) for name in ("running_mean", "running_var", "weight", "bias")
    )
    assert mean is not None
    assert var is not None
    channels = conv.out_features if isinstance(conv, nn.Linear) else conv.out_channels
    if len(mean) != channels:
        raise LayerError(f"the layer gives {channels} channels and the normalization takes {len(mean)}")
    scale = (var + norm.eps).rsqrt()  # type: ignore[operator]
    scale = scale if gamma is None else scale * gamma
    shift = -mean if bias is None else bias.detach().double() - mean  # type: ignore[operator]
    shift = shift * scale if beta is None else shift * scale + beta
    folded = deepcopy(conv)
    folded.weight = nn.Parameter(_scaled(conv, weight.detach().double(), scale).to(weight.dtype), weight.requires_grad)
    folded.bias = nn.Parameter(shift.to(weight.dtype), weight.requires_grad)
    return folded


def fold_batchnorm(model: nn.Module, example: Any) -> nn.Module:
    """A copy of `model` for inference, in which every batch normalization behind a convolution or linear layer is gone.

    The pairs are found by running the model: the normalization, and nothing else, reads the very tensor that the layer
    gave, every time either of them runs. The normalization becomes an `nn.Identity`; one that is in no pair stays, as
    do those before a convolution. The output of the copy on `example` is compared with the model's in float64, where
    the model runs in it: a difference above the square root of the precision is an error, not a result.

    Args:
        model: any module that runs.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).

    Returns:
        The folded copy in evaluation mode; `model` is left as it is.

    Raises:
        LayerError: there is nothing to fold, or folding changes the output.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
        >>> fold_batchnorm(model, torch.randn(8, 3))[1]
        Identity()
    """
    model = deepcopy(model).eval()
    pairs = _pairs(model, example)
    if not pairs:
        raise LayerError("no batch normalization alone reads a convolution or linear layer here: nothing to fold")
    try:
        exact, given = deepcopy(model).double(), tree_map(_in_double, example)
        expected = _outputs(exact, given)
    except (RuntimeError, TypeError):  # a device without float64, or a dtype that is written into the model
        exact, given = model, example
        expected = _outputs(model, example)
    if (far := _distance(_outputs(_folded(exact, pairs), given), expected)) > 1:
        places = ", ".join(f"{norm!r} into {conv!r}" for conv, norm in pairs)
        raise LayerError(
            f"folding {places} changes the output, {far:.2g} times as much as rounding may. Is the model the same "
            "function twice, and does it read weights of its layers otherwise? Fold single pairs with fold_conv_bn"
        )
    return _folded(model, pairs)


def _scaled(conv: nn.Module, weight: Tensor, scale: Tensor) -> Tensor:
    """`weight` times `scale` along the output channels."""
    if not isinstance(conv, _TRANSPOSED):
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    groups = conv.groups  # stored as [in, out / groups, ...], the groups one after another along the first axis
    by_group = weight.reshape(groups, -1, *weight.shape[1:])
    return (by_group * scale.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))).reshape(weight.shape)


class _Watch(TorchFunctionMode):
    """Who reads the outputs of some layers: the normalization that is running, or anything else."""

    def __init__(self, layers: list[nn.Module], norms: list[nn.Module]) -> None:
        super().__init__()
        self.readers: dict[nn.Module, set[nn.Module | None]] = {layer: set() for layer in layers}
        self.read: dict[nn.Module, set[nn.Module | None]] = {norm: set() for norm in norms}
        self._given: dict[int, tuple[nn.Module, Tensor]] = {}  # by identity of the tensor, which is kept alive
        self._inside: nn.Module | None = None
        self._handles = [layer.register_forward_hook(self._after) for layer in layers]
        self._handles += [norm.register_forward_pre_hook(self._enter) for norm in norms]
        self._handles += [norm.register_forward_hook(self._leave) for norm in norms]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):  # not a shape, not a dtype
            for leaf in tree_leaves((args, kwargs)):
                layer, _ = self._given.get(id(leaf), (None, None))
                if layer is not None:
                    self.readers[layer].add(self._inside)
        return result

    def _after(self, layer: nn.Module, args: Any, output: Tensor) -> None:
        if isinstance(layer, nn.Linear) and output.dim() != 2:
            self.readers[layer].add(None)  # its channels are on the last axis, those of the normalization on the second
        self._given[id(output)] = layer, output

    def _enter(self, norm: nn.Module, args: tuple[Any, ...]) -> None:
        self._inside = norm
        self.read[norm].add(self._given.get(id(args[0]), (None, None))[0] if args else None)

    def _leave(self, norm: nn.Module, args: Any, output: Tensor) -> None:
        self._inside = None

    def outputs_of(self, layer: nn.Module) -> set[int]:
        return {key for key, (giver, _) in self._given.items() if giver is layer}

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


def _pairs(model: nn.Module, example: Any) -> list[tuple[str, str]]:
    """Names of the layers, and of the normalizations that alone read them."""
    names = {module: name for name, module in model.named_modules()}
    watch = _Watch([m for m in names if not _not_foldable(m)], [m for m in names if not _no_constant(m)])
    try:
        with watch:
            outputs = {id(leaf) for leaf in _outputs(model, example)}
    finally:
        watch.remove()
    found = []
    for layer, readers in watch.readers.items():
        norm = next(iter(readers)) if len(readers) == 1 else None
        if norm is not None and watch.read[norm] == {layer} and not outputs & watch.outputs_of(layer):
            found.append((names[layer], names[norm]))
    return found


def _folded(model: nn.Module, pairs: list[tuple[str, str]]) -> nn.Module:
    copy = deepcopy(model)
    old = {name: copy.get_submodule(name) for pair in pairs for name in pair}
    new: dict[nn.Module, nn.Module] = {}
    for conv, norm in pairs:
        new |= {old[conv]: fold_conv_bn(old[conv], old[norm]), old[norm]: nn.Identity()}
    for module in list(copy.modules()):
        for name, child in module._modules.items():
            if child in new:
                module._modules[name] = new[child].eval()
    return copy


def _outputs(model: nn.Module, example: Any) -> list[Any]:
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        if isinstance(example, dict):
            return tree_leaves(model(**example))
        return tree_leaves(model(*example) if isinstance(example, tuple) else model(example))


def _in_double(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


def _distance(ours: list[Any], theirs: list[Any]) -> float:
    """The largest difference of two outputs, in units of what is allowed."""
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, Tensor) and b.is_floating_point() and b.numel():
            precision = torch.finfo(b.dtype).eps ** (0.5 if b.dtype == torch.float64 else 0.25)  # the depth amplifies
            allowed = precision * max(b.abs().max().item(), torch.finfo(b.dtype).tiny)
            far = (a - b).abs().max().item() / allowed
            worst = max(worst, far if far == far else float("inf"))
    return worst


def _not_foldable(layer: nn.Module) -> str:
    """Why nothing can be folded into this layer; empty where it can."""
    if type(layer) not in (*_CONVS, *_TRANSPOSED, nn.Linear):  # a derived class may compute something else
        return f"expected a convolution or linear layer of torch.nn, got {type(layer).__name__}"
    return (
        "the layer has hooks, which may change its weight" if layer._forward_pre_hooks or layer._forward_hooks else ""
    )


def _no_constant(norm: nn.Module) -> str:
    """Why this layer is no constant scale and shift in evaluation; empty where it is."""
    known = isinstance(norm, _NormBase | FrozenBatchNorm) and not isinstance(norm, _InstanceNorm)
    if not known and type(norm).__name__ != "FrozenBatchNorm2d":  # torchvision's and detectron2's
        return f"expected batch normalization, got {type(norm).__name__}"
    return "the normalization has no running statistics" if norm.running_mean is None else ""


def _double(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().double()

"""Monte Carlo dropout: sample a trained network as in training, with everything else as in evaluation."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import CodeType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from gainstage.nn.drop._mask import Drop

_LAYERS = (
    Drop,
    _DropoutNd,
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
)
_FUNCTIONS: dict[Callable[..., Any], inspect.Signature] = {
    function: inspect.signature(function)
    for function in (
        F.dropout,
        F.dropout1d,
        F.dropout2d,
        F.dropout3d,
        F.alpha_dropout,
        F.feature_alpha_dropout,
        F.multi_head_attention_forward,
        F.batch_norm,
    )
}
_BUILTINS = frozenset(
    getattr(torch, name + ending)
    for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    for ending in ("", "_")
) | {torch.native_dropout}
_DROPS = re.compile("drop|stochastic", re.IGNORECASE)


@contextmanager
def mc_dropout(
    model: nn.Module,
    *,
    exclude: Collection[nn.Module | type[nn.Module]] = (),
    generator: torch.Generator | None = None,
) -> Iterator[nn.Module]:
    """Inside the block `model` draws its dropout, and everything else is in evaluation mode.

    What draws, whatever the flags said before:

    - the layers of `gainstage.nn.drop` and torch's dropout modules;
    - the dropout inside `nn.MultiheadAttention`, `nn.TransformerEncoderLayer` and `DecoderLayer` (whose fast path,
      which leaves dropout out, is not taken), and between the layers of `nn.LSTM`, `nn.GRU` and `nn.RNN`;
    - functional dropout: `F.dropout(x, p, training=False)` and its relatives. `scaled_dot_product_attention` applies
      its `dropout_p` always;
    - modules that read `self.training` in a `forward` that mentions something named `drop` or `stochastic`, such as
      `dropout_p=self.dropout if self.training else 0.0`: their own flag, not that of their children, is set.

    Normalization stays in evaluation, `F.batch_norm(..., training=self.training)` beside a functional dropout too.
    A compiled model is compiled anew inside; one that was scripted or exported keeps its functional calls.

    Args:
        model: any module.
        exclude: modules or module classes that stay in evaluation mode, with the functional dropout called while they
            run, for instance a detector whose `forward` returns losses in training. Dropout layers inside draw.
        generator: makes the block reproducible: it gives the seed of torch's generators inside, whose states are put
            back afterwards.

    Returns:
        A context manager that gives `model`. Every training flag is as before afterwards, also after an exception.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval()
        >>> x = torch.ones(1, 4)
        >>> with mc_dropout(model):
        ...     samples = torch.stack([model(x) for _ in range(20)])
        >>> samples.shape, bool((samples.std(0) > 0).any()), model[1].training
        (torch.Size([20, 1, 4]), True, False)

    References:
        Gal, Ghahramani, *Dropout as a Bayesian Approximation*, ICML 2016.
    """
    modules = list(model.modules())
    before = [module.training for module in modules]
    kinds = tuple(entry for entry in exclude if isinstance(entry, type))
    single = {id(entry) for entry in exclude if not isinstance(entry, type)}
    with ExitStack() as stack:
        if generator is not None:
            seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
            stack.enter_context(torch.random.fork_rng(_devices()))
            torch.manual_seed(seed)
        functional = _Functional()
        try:
            for module in modules:
                excluded = id(module) in single or isinstance(module, kinds)
                module.training = not excluded and (isinstance(module, _LAYERS) or _drops_by_itself(type(module)))
                if excluded:
                    functional.pause_in(module, stack)
            stack.enter_context(functional)
            yield model
        finally:
            for module, flag in zip(modules, before, strict=True):
                module.training = flag


class _Functional(TorchFunctionMode):
    """Sets the `training` of every functional dropout and batch norm, except while a module runs that is left out."""

    def __init__(self) -> None:
        super().__init__()
        self._paused = 0

    def pause_in(self, module: nn.Module, stack: ExitStack) -> None:
        """Do nothing while `module` runs, until `stack` is closed."""

        def count(change: int) -> None:
            self._paused += change

        stack.callback(module.register_forward_pre_hook(lambda *_: count(1)).remove)
        stack.callback(module.register_forward_hook(lambda *_: count(-1), always_call=True).remove)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if self._paused:
            return func(*args, **kwargs)
        if func in _FUNCTIONS:
            call = _FUNCTIONS[func].bind(*args, **kwargs)
            call.arguments["training"] = func is not F.batch_norm or call.arguments["running_mean"] is None
            return func(*call.args, **call.kwargs)
        if func in _BUILTINS:
            kwargs.pop("train", None)
            args = args[:2] if "p" not in kwargs else args[:1]
            return func(*args, **kwargs, train=True)
        return func(*args, **kwargs)


def _drops_by_itself(kind: type[nn.Module]) -> bool:
    """Whether the forward of this class reads the training flag beside something that drops."""
    code = getattr(inspect.unwrap(kind.forward), "__code__", None)
    names = _names(code) if isinstance(code, CodeType) else set()
    return "training" in names and any(_DROPS.search(name) for name in names)


def _names(code: CodeType) -> set[str]:
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return {*code.co_names, *code.co_varnames, *code.co_freevars}.union(*inner)


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]

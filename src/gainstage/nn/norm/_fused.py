"""When a derivative written by hand is run, and when the formula is.

A layer here is a formula in plain torch operations. In eager mode autograd would keep five copies of the input for it
and walk over memory a dozen times, so an `autograd.Function` computes the same in fewer passes. Everywhere else the
formula runs: the compiler fuses it better than we can, and whoever records, transforms or differentiates it twice sees
operations that torch knows.

On the CPU the hand-written passes go over a few samples at a time, so that all but the first find them in the cache,
and nothing of the size of the input is made but the output: new memory costs more there than the arithmetic. They are
made of operations that torch vectorizes: `addcmul` with a number for each channel takes twice as long as `mul` and
`add`, a comparison and a multiplication by its result thrice as long as `sub`, `sign` and `mul`.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import has_torch_function

_BLOCK = 1 << 17  # elements that stay in a second-level cache beside what is computed from them


def by_hand(x: Tensor) -> bool:
    """Whether a derivative written by hand may run: eager mode, plain tensors, no transform and nothing looking on."""
    return (
        not torch.compiler.is_compiling()
        and type(x) in (Tensor, torch.nn.Parameter)
        and not has_torch_function((x,))
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._functorch.is_legacy_batchedtensor(x)
        and forward_ad._current_level < 0
    )


def pulled_back(formula: Callable[..., Tensor], gradient: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of `formula` at `inputs`, such that they can be differentiated again where that is asked.

    By torch's own derivatives of its operations, so that `gradient` may be a whole batch of gradients.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        leaves = [t if again and t.requires_grad else t.detach().requires_grad_() for t in inputs]
        return torch.autograd.grad(formula(*leaves), leaves, gradient, create_graph=again)


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same few samples of each tensor, in turn."""
    return zip(*(torch.split(tensor, _samples(tensors[0])) for tensor in tensors), strict=True)


def workspace(x: Tensor, count: int) -> list[Tensor]:
    """Memory for as many samples as a block of `x` has, in its memory format."""
    return [torch.empty_like(x[: _samples(x)]) for _ in range(count)]


def _samples(x: Tensor) -> int:
    """On the CPU half a megabyte of them, elsewhere all."""
    return max(1, _BLOCK // max(1, x.shape[1:].numel()) if x.device.type == "cpu" and len(x) else len(x))

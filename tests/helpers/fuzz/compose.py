"""How parts are put together."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from fuzz.registry import wrapper


class Around(nn.Module):
    """Wraps one part, or two."""

    def __init__(self, width: int, inner: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.inner = inner


class Two(Around):
    def __init__(self, width: int, inner: nn.Module, other: nn.Module) -> None:
        super().__init__(width, inner, other)
        self.other = other


@wrapper
class residual(Around):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


@wrapper
class shared(Around):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.tanh(self.inner(x)))


@wrapper
class listed_twice(Around):
    def __init__(self, width: int, inner: nn.Module, other: nn.Module) -> None:
        super().__init__(width, inner, other)
        self.again = nn.ModuleList([inner, nn.Tanh(), inner])

    def forward(self, x: Tensor) -> Tensor:
        for module in self.again:
            x = module(x)
        return x


@wrapper
class branches(Two):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.inner(x), self.other(x)], 1)[:, ::2].contiguous()


@wrapper
class gated(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * torch.sigmoid(self.other(x))


@wrapper
class one_of(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if float(x.detach().float().sum()) > 0 else self.other(x)


@wrapper
class checkpointed(Around):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=False)


@wrapper
class checkpointed_reentrant(Around):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=True)


@wrapper
class checkpointed_in_parts(Two):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint_sequential([self.inner, self.other], 2, x, use_reentrant=False)


@wrapper
class without_gradient(Around):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.inner(x)
        return x + y


@wrapper
class detached(Around):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x.detach())


@wrapper
class in_autocast(Around):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.inner(x).to(x.dtype)


@wrapper
class looped(Around):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + 0.5 * self.inner(x)
        return x


@wrapper
class frozen(Around):
    def __init__(self, width: int, inner: nn.Module, other: nn.Module) -> None:
        super().__init__(width, inner, other)
        inner.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@wrapper
class evaluating(frozen):
    def __init__(self, width: int, inner: nn.Module, other: nn.Module) -> None:
        Around.__init__(self, width, inner, other)
        inner.eval()

    def train(self, mode: bool = True) -> "evaluating":
        return super().train(False)


@wrapper
class unregistered(nn.Module):
    """Holds its part in a plain list, so that torch does not know it."""

    def __init__(self, width: int, inner: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.linear, self.hidden = nn.Linear(width, width), [inner]

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.hidden[0](x))


@wrapper
class functional_call(Around):
    def forward(self, x: Tensor) -> Tensor:
        scaled = {name: p * 0.9 for name, p in self.inner.named_parameters() if p.is_floating_point()}
        return torch.func.functional_call(self.inner, scaled, (x,))


@wrapper
class input_written(Around):
    """Writes to its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.mul_(1.01))

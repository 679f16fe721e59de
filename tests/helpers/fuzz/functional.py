"""Operations written in forward: parameters used directly, in place, views, complex, transforms, own autograd."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fuzz.registry import part


class Weighted(nn.Module):
    """A part with one square parameter `w` and one vector `b`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.b = nn.Parameter(torch.zeros(width))


class Calls(Weighted):
    """A part whose forward is one function of the input, the weight and the bias."""

    run: Any

    def forward(self, x: Tensor) -> Tensor:
        return type(self).run(x, self.w, self.b)


def calls(family: str, name: str, run: Any) -> None:
    """Register a part that computes `run(x, w, b)`."""
    part(family)(type(name, (Calls,), {"run": staticmethod(run), "__module__": __name__}))


def _fourier(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(x)
    kept = torch.zeros_like(spectrum)
    kept[:, :3] = spectrum[:, :3] * torch.view_as_complex(w[:2, :4].reshape(4, 2).contiguous())[:3]
    return torch.fft.irfft(kept, n=x.shape[-1]) + x


def _written_views(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    h = F.linear(x, w, b)
    h[:, 0].mul_(2)
    h[:, 1:3] = h[:, 1:3].tanh()
    h.view(-1)[::2].add_(0.1)
    return h


def _out(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    room = torch.empty(len(x), len(w))
    with torch.no_grad():
        torch.matmul(x.float(), w, out=room)
    return x + room.to(x.dtype)


def _chunks(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    first, second = x.chunk(2, 1)
    left, right = w.split(w.shape[1] // 2, 1)
    return first @ left.T + second @ right.T


def _masked(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    h = x @ w
    h = h.masked_fill(h < -1, 0.0)
    h = torch.where(h > 1, h.log1p(), h)
    return h.index_add(1, torch.tensor([0, 2]), h[:, :2]).clone().clamp_(-5, 5)


def _sorted(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    values, order = (x @ w).sort(1)
    return values.gather(1, order.argsort(1)) + values.cumsum(1).roll(1, 1) * 0.1 + x.topk(1).values


def _numpy(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    scale = float(np_mean(x.detach().float().numpy()))
    return F.linear(x, w, b) * (1 + 0.1 * scale)


def np_mean(values: Any) -> Any:
    return abs(values).mean()


def _item(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    steps = 1 + int(x.detach().abs().sum().item()) % 3
    for _ in range(steps):
        x = F.linear(x, w, b).tanh()
    return x


def _penalty(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad((point @ w).sin().sum(), point, create_graph=True)
    return x @ w + slope


def _energy(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return x + torch.func.grad(lambda v: (v @ w).sin().sum())(x)


def _hooked(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    h = x @ w
    if h.requires_grad:
        h.register_hook(lambda g: g * 0.5)
        h.retain_grad()
    return h + b


for _name, _run in {
    "matmul": lambda x, w, b: x @ w + b,
    "einsum": lambda x, w, b: torch.einsum("bi,oi->bo", x, w),
    "addmm": lambda x, w, b: torch.addmm(b, x, w),
    "baddbmm": lambda x, w, b: torch.baddbmm(b.view(1, 1, -1), x.unsqueeze(1), w.expand(len(x), -1, -1)).squeeze(1),
    "mv": lambda x, w, b: x + torch.mv(w, b) + (x @ w).addcmul(x, b),
    "transposed_twice": lambda x, w, b: F.linear(F.linear(x, w).relu(), w.T),
    "conv_function": lambda x, w, b: F.conv1d(x.unsqueeze(1), w[:1, :3].unsqueeze(1), padding=1).squeeze(1),
    "fourier": _fourier,
    "written_views": _written_views,
    "out": _out,
    "chunks": _chunks,
    "masked": _masked,
    "sorted": _sorted,
    "numpy": _numpy,
    "item": _item,
    "penalty": _penalty,
    "hooked": _hooked,
    "layer_norm_function": lambda x, w, b: F.layer_norm(x @ w, x.shape[1:], b + 1, b),
    "inplace": lambda x, w, b: F.leaky_relu_(F.linear(x, w, b)).mul_(2).add_(1).sub_(0.5),
    "custom_dtype": lambda x, w, b: (x.double() @ w.double()).to(x.dtype) + b,
    "half": lambda x, w, b: F.linear(x.bfloat16(), w.bfloat16()).to(x.dtype),
    "sigmoid_gate": lambda x, w, b: torch.sigmoid(x @ w) * x + (x @ w).square().mean(1, keepdim=True),
    "detached": lambda x, w, b: x + (x @ w).detach(),
    "no_grad": torch.no_grad()(lambda x, w, b: F.linear(x, w, b).relu()),
    "nan_inside": lambda x, w, b: torch.nan_to_num(F.linear(x, w, b).log(), 0.0),
    "ranks": lambda x, w, b: x @ torch.linalg.qr(w)[0] + torch.logsumexp(x, 1, keepdim=True),
    "stacked": lambda x, w, b: torch.stack([x @ w, x * b], -1).amax(-1),
}.items():
    calls("function", _name, _run)

for _name, _run in {
    "grad": _energy,
    "vjp": lambda x, w, b: torch.func.vjp(torch.sin, x @ w)[1](x)[0],
    "jvp": lambda x, w, b: torch.func.jvp(lambda v: (v @ w).sin(), (x,), (torch.ones_like(x),))[1],
    "jacrev": lambda x, w, b: torch.func.jacrev(lambda v: (v @ w).sum(0))(x[:2]).sum(0).sum(0) + x,
    "jacfwd": lambda x, w, b: torch.func.jacfwd(lambda v: v.sin().sum(0))(x[:2]).sum((0, 1)) + x @ w,
    "hessian": lambda x, w, b: torch.vmap(torch.func.hessian(lambda v: (v @ w).pow(3).sum()))(x).sum(-1),
    "vmap": lambda x, w, b: torch.vmap(lambda v: F.linear(v, w, b).relu())(x),
    "vmap_random": lambda x, w, b: torch.vmap(lambda v: F.dropout(v, 0.2), randomness="different")(x @ w),
    "vmap_grad": lambda x, w, b: torch.vmap(torch.func.grad(lambda v: (w @ v).sin().sum()))(x),
    "functionalize": lambda x, w, b: torch.func.functionalize(lambda v: v.clone().mul_(2) @ w)(x),
    "stateless": lambda x, w, b: torch.func.functional_call(nn.Linear(len(b), len(b), device="meta"),
                                                           {"weight": w, "bias": b}, (x,)),
}.items():  # fmt: skip
    calls("transform", _name, _run)


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> tuple[Tensor, None]:
        ctx.save_for_backward(w)
        ctx.mark_dirty(x)
        return x.mul_(2), None

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, None]:
        return grad * 2, None


class New(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * ctx.saved_tensors[0].cos()


calls("autograd", "straight_through", lambda x, w, b: Round.apply(x @ w))
calls("autograd", "custom_in_place", lambda x, w, b: InPlace.apply(x @ w, w)[0])
calls("autograd", "custom_new", lambda x, w, b: New.apply(F.linear(x, w, b)))
calls("autograd", "checkpoint", lambda x, w, b: checkpoint(F.linear, x, w, b, use_reentrant=False).relu())
calls("autograd", "reentrant", lambda x, w, b: checkpoint(F.linear, x, w, b, use_reentrant=True).relu())
calls("autograd", "autocast", lambda x, w, b: _autocast(x, w).to(x.dtype))


def _autocast(x: Tensor, w: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x @ w

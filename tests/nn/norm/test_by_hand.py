"""Derivatives written by hand: the same as the formula, wherever which of the two runs."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gainstage.nn.norm import EvoNormB0, EvoNormS0, FilterResponseNorm, RMSNorm, _fused, _rms_cpu, rms_norm

LAYERS = {
    "rms": lambda: RMSNorm(8),
    "evo-b0": lambda: EvoNormB0(4),
    "evo-s0": lambda: EvoNormS0(4, groups=2),
    "frn": lambda: FilterResponseNorm(4, learnable_eps=True),
}


class Watched(TorchFunctionMode):
    """Keeps the names of what is called; its presence makes the formula run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


def both(layer: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    y = layer(x)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)
    return [y, *torch.autograd.grad((y * weight).sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_several_blocks_and_threads_are_one(name: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The input in blocks of one and two samples, and the last block smaller than the others."""
    torch.manual_seed(0)
    layer = LAYERS[name]().double().train(training)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, 0.5)
    x = torch.randn(5, 4, 6, 8, dtype=torch.float64)
    expected = both(copy.deepcopy(layer), x)
    threads = torch.get_num_threads()
    monkeypatch.setattr(_rms_cpu, "_WORTH_A_THREAD", 8)
    try:
        for samples in (1, 2):
            monkeypatch.setattr(_fused, "_BLOCK", samples * x[0].numel())
            torch.set_num_threads(2 * samples + 2)
            for actual, one in zip(both(copy.deepcopy(layer), x), expected, strict=True):
                torch.testing.assert_close(actual, one, rtol=1e-11, atol=1e-11)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", LAYERS)
def test_whoever_looks_on_sees_operations_of_torch(name: str) -> None:
    layer, x = LAYERS[name](), torch.randn(3, 4, 6, 8)
    expected = both(layer, x)
    with Watched() as watched:
        output = layer(x)
    torch.testing.assert_close(output, expected[0], rtol=1e-5, atol=1e-5)
    assert {"rms": "rms_norm", "evo-b0": "var", "evo-s0": "sigmoid", "frn": "rsqrt"}[name] in watched.names


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(name: str, bad: float) -> None:
    """Neither by the formula nor by hand, in the output and in the gradient."""
    layer, x = LAYERS[name](), torch.randn(3, 4, 6, 8)
    x[1, 2, 3, 4] = bad
    with Watched():
        assert layer(x)[1, 2, 3, 4].isnan()
    output, gradient, *_ = both(layer, x)
    assert output[1, 2, 3, 4].isnan()
    assert not gradient.isfinite().all()


@pytest.mark.parametrize("name", LAYERS)
def test_function_transforms(name: str) -> None:
    """`vmap` over samples of a stack, `jvp` and `jacrev` agree with one at a time and with reverse mode."""
    layer, stack = LAYERS[name]().double().eval(), torch.randn(3, 2, 4, 2, 8, dtype=torch.float64)
    each = torch.stack([layer(x) for x in stack])
    torch.testing.assert_close(torch.vmap(layer)(stack), each)
    x, direction = stack[0], torch.randn_like(stack[0])
    jacobian = torch.autograd.functional.jacobian(layer, x).reshape(x.numel(), x.numel())
    pushed = torch.func.jvp(layer, (x,), (direction,))[1]
    torch.testing.assert_close(pushed.flatten(), jacobian @ direction.flatten())
    reverse = torch.func.jacrev(layer)(x).reshape(x.numel(), x.numel())
    torch.testing.assert_close(reverse, jacobian)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_kept_for_the_backward_pass(name: str) -> None:
    """The input, and for FRN with its threshold the output; all else is small."""
    layer, x = LAYERS[name](), torch.randn(8, 4, 16, 8, requires_grad=True)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    assert sum(count == x.numel() for count in kept.values()) == (2 if name == "frn" else 1)
    assert sum(count for count in kept.values() if count < x.numel()) <= x.numel() // 4


def test_inductor_compiles_all_into_one_graph() -> None:
    """The real backend, forward and backward."""
    model = nn.Sequential(EvoNormB0(4), EvoNormS0(4, groups=2), FilterResponseNorm(4, learnable_eps=True), RMSNorm(8))
    x = torch.randn(3, 4, 6, 8)
    torch.compiler.reset()
    expected = both(copy.deepcopy(model), x)
    for actual, one in zip(both(torch.compile(model, fullgraph=True), x), expected, strict=True):
        torch.testing.assert_close(actual, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("shape", "sizes"), [((4, 8), (8,)), ((2, 3, 8), (8,)), ((2, 3, 8), (3, 8)), ((0, 8), (8,))])
@pytest.mark.parametrize("eps", [None, 1e-2])
def test_rms_norm_is_torchs(dtype: torch.dtype, shape: tuple[int, ...], sizes: tuple[int, ...], eps) -> None:
    x = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.linspace(-1, 2, torch.Size(sizes).numel()).view(sizes).to(dtype).requires_grad_()
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    for scale in (weight, None):
        ours, theirs = rms_norm(x, sizes, scale, eps), F.rms_norm(x, sizes, scale, eps)
        torch.testing.assert_close(ours, theirs, **tolerance)
        leaves = [x] if scale is None else [x, weight]
        pairs = [torch.autograd.grad((y * y.detach().cos()).sum(), leaves) for y in (ours, theirs)]
        for mine, other in zip(*pairs, strict=True):
            torch.testing.assert_close(mine, other, **tolerance)


def test_rms_norm_refuses_as_torch_does() -> None:
    with pytest.raises(RuntimeError, match="normalized_shape"):
        RMSNorm(8)(torch.randn(3, 4))


def test_a_row_of_a_million_keeps_its_precision() -> None:
    x = torch.rand(1, 1 << 20, generator=torch.Generator().manual_seed(0)) + 1
    exact = F.rms_norm(x.double(), (1 << 20,), eps=0.0)
    assert (rms_norm(x, (1 << 20,), eps=0.0) - exact).abs().max() < 3e-7  # an ulp near 1 to 2 is 1.2e-7 to 2.4e-7

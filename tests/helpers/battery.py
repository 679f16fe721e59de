"""One battery for every layer: what each must do whatever it computes.

    CASES = [Case("layer-norm", lambda: LayerNorm(6), shapes=[(4, 6), (2, 3, 6)], reference=naive)]

    @pytest.mark.parametrize(("case", "check"), battery(CASES))
    def test_battery(case, check):
        check(case)

A check runs on a fresh layer whose parameters and buffers were moved away from their first values, so that a weight of
one or a mean of zero hides nothing. Whatever draws random numbers is seeded before each call.
"""

import copy
import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.functional import jacobian
from torch.export import Dim, export
from torch.func import functional_call
from torch.fx import symbolic_trace

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A layer and what it promises.

    Attributes:
        name: of the case, the test's id.
        make: makes the layer, for the first of `shapes` and all others.
        shapes: of the input, one for each layout that the layer takes; small, as gradients are checked numerically.
        further: shapes of further positional inputs, the same for every shape.
        reference: `reference(layer, x, *further)` in float64, the naive formula; reads `layer.training`. None: no such
            check. A stochastic layer has it for evaluation only.
        stochastic: the layer draws random numbers while it trains.
        twice: the gradient can be differentiated.
        same: output and input have the same shape.
        large: has a value at mean 1000 and standard deviation 0.01 in float32 that is worth comparing.
        channels: the channels are on the second axis, so that memory formats mean something.
        kept: names of buffers that `layer` leaves as they start, where no other value makes sense.
        backend: of `torch.compile`; always with `fullgraph=True`.
        skip: names of checks that do not apply, each with the reason.
    """

    name: str
    make: Callable[[], nn.Module]
    shapes: Sequence[Shape]
    further: Sequence[Shape] = ()
    reference: Callable[..., Tensor] | None = None
    stochastic: bool = False
    twice: bool = True
    same: bool = True
    large: bool = True
    channels: bool = True
    kept: tuple[str, ...] = ()
    backend: str = "eager"
    skip: dict[str, str] = field(default_factory=dict)

    def layer(self, *, training: bool = True, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A fresh layer with parameters and buffers away from where they start."""
        torch.manual_seed(1)
        layer = self.make()
        with torch.no_grad():
            for name, tensor in [*layer.named_parameters(), *layer.named_buffers()]:
                if tensor.is_floating_point() and name not in self.kept:
                    tensor.add_(0.3 * torch.rand_like(tensor) + 0.1)
        return layer.to(dtype).train(training)

    def inputs(self, shape: Shape | None = None, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Inputs that need a gradient: away from 0 in mean and from 1 in scale."""
        generator = torch.Generator().manual_seed(2)
        shapes = [shape or self.shapes[0], *self.further]
        tensors = [1.7 * torch.randn(s, generator=generator, dtype=torch.float64) + 0.4 for s in shapes]
        return [tensor.to(dtype).requires_grad_() for tensor in tensors]


def battery(cases: Sequence[Case]) -> list[Any]:
    """Every case with every check that applies to it, as pytest parameters."""
    for case in cases:
        assert set(case.skip) <= {check.__name__ for check in CHECKS}, f"{case.name} skips a check that is none"
    return [
        pytest.param(case, check, id=f"{case.name}-{check.__name__}")
        for case in cases
        for check in CHECKS
        if check.__name__ not in case.skip and APPLIES.get(check, lambda _: True)(case)
    ]


def run(layer: nn.Module, inputs: Sequence[Tensor], *, seed: int = 3) -> Tensor:
    """The output, with the random numbers of `seed`."""
    torch.manual_seed(seed)
    return layer(*inputs)


def gradients(output: Tensor, layer: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Of a fixed random projection of the output, for the inputs and the parameters that have one."""
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.dtype)
    leaves = [*inputs, *(p for p in layer.parameters() if p.requires_grad)]
    found = torch.autograd.grad((output * weight).sum(), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, leaves, strict=True)]


def close(actual: Tensor, expected: Tensor, *, rtol: float, atol: float) -> None:
    torch.testing.assert_close(actual.detach().double(), expected.detach().double(), rtol=rtol, atol=atol)


def channels_last_of(case: Case, shape: Shape) -> torch.memory_format | None:
    """The format with the channels last in memory, where there is one."""
    return {4: torch.channels_last, 5: torch.channels_last_3d}.get(len(shape)) if case.channels else None


# ---------------------------------------------------------------------------------------------------- the checks


def reference(case: Case) -> None:
    """Output and all gradients are those of the naive formula, in float64, in every layout, training and evaluating."""
    for shape in case.shapes:
        for training in (False,) if case.stochastic else (True, False):
            layer = case.layer(training=training, dtype=torch.float64)
            naive, inputs = copy.deepcopy(layer), case.inputs(shape, dtype=torch.float64)
            expected = case.reference(naive, *inputs)  # type: ignore[misc]
            actual = run(layer, inputs)
            close(actual, expected, rtol=1e-9, atol=1e-9)
            if not expected.requires_grad:
                assert not actual.requires_grad
                continue
            pairs = zip(gradients(actual, layer, inputs), gradients(expected, naive, inputs), strict=True)
            for mine, theirs in pairs:
                close(mine, theirs, rtol=1e-7, atol=1e-8)


def layouts(case: Case) -> None:
    """Every layout gives a finite output of the right shape and dtype; the input is not written to."""
    for shape in case.shapes:
        for training in (True, False):
            layer, inputs = case.layer(training=training), case.inputs(shape)
            before = [tensor.detach().clone() for tensor in inputs]
            output = run(layer, inputs)
            assert output.dtype == torch.float32
            assert not case.same or output.shape == inputs[0].shape
            assert output.isfinite().all()
            assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


def strides(case: Case) -> None:
    """A view with other strides gives the same output and gradients as its contiguous copy."""
    training = not case.stochastic  # torch draws its random numbers in the order of the memory
    for shape in case.shapes:
        layer, twin, inputs = case.layer(training=training), case.layer(training=training), case.inputs(shape)
        x = inputs[0].detach()
        other = x.transpose(0, -1).contiguous().transpose(0, -1).requires_grad_()
        plain = run(layer, inputs)
        strided = run(twin, [other, *inputs[1:]])
        close(strided, plain, rtol=1e-4, atol=1e-5)
        pairs = zip(gradients(strided, twin, [other, *inputs[1:]]), gradients(plain, layer, inputs), strict=True)
        for mine, theirs in pairs:
            close(mine, theirs, rtol=1e-3, atol=1e-4)


def channels_last(case: Case) -> None:
    """The memory format is kept by the output, and nothing else changes."""
    for shape in case.shapes:
        form = channels_last_of(case, shape)
        if form is None:
            continue
        for training in (True, False):
            layer, inputs = case.layer(training=training), case.inputs(shape)
            twin = case.layer(training=training)
            other = [inputs[0].detach().to(memory_format=form).requires_grad_(), *inputs[1:]]
            plain, last = run(layer, inputs), run(twin, other)
            assert last.is_contiguous(memory_format=form), f"strides {last.stride()} for {shape}"
            if case.stochastic and training:  # torch draws its random numbers in the order of the memory
                continue
            close(last, plain, rtol=1e-4, atol=1e-5)
            if not plain.requires_grad:
                continue
            pairs = zip(gradients(last, twin, other), gradients(plain, layer, inputs), strict=True)
            for mine, theirs in pairs:
                close(mine, theirs, rtol=1e-3, atol=1e-4)


def dtypes(case: Case) -> None:
    """float32, float16 and bfloat16 follow float64 to their own precision, and the output has the input's dtype."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 5e-2)):
        for training in (True, False):
            layer, inputs = case.layer(training=training, dtype=dtype), case.inputs(dtype=dtype)
            exact = copy.deepcopy(layer).double()
            expected = run(exact, [tensor.detach().double() for tensor in inputs])
            output = run(layer, inputs)
            assert output.dtype == dtype
            if not case.stochastic or not training:  # a random number of another dtype is another number
                close(output, expected, rtol=tolerance, atol=tolerance * float(expected.detach().abs().mean()))


def autocast(case: Case) -> None:
    """bfloat16 inputs around 1e4 under autocast, parameters in float32: as exact as their inputs, finite gradients."""
    for training in (True, False):
        layer = case.layer(training=training)
        with torch.no_grad():
            inputs = [(1e4 * tensor).bfloat16().requires_grad_() for tensor in case.inputs()[:1]]
            inputs += [tensor.bfloat16().requires_grad_() for tensor in case.inputs()[1:]]
        exact = copy.deepcopy(layer).double()
        expected = run(exact, [tensor.detach().double() for tensor in inputs])
        with torch.autocast("cpu", torch.bfloat16):
            output = run(layer, inputs)
        assert output.isfinite().all()
        if not case.stochastic or not training:
            close(output, expected, rtol=5e-2, atol=5e-2 * float(expected.detach().abs().mean()))
        if output.requires_grad:
            assert all(gradient.isfinite().all() for gradient in gradients(output, layer, inputs))


def large_mean(case: Case) -> None:
    """Mean 1000 and standard deviation 0.01 in float32: the variance is not lost in the mean."""
    formats = [
        (shape, form) for shape in case.shapes for form in (torch.contiguous_format, channels_last_of(case, shape))
    ]
    for shape, form in formats:
        if form is None:
            continue
        layer, inputs = case.layer(), case.inputs(shape)
        inputs[0] = (1000 + 0.01 * inputs[0].detach()).contiguous(memory_format=form).requires_grad_()
        expected = run(copy.deepcopy(layer).double(), [tensor.detach().double() for tensor in inputs])
        output = run(layer, inputs)
        close(output, expected, rtol=1e-2, atol=5e-2)
        if output.requires_grad:
            assert all(gradient.isfinite().all() for gradient in gradients(output, layer, inputs))


def numerical_gradient(case: Case) -> None:
    """`gradcheck` in float64 for inputs and parameters, and `gradgradcheck` where the case promises it.

    In fast mode, a random projection of the Jacobian; `reference` compares every entry of the gradient.
    """
    for training in (True, False):
        layer, inputs = case.layer(training=training, dtype=torch.float64), case.inputs(dtype=torch.float64)
        names = [name for name, p in layer.named_parameters() if p.requires_grad]
        values = [p.detach().clone().requires_grad_() for p in layer.parameters() if p.requires_grad]

        def function(*tensors: Tensor, layer: nn.Module = layer, names: list[str] = names) -> Tensor:
            split = len(tensors) - len(names)
            state = dict(zip(names, tensors[split:], strict=True))
            state |= {name: buffer.clone() for name, buffer in layer.named_buffers()}  # updates go to the copy
            torch.manual_seed(3)
            output: Tensor = functional_call(layer, state, tuple(tensors[:split]))
            return output

        if not function(*inputs, *values).requires_grad:
            continue
        assert gradcheck(function, [*inputs, *values], atol=1e-6, rtol=1e-4, fast_mode=True)
        if case.twice:
            assert gradgradcheck(function, [*inputs, *values], atol=1e-5, rtol=1e-3, fast_mode=True)


def copying(case: Case) -> None:
    """A deep copy and a pickle compute the same and share nothing."""
    for duplicate in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        for training in (True, False):
            layer, inputs = case.layer(training=training), case.inputs()
            run(layer, inputs)  # a layer in use
            twin = duplicate(layer)
            assert torch.equal(run(twin, inputs), run(layer, inputs))
            assert twin.training == training
            shared = {t.data_ptr() for t in [*layer.parameters(), *layer.buffers()] if t.numel()}
            assert not shared & {t.data_ptr() for t in [*twin.parameters(), *twin.buffers()] if t.numel()}


def state_dict(case: Case) -> None:
    """All that the output depends on goes to disk as plain tensors and comes back."""
    for training in (True, False):
        layer, inputs = case.layer(training=training), case.inputs()
        run(layer, inputs)
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        twin = case.make().train(training)
        twin.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(run(twin, inputs), run(layer, inputs))


def compiles(case: Case) -> None:
    """`torch.compile(fullgraph=True)`: one graph, and the output, gradients and buffers of the plain layer."""
    for training in (True, False):
        torch.compiler.reset()
        layer, twin, inputs = case.layer(training=training), case.layer(training=training), case.inputs()
        compiled = torch.compile(twin, fullgraph=True, backend=case.backend)
        expected, output = run(layer, inputs), run(compiled, inputs)
        close(output, expected, rtol=1e-5, atol=1e-5)
        if expected.requires_grad:
            pairs = zip(gradients(output, twin, inputs), gradients(expected, layer, inputs), strict=True)
            for mine, theirs in pairs:
                close(mine, theirs, rtol=1e-4, atol=1e-4)
        for mine, theirs in zip(twin.buffers(), layer.buffers(), strict=True):
            close(mine, theirs, rtol=1e-5, atol=1e-5)


def meta(case: Case) -> None:
    """Made and run without memory; after `to_empty`, `reset_parameters` gives the state of a new layer."""
    with torch.device("meta"):
        layer = case.make()
    for training in (True, False):
        inputs = [tensor.detach().to("meta") for tensor in case.inputs()]
        output = layer.train(training)(*inputs)
        assert output.is_meta
        assert output.shape == run(case.layer(training=training), case.inputs()).shape
    if not [*layer.parameters(), *layer.buffers()]:
        return
    layer = layer.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*layer.parameters(), *layer.buffers()]:
            tensor.fill_(7)
    torch.manual_seed(5)
    for module in layer.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    torch.manual_seed(5)
    fresh = case.make().state_dict()
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, fresh[name]), name


def evaluation(case: Case) -> None:
    """In evaluation the output draws no random number and leaves the state alone."""
    layer, inputs = case.layer(training=False), case.inputs()
    before = copy.deepcopy(layer.state_dict())
    first = run(layer, inputs, seed=1)
    state = torch.get_rng_state()
    assert torch.equal(run(layer, inputs, seed=2), first)
    torch.manual_seed(1)
    assert torch.equal(run(layer, inputs, seed=1), first)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


class _One(nn.Module):
    """A model around the layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.layer(x)


class _Two(_One):
    def forward(self, x: Tensor, further: Tensor) -> Tensor:
        return 2 * self.layer(x, further)


def traces(case: Case) -> None:
    """`torch.fx` records the layer, alone and inside a model; the graph goes on to follow `train()` and `eval()`."""
    for training in (True, False):
        for around in (lambda layer: layer, _Two if case.further else _One):
            model, inputs = around(case.layer(training=training)), case.inputs()
            twin, traced = copy.deepcopy(model), symbolic_trace(model)
            traced.graph.lint()
            for mode in (training, not training):
                assert torch.equal(run(traced.train(mode), inputs), run(twin.train(mode), inputs))


def exports(case: Case) -> None:
    """`torch.export` in evaluation, for batches of any size."""
    layer, inputs = case.layer(training=False), [tensor.detach() for tensor in case.inputs()]
    batch = Dim("batch")
    exported = export(layer, tuple(inputs), dynamic_shapes=[{0: batch} for _ in inputs]).module()
    for more in (inputs, [torch.cat([tensor, tensor + 1, tensor]) for tensor in inputs]):
        close(exported(*more), layer(*more), rtol=1e-5, atol=1e-5)


def transforms(case: Case) -> None:
    """`vmap` over a stack of inputs, a vectorized Jacobian and a batch of gradients are those of one at a time."""
    layer = case.layer(training=False, dtype=torch.float64)
    inputs = case.inputs(dtype=torch.float64)
    stack = [torch.stack([tensor.detach(), tensor.detach() - 1]) for tensor in inputs]
    for mine, one in zip(torch.func.vmap(layer)(*stack), zip(*stack, strict=True), strict=True):
        close(mine, layer(*one), rtol=1e-9, atol=1e-9)
    for training in (True, False):
        layer = case.layer(training=training, dtype=torch.float64)

        def function(*tensors: Tensor, layer: nn.Module = layer) -> Tensor:
            return run(copy.deepcopy(layer), tensors)

        plain, vectorized = (jacobian(function, tuple(inputs), vectorize=whole) for whole in (False, True))
        for mine, theirs in zip(vectorized, plain, strict=True):
            close(mine, theirs, rtol=1e-9, atol=1e-9)


def empty(case: Case) -> None:
    """A batch of nothing gives a batch of nothing, gradients of 0, and leaves the statistics alone."""
    for training in (True, False):
        layer = case.layer(training=training)
        inputs = [tensor.detach()[:0].requires_grad_() for tensor in case.inputs()]
        before = copy.deepcopy(layer.state_dict())
        output = run(layer, inputs)
        assert output.shape == (0, *run(case.layer(training=training), case.inputs()).shape[1:])
        assert all(
            torch.equal(tensor, before[name])
            for name, tensor in layer.state_dict().items()
            if tensor.is_floating_point()
        )
        if output.requires_grad:
            assert all(not gradient.any() for gradient in gradients(output, layer, inputs))


CHECKS: tuple[Callable[[Case], None], ...] = (
    reference,
    layouts,
    strides,
    channels_last,
    dtypes,
    autocast,
    large_mean,
    numerical_gradient,
    copying,
    state_dict,
    compiles,
    meta,
    evaluation,
    traces,
    exports,
    transforms,
    empty,
)
APPLIES: dict[Callable[[Case], None], Callable[[Case], bool]] = {
    reference: lambda case: case.reference is not None,
    large_mean: lambda case: case.large and not case.stochastic,
    channels_last: lambda case: any(channels_last_of(case, shape) for shape in case.shapes),
}

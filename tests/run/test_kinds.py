"""Any kind of model runs, twice the same, and afterwards everything is as it was."""

import random
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fuzz.state import Snapshot
from fuzz.world import names, names_differences, world, world_differences
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

import gainstage as gs

pytestmark = pytest.mark.filterwarnings("ignore:.*(quantize_per_tensor|jit.script|Sparse CSR).*")
LOOKS = {"record": gs.record, "plan": gs.plan, "check": gs.check}


@pytest.fixture(autouse=True, scope="module")
def warm() -> None:
    """What torch and Numba load when they are used first is no trace of a model."""
    model = nn.Sequential(nn.Linear(2, 2), torch.compile(nn.ReLU(), backend="eager"))
    for look in LOOKS.values():
        look(model, torch.ones(2, 2))


class Calls(nn.Module):
    """A model whose forward pass is a function of (self, x)."""

    def __init__(self, forward: Callable[..., Any], **held: Any) -> None:
        super().__init__()
        for name, thing in held.items():
            if isinstance(thing, Tensor) and not isinstance(thing, nn.Parameter):
                self.register_buffer(name, thing)
            else:
                setattr(self, name, thing)
        self.body = forward

    def forward(self, *args: Any) -> Any:
        return self.body(self, *args)


@contextmanager
def no_trace(**things: Any) -> Iterator[None]:
    """Of whatever is reached from these things, and of the world around them, nothing is changed in the block.

    Memory that the model frees itself (`resize_`) comes back elsewhere.
    """
    before, around, patched = Snapshot(**things), world(), names()
    yield
    freed = tuple(line for line in before.lost() if line.endswith(": address"))
    assert not [line for line in before.differences(Snapshot(**things)) if not line.startswith(freed)]
    assert not world_differences(around, world())
    assert not names_differences(patched, names())


def look(model: nn.Module, x: Any, **given: Any) -> dict[str, Any]:
    """What record, plan and check say: none leaves a trace or gives up, and a second record and plan say the same."""
    said: dict[str, Any] = {}
    for name, call in LOOKS.items():
        with no_trace(model=model, x=x, **given):
            said[name] = call(model, x, **({} if name == "plan" else given))
    assert repr(gs.record(model, x, **given)) == repr(said["record"])
    assert gs.plan(model, x) == said["plan"]
    assert not [n for n in said["check"].not_judged if "report" in n.why or "asked again" in n.why]
    return said


def batch(*shape: int) -> Tensor:
    return torch.randn(*(shape or (32, 8)), generator=torch.Generator().manual_seed(0))


# --- buffers, parameters and modes ------------------------------------------------------------------------------------


class Counting(nn.Module):
    """Writes to a buffer of its own that is an expanded view."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(8, 4), nn.BatchNorm1d(4)
        self.register_buffer("mean", torch.zeros(1, 1).expand(1, 8))

    def forward(self, x: Tensor) -> Tensor:
        self.mean[:, :1] += 1
        return self.norm(self.fc(x - self.mean))


def test_check_does_not_train_a_model_with_an_expanded_buffer() -> None:
    model, y = Counting(), torch.arange(32) % 4
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    with no_trace(model=model, optimizer=optimizer):
        gs.check(model, batch(), target=y, loss=F.cross_entropy, optimizer=optimizer)


def test_check_does_not_train_a_model_whose_step_closes_over_an_expanded_tensor() -> None:
    model, x, y, mask = Counting(), batch(), torch.arange(32) % 4, torch.ones(1, 8).expand(32, 8)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x * mask), y)
        loss.backward()
        optimizer.step()
        mask[:1] *= 0.5
        return loss

    with no_trace(step=step, optimizer=optimizer):
        report = gs.check(model, x, target=y, loss=F.cross_entropy, optimizer=optimizer, train_step=step)
    assert any(code.startswith("OPT8") for code in report.judged)


def rebind(m: Calls) -> None:
    m.b = m.b + 1


def give_data(m: Calls) -> None:
    m.b.data = torch.ones(3)


BUFFERS: dict[str, tuple[Callable[[], Tensor], Callable[[Calls], Any]]] = {
    "resized": (lambda: torch.zeros(2), lambda m: m.b.resize_(4).fill_(1.0)),
    "re-bound": (lambda: torch.zeros(2), rebind),
    "given other data": (lambda: torch.zeros(2), give_data),
    "set to other memory": (lambda: torch.zeros(2), lambda m: m.b.set_(torch.ones(3))),
    "transposed in place": (lambda: torch.zeros(2, 3), lambda m: m.b.t_()),
    "deleted": (lambda: torch.zeros(2), lambda m: delattr(m, "b")),
    "NaN": (lambda: torch.full((2,), float("nan")), lambda m: m.b.fill_(1.0)),
    "expanded NaN": (lambda: torch.full((1,), float("nan")).expand(4), lambda m: m.b[:1].fill_(1.0)),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), lambda m: m.b.copy_(2 * x4)),
    "sparse": (lambda: torch.eye(4).to_sparse(), lambda m: m.b.mul_(2.0)),
    "CSR": (lambda: torch.eye(4).to_sparse_csr(), lambda m: m.b.values().mul_(2.0)),
    "of another dtype": (lambda: torch.zeros(2, dtype=torch.bool), lambda m: m.b.logical_not_()),
    "written by NumPy": (lambda: torch.zeros(2), lambda m: m.b.numpy().__setitem__(0, 1.0)),
}
x4 = torch.ones(4)


@pytest.mark.parametrize("kind", BUFFERS)
def test_buffers(kind: str) -> None:
    make, change = BUFFERS[kind]

    def forward(m: Calls, x: Tensor) -> Tensor:
        change(m)
        return m.norm(m.fc(x))

    model = Calls(forward, fc=nn.Linear(8, 4), norm=nn.BatchNorm1d(4), b=make())
    for call in LOOKS.values():
        if kind == "written by NumPy":  # which makes the storage its own for good
            model.b.numpy()
        with no_trace(model=model):
            call(model, batch())
    model.b = make()
    gs.initialize(model, batch())
    assert float(model.norm.running_mean.abs().sum()) == 0
    assert model.b.shape == make().shape


def test_a_model_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    said = look(model, batch())
    assert said["plan"] == gs.plan(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)), batch())
    gs.initialize(model, batch())
    assert model[0].weight.is_inference()


def test_inference_tensors_in_a_model_that_trains() -> None:
    with torch.inference_mode():
        frozen, mean = nn.Parameter(torch.ones(8), requires_grad=False), torch.zeros(8)
    model = Calls(lambda m, x: m.fc(x * m.w.clone() - m.mean.clone()), fc=nn.Linear(8, 4), w=frozen, mean=mean)
    look(model, batch())
    gs.initialize(model, batch(), calibrate=True)


def slope(w: Tensor, x: Tensor) -> Tensor:
    """A gradient within the forward pass, as in a gradient penalty or an energy's force."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        return torch.autograd.grad((point @ w).sin().sum(), point, create_graph=True)[0]


def test_a_gradient_within_a_pass_beside_tensors_of_inference_mode() -> None:
    with torch.inference_mode():
        frozen = nn.Parameter(torch.ones(8), requires_grad=False)
    model = Calls(lambda m, x: slope(m.u, x * m.w.clone()), w=frozen, u=nn.Parameter(torch.eye(8)))
    tape = look(model, batch())["record"]
    assert [s.op for s in tape if s.backward] == ["matmul", "sin", "sum", "grad"]


def test_a_gradient_within_a_pass_that_is_calibrated() -> None:
    model = Calls(lambda m, x: m.fc(x + slope(m.force.weight.t(), x)), fc=nn.Linear(8, 8), force=nn.Linear(8, 8))
    plan = gs.initialize(model, batch(), calibrate=True)
    level = gs.record(model, batch())["fc/linear#0"].forward
    assert level is not None
    assert level.mean_square == pytest.approx(plan["fc.weight"].level, rel=0.05)


def test_a_conversion_of_what_inference_mode_made() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    report = gs.check(model.double(), batch().double())
    assert not [n for n in report.not_judged if "report this model" in n.why]
    gs.init.fill_(model[0].weight, gs.init.he_normal(), seed=1, name="w")
    assert float(model[0].weight.data.std()) == pytest.approx(0.5, rel=0.25)


def test_a_lazy_module_that_is_not_registered() -> None:
    layers = [nn.LazyLinear(4)]
    model = Calls(lambda m, x: m.fc(x) + (layers[0](x).detach() * layers[0].weight.data.mean()), fc=nn.Linear(8, 4))
    gs.record(model, batch())


def test_a_reentrant_checkpoint_is_planned_where_warnings_are_errors() -> None:
    model = Calls(
        lambda m, x: torch.utils.checkpoint.checkpoint(m.b, m.a(x), use_reentrant=True),
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 4),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gs.plan(model, batch())


def first_row(m: Calls) -> None:
    with torch.no_grad():
        m.fc.weight[0].zero_()


def foreach(m: Calls) -> None:
    with torch.no_grad():
        torch._foreach_add_([m.fc.weight, m.fc.bias], 1.0)


def out(m: Calls) -> None:
    with torch.no_grad():
        torch.add(m.fc.bias, 1.0, out=m.fc.bias)


def other_data(m: Calls) -> None:
    m.fc.weight.data = torch.ones(4, 8)


def other_memory(m: Calls) -> None:
    with torch.no_grad():
        m.fc.weight.set_(torch.ones(4, 8))


def another(m: Calls) -> None:
    m.fc.weight = nn.Parameter(torch.ones(4, 8))


WRITES: dict[str, Callable[[Calls], Any]] = {
    "data": lambda m: m.fc.weight.data.clamp_(-0.01, 0.01),
    "detached": lambda m: m.fc.weight.detach().mul_(2.0),
    "view": first_row,
    "foreach": foreach,
    "out=": out,
    ".data =": other_data,
    "set_": other_memory,
    "another parameter": another,
    "NumPy": lambda m: m.fc.weight.detach().numpy().__setitem__(0, 1.0),
    "frozen": lambda m: m.fc.requires_grad_(False),
    "gradient": lambda m: setattr(m.fc.bias, "grad", torch.ones(4)),
}


@pytest.mark.parametrize("write", WRITES)
def test_parameters_that_forward_writes_to(write: str) -> None:
    def forward(m: Calls, x: Tensor) -> Tensor:
        y = m.norm(m.fc(x))
        WRITES[write](m)
        return y * m.scale

    model = Calls(forward, fc=nn.Linear(8, 4), norm=nn.BatchNorm1d(4), scale=nn.Parameter(torch.ones(4)))
    if write == "NumPy":
        model.fc.weight.detach().numpy()
    for call in LOOKS.values():
        with no_trace(model=model):
            call(model, batch()) if call is not gs.record else call(model, batch(), backward=False)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_embeddings_that_renormalize_their_weights(kind: Any) -> None:
    table = kind(10, 8, max_norm=0.1)
    ids = torch.randint(0, 10, (32, 5), generator=torch.Generator().manual_seed(0))
    look(nn.Sequential(table, nn.Linear(8, 4)), ids)


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_spectral_norm_makes_no_step(norm: Any) -> None:
    look(nn.Sequential(norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 4)), batch())


def test_no_hook_stays_on_a_parameter_that_forward_clamps() -> None:
    def forward(m: Calls, x: Tensor) -> Tensor:
        with torch.no_grad():
            m.w.clamp_(-0.5, 0.5)
        return F.linear(x, m.w)

    model = Calls(forward, w=nn.Parameter(batch(4, 8)))
    tape = look(model, batch())["record"]
    assert not model.w._backward_hooks
    assert tape["w"].backward is not None


def test_scripted_modules_keep_mode_and_attributes() -> None:
    class Counts(nn.Module):
        count: int

        def __init__(self) -> None:
            super().__init__()
            self.fc, self.drop, self.count = nn.Linear(8, 8), nn.Dropout(0.5), 0
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            self.calls += 1
            return self.drop(self.fc(x))

    part = torch.jit.script(Counts())
    model = nn.Sequential(nn.Linear(8, 8), part, nn.Linear(8, 4))
    look(model, batch())
    gs.initialize(model, batch(), calibrate=True)
    assert part.training
    assert part.count == 0
    assert float(part.calls) == 0


# --- initialize -------------------------------------------------------------------------------------------------------


UNFILLABLE: dict[str, Callable[[], nn.Module]] = {
    "complex": lambda: Calls(
        lambda m, x: m.c(m.a(x).tanh().to(torch.complex64)).abs(),
        a=nn.Linear(8, 8),
        c=nn.Linear(8, 4, dtype=torch.complex64),
    ),
    "expanded": lambda: Calls(
        lambda m, x: F.linear(m.a(x), m.c), a=nn.Linear(8, 8), c=nn.Parameter(torch.ones(1, 8).expand(4, 8))
    ),
    "sparse": lambda: Calls(
        lambda m, x: torch.sparse.mm(m.c, m.a(x).T).T, a=nn.Linear(8, 8), c=nn.Parameter(batch(4, 8).to_sparse())
    ),
}


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("kind", UNFILLABLE)
def test_initialize_leaves_and_names_what_it_cannot_fill(kind: str, calibrate: bool) -> None:
    model = UNFILLABLE[kind]()
    look(model, batch())
    weight = next(name for name, p in model.named_parameters() if name.startswith("c"))
    held, values = model.get_parameter(weight), model.get_parameter(weight).detach().to_dense().clone()
    plan = gs.initialize(model, batch(), calibrate=calibrate)
    assert plan[weight].law is None
    assert "left as it is" in plan[weight].reason
    assert plan["a.weight"].law is not None
    assert model.get_parameter(weight) is held
    assert torch.equal(held.detach().to_dense(), values)


@pytest.mark.parametrize("kind", UNFILLABLE)
def test_a_plan_that_cannot_be_applied_is_refused_before_anything_is_written(kind: str) -> None:
    model = UNFILLABLE[kind]()
    plan = gs.plan(model, batch())
    weight = next(name for name in plan if name.startswith("c"))
    with no_trace(model=model), pytest.raises(gs.GainstageError, match=weight):
        plan.replace({weight: gs.init.normal()}, because="on purpose").apply(model)


def test_an_initialization_that_fails_in_any_pass_leaves_the_model_as_it_was() -> None:
    """What raises in a pass that is tried again, in a trial or on other rows only says less; the others refuse."""

    class Raises(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            passes.append(x)
            y = super().forward(x)
            if len(passes) == at:
                raise ValueError("broken on purpose")
            return y

    refused = []
    for at in range(1, 10):
        passes: list[Tensor] = []
        model = Raises(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
        before = Snapshot(model=model)
        try:
            gs.initialize(model, batch(), calibrate=True)
        except gs.GainstageError:
            refused.append(at)
        assert (at in refused) == (not before.differences(Snapshot(model=model)))
    assert refused


# --- the example ------------------------------------------------------------------------------------------------------


def test_a_forward_that_writes_to_its_input_reads_the_same_data_in_every_pass() -> None:
    sink = types.ModuleType("sink")  # whose content nobody looks after
    sink.seen = set()

    def forward(m: Calls, x: Tensor) -> Tensor:
        sink.seen.add(float(x.flatten()[0]))
        return m.fc(x.add_(1.0))

    model = Calls(forward, fc=nn.Linear(8, 4))
    x = torch.arange(256.0).reshape(32, 8)
    said = look(model, x)
    assert said["record"].overwritten == ("input#0",)
    assert "DAT610" in {finding.code for finding in said["check"].findings}
    gs.initialize(model, x, calibrate=True)
    assert torch.equal(x, torch.arange(256.0).reshape(32, 8))
    assert 0.0 in sink.seen
    assert not sink.seen & {1.0, 2.0, 3.0}


def test_a_forward_that_writes_to_a_copy_of_its_input_is_not_told_of() -> None:
    model = Calls(lambda m, x: m.fc(x.clone().add_(1.0)), fc=nn.Linear(8, 4))
    said = look(model, batch())
    assert not said["record"].overwritten
    assert "DAT610" not in {finding.code for finding in said["check"].findings}


# --- randomness and global state --------------------------------------------------------------------------------------

NOISE: dict[str, Callable[[Tensor], Tensor]] = {
    "rand_like": lambda h: h * torch.rand_like(h),
    "bernoulli": lambda h: h * torch.bernoulli(torch.full_like(h, 0.5)),
    "in place": lambda h: h + torch.empty_like(h).normal_(),
    "numpy": lambda h: h * float(np.random.rand()),
    "python": lambda h: h * random.random(),
    "RReLU": nn.RReLU(),
    "RReLU in place": nn.RReLU(inplace=True),
    "FeatureAlphaDropout": nn.FeatureAlphaDropout(0.1),
    "AlphaDropout": nn.AlphaDropout(0.1),
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_moves_no_random_state_and_gives_the_same_plan_twice(kind: str) -> None:
    model = Calls(lambda m, x: m.b(NOISE[kind](m.a(x))), a=nn.Linear(8, 8), b=nn.Linear(8, 4))
    before = world()
    plan = look(model, batch())["plan"]
    torch.rand(3), np.random.rand(), random.random()
    state = world()
    assert gs.plan(model, batch()) == plan
    gs.initialize(model, batch(), calibrate=True)
    assert not world_differences(state, world())
    assert {line.split(":")[1] for line in world_differences(before, world())} == {
        " random.python",
        " random.numpy",
        " random.torch",
    }


def test_the_plan_of_an_rrelu_net_keeps_the_level() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.RReLU(), nn.Linear(64, 64), nn.RReLU(), nn.Linear(64, 4))
    plan = gs.initialize(model, batch(256, 64))
    level = (1 + (1 / 3**3 - 1 / 8**3) / (3 * (1 / 3 - 1 / 8))) / 2  # mean square of rrelu(z), z standard normal
    stds = [plan[name].law.std(model.get_parameter(name).shape) for name in ("0.weight", "2.weight")]
    assert stds == pytest.approx([64**-0.5, (64 * level) ** -0.5], rel=0.02)
    with torch.no_grad():
        assert float(model[:4](batch(256, 64)).square().mean()) == pytest.approx(level, rel=0.3)


def test_a_models_own_random_generator_is_put_back() -> None:
    def forward(m: Calls, x: Tensor) -> Tensor:
        return m.fc(x + torch.rand(x.shape, generator=m.generator))

    look(Calls(forward, fc=nn.Linear(8, 4), generator=torch.Generator()), batch())


SETTINGS: dict[str, Callable[[], Any]] = {
    "gradients": lambda: torch.set_grad_enabled(False),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "determinism": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "random state": lambda: torch.manual_seed(5),
    "warnings": lambda: warnings.simplefilter("ignore"),
    "default device": lambda: torch.set_default_device("cpu"),
}


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("setting", SETTINGS)
def test_global_settings_that_forward_changes_are_put_back(setting: str, fails: bool) -> None:
    def forward(m: Calls, x: Tensor) -> Tensor:
        y = m.fc(x)
        SETTINGS[setting]()
        if fails:
            raise ValueError("broken on purpose")
        return y

    model = Calls(forward, fc=nn.Linear(8, 4))
    for call in LOOKS.values():
        with no_trace(model=model):
            try:
                call(model, batch())
            except gs.GainstageError:
                assert fails or (setting == "gradients" and call is not gs.plan)
            else:
                assert not fails


def test_storages_stay_resizable() -> None:
    model, x = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)), batch()
    for call in (*LOOKS.values(), gs.initialize):
        call(model, x)
        assert all(t.untyped_storage().resizable() for t in (x, *model.parameters()))
    x.resize_(64, 8)
    gs.init.normal_(model[0].weight)
    assert model[0].weight.untyped_storage().resizable()


# --- what forward may be written with ---------------------------------------------------------------------------------

FUNC: dict[str, Callable[[Tensor], Tensor]] = {
    "grad": torch.func.grad(lambda v: v.sin().sum()),
    "jvp": lambda v: torch.func.jvp(torch.sin, (v,), (v,))[1],
    "vjp": lambda v: torch.func.vjp(torch.sin, v)[1](v)[0],
    "jacrev": lambda v: torch.func.jacrev(lambda u: u.sin().sum(0))(v).sum(0),
    "jacfwd": lambda v: torch.func.jacfwd(lambda u: u.sin().sum(0))(v).sum(0),
    "hessian": lambda v: torch.vmap(torch.func.hessian(lambda u: u.pow(3).sum()))(v).sum(-1),
    "vmap": torch.vmap(lambda row: row.tanh() * row.sum()),
    "vmap of grad": torch.vmap(torch.func.grad(lambda u: u.sin().sum())),
}


@pytest.mark.parametrize("kind", FUNC)
def test_transforms_of_torch_func(kind: str) -> None:
    model = Calls(lambda m, x: m.b(FUNC[kind](m.a(x))), a=nn.Linear(8, 8), b=nn.Linear(8, 4))
    tape = look(model, batch())["record"]
    assert tape["a.weight"].backward.rms > 0
    assert tape["b/linear#0"].forward.rms == pytest.approx(float(model(batch()).detach().square().mean().sqrt()))
    gs.initialize(model, batch(), calibrate=True)


def test_a_gradient_of_the_model_itself_inside_forward() -> None:
    energy = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    model = Calls(lambda m, x: torch.vmap(torch.func.grad(lambda row: m.e(row).sum()))(x), e=energy)
    assert look(model, batch())["plan"]["e.0.weight"].law is not None


def test_a_compiled_function_is_seen_from_inside() -> None:
    compiled = torch.compile(lambda x, w: torch.tanh(x) * w, backend="eager")
    model = Calls(lambda m, x: m.fc(compiled(x, m.w)), fc=nn.Linear(8, 4), w=nn.Parameter(torch.ones(8)))
    assert [site.op for site in look(model, batch())["record"]][:3] == ["tanh", "mul", "linear"]


def test_a_scripted_module_in_the_middle_is_seen_from_inside() -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.fc(x)) * 2.0

    model = nn.Sequential(nn.Linear(8, 8), torch.jit.script(Inner()), nn.Linear(8, 4))
    said = look(model, batch())
    sites = [site.op for site in said["record"] if site.path == "1" or site.path.startswith("1.")]
    assert sites[-2:] == ["tanh", "mul"]
    assert not said["record"].unused
    assert said["plan"]["1.fc.weight"].law is not None
    assert said["plan"]["2.weight"].law is not None


class Mine(Tensor):
    pass


@pytest.mark.parametrize("change", [lambda x: x.as_subclass(Mine), lambda x: x.as_subclass(Mine) * 1.1])
def test_a_tensor_subclass_before_a_linear(change: Any) -> None:
    model = Calls(lambda m, x: m.b(change(m.a(x))), a=nn.Linear(8, 8), b=nn.Linear(8, 4))
    plan = look(model, batch())["plan"]
    assert plan["a.weight"].role == gs.plan(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), batch())["0.weight"].role


class MakesItsHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "head"):
            self.head = nn.Linear(8, 4)
        return self.head(self.fc(x))


def test_a_submodule_that_is_made_in_the_first_pass() -> None:
    model = MakesItsHead()
    said = look(model, batch())
    assert "head/linear#0" in [site.name for site in said["record"]]
    assert list(said["plan"]) == ["fc.weight", "fc.bias"]
    assert list(gs.initialize(model, batch())) == ["fc.weight", "fc.bias"]
    assert not hasattr(model, "head")


def lazy_model() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(4))


def test_lazy_models_stay_lazy_until_they_are_initialized() -> None:
    model, x = lazy_model(), batch()
    known = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    said = look(model, x)
    assert model[0].has_uninitialized_params()
    assert said["plan"] == gs.plan(known, x)
    state = torch.get_rng_state()
    gs.initialize(model, x, seed=1)
    gs.initialize(known, x, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(model[0]) is nn.Linear
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), known.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), known.buffers(), strict=True))


def test_lazy_buffers_alone() -> None:
    look(nn.Sequential(nn.Linear(8, 8), nn.LazyBatchNorm1d(affine=False)), batch())


@pytest.mark.parametrize("scheme", ["auto", "orthogonal"])
def test_a_lazy_model_that_cannot_be_initialized_stays_lazy(scheme: str) -> None:
    broken = nn.Sequential(nn.LazyLinear(8), nn.Linear(9, 4))
    for call in (*LOOKS.values(), gs.initialize):
        with no_trace(model=broken), pytest.raises(gs.GainstageError, match=r"lazy|raised"):
            call(broken, batch())
    refused = nn.Sequential(nn.LazyLinear(8), Calls(lambda m, x: m.fc(x), fc=nn.Linear(8, 4)))
    before = Snapshot(model=refused)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gainstage.plan._make.Plan.apply", raises)
        with pytest.raises(MemoryError):
            gs.initialize(refused, batch(), scheme=scheme)
    assert not before.differences(Snapshot(model=refused))


def raises(*args: Any, **kwargs: Any) -> None:
    raise MemoryError("on purpose")


def test_in_place_relu_under_inference_mode_gives_the_same_plan_and_tape() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 4))
    plan, tape = gs.plan(model, batch()), gs.record(model, batch(), backward=False)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            assert gs.plan(model, batch()) == plan
            assert repr(gs.record(model, batch(), backward=False)) == repr(tape)
    with torch.no_grad():
        look(model, batch())


def test_the_default_device_may_be_meta() -> None:
    def model() -> nn.Module:
        return Calls(lambda m, x: m.fc(x + torch.zeros(8, device="cpu")), fc=nn.Linear(8, 4, device="cpu"))

    x, expected, made = batch(), model(), model()
    with torch.device("meta"):
        said = {name: call(made, x) for name, call in LOOKS.items()}
        gs.initialize(made, x, calibrate=True)
    assert said["plan"] == gs.plan(expected, x)
    gs.initialize(expected, x, calibrate=True)
    assert torch.equal(made.fc.weight, expected.fc.weight)


def test_a_fake_model_is_planned_as_one_on_the_meta_device() -> None:
    with FakeTensorMode():
        model, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.ones(32, 8)
        plan, tape = gs.plan(model, x), gs.record(model, x)
        gs.check(model, x)
    with torch.device("meta"):
        model, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.ones(32, 8)
        assert plan == gs.plan(model, x)
        assert [s.name for s in tape] == [s.name for s in gs.record(model, x)]


def test_a_record_inside_a_forward_hook() -> None:
    inner, outer = nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    expected, sink = repr(gs.record(outer, batch())), types.ModuleType("sink")
    outer[1].register_forward_hook(lambda module, args, y: setattr(sink, "tape", gs.record(inner, args[0])))
    look(outer, batch())
    assert repr(gs.record(outer, batch())) == expected
    assert [site.name for site in sink.tape] == ["0/linear#0", "1/tanh#0"]


STORED: dict[str, Callable[[], nn.Module]] = {
    "float8": lambda: Calls(
        lambda m, x: F.linear(m.a(x), m.w.to(torch.float32)),
        a=nn.Linear(8, 8),
        w=nn.Parameter(batch(4, 8).to(torch.float8_e4m3fn), requires_grad=False),
    ),
    "float8 that trains": lambda: Calls(
        lambda m, x: F.linear(m.a(x), m.w.to(torch.float32)),
        a=nn.Linear(8, 8),
        w=nn.Parameter(batch(4, 8).to(torch.float8_e4m3fn)),
    ),
    "sparse": UNFILLABLE["sparse"],
    "CSR": lambda: Calls(
        lambda m, x: torch.sparse.mm(m.w, m.a(x).T).T, a=nn.Linear(8, 8), w=nn.Parameter(batch(4, 8).to_sparse_csr())
    ),
    "bfloat16": lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)).bfloat16(),
    "float64": lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)).double(),
}


@pytest.mark.parametrize("kind", STORED)
def test_weights_of_any_storage(kind: str) -> None:
    model = STORED[kind]()
    dtype = torch.float32 if isinstance(model, Calls) else model[0].weight.dtype
    look(model, batch().to(dtype))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.layout is torch.strided and p.itemsize > 1], 0.1)
    report = gs.check(model, batch().to(dtype), optimizer=optimizer)
    assert not [n.why for n in report.not_judged if "report" in n.why]


def test_two_threads_at_once() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 4))
    expected = {name: repr(call(model, batch())) for name, call in LOOKS.items()}
    found: list[bool] = []

    def work(name: str) -> None:
        found.append(all(repr(LOOKS[name](model, batch())) == expected[name] for _ in range(3)))

    with no_trace(model=model):
        threads = [threading.Thread(target=work, args=(name,)) for name in (*LOOKS, *LOOKS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [True] * 6


def test_the_same_tape_twice_from_any_memory() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(8 * 13 * 13, 10))
    x, tapes = batch(16, 3, 15, 15), set()
    for offset in range(4):  # moments do not depend on where a tensor begins
        moved = torch.empty(x.numel() + offset)[offset:].copy_(x.flatten()).view_as(x)
        tapes.add(repr(gs.record(model, moved)))
    assert len(tapes) == 1


def leave() -> None:
    sys.exit(0)


def exhaust() -> None:
    raise MemoryError


ENDS: dict[str, Callable[[], None]] = {"exit": leave, "memory": exhaust}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("call", [*LOOKS.values(), gs.initialize])
def test_a_model_that_ends_the_program_does_not(call: Any, end: str) -> None:
    def forward(m: Calls, x: Tensor) -> Tensor:
        m.count += 1
        m.norm(m.fc(x))
        ENDS[end]()
        return x

    model = Calls(forward, fc=nn.Linear(8, 4), norm=nn.BatchNorm1d(4), count=0)
    with no_trace(model=model), pytest.raises(gs.GainstageError, match=r"SystemExit|MemoryError"):
        call(model, batch())


@pytest.mark.parametrize("call", [*LOOKS.values(), gs.initialize])
def test_ctrl_c_stays_ctrl_c(call: Any) -> None:
    def forward(m: Calls, x: Tensor) -> Tensor:
        m.norm(m.fc(x))
        raise KeyboardInterrupt

    model = Calls(forward, fc=nn.Linear(8, 4), norm=nn.BatchNorm1d(4))
    with no_trace(model=model), pytest.raises(KeyboardInterrupt):
        call(model, batch())


# --- wrappers ---------------------------------------------------------------------------------------------------------

WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "AveragedModel": AveragedModel,
    "compile": lambda model: torch.compile(model, backend="eager"),
    "checkpoint": checkpoint_wrapper,
    "parts": lambda model: nn.Sequential(checkpoint_wrapper(model[0]), *model[1:-1], nn.DataParallel(model[-1])),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_model_is_the_same_model(wrapper: str) -> None:
    def make() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))

    bare, wrapped, x = make(), WRAPPERS[wrapper](make()), batch()
    said, expected = look(wrapped, x), look(bare, x)
    assert said["plan"] == expected["plan"]
    assert said["record"].unused == expected["record"].unused == ()
    assert [f.where for f in said["check"].findings] == [f.where for f in expected["check"].findings]
    assert {s.path for s in said["record"].sites if s.kind == "parameter"} == set(expected["plan"])
    for calibrate in (False, True):
        assert gs.initialize(wrapped, x, seed=2, calibrate=calibrate) == gs.initialize(
            bare, x, seed=2, calibrate=calibrate
        )
        assert all(torch.equal(a, b) for a, b in zip(wrapped.parameters(), bare.parameters(), strict=True))
    expected["plan"].apply(wrapped, seed=3)

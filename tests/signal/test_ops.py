"""The table of operations: its rows are true of torch, and a new row is known everywhere."""

import inspect
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import Graph, ops

ROWS = ops._ROWS
ROOMS = (F, torch, Tensor, torch._C._linalg, torch._C._special)


def in_torch(name: str) -> bool:
    operator = hasattr(Tensor, f"__{name}__")
    return operator or any(hasattr(room, name) for room in ROOMS) or hasattr(torch.ops.aten, name)


@pytest.mark.parametrize("name", [name for row in ROWS for name in (row.name, *row.aliases)])
def test_every_name_is_one_of_torch(name: str) -> None:
    assert in_torch(name)


def test_no_two_rows_share_a_name() -> None:
    names = [name for row in ROWS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))


def signatures(name: str) -> Iterator[list[str]]:
    """The argument names of every form of an operation that Python or the dispatcher tell."""
    function = getattr(F, name, None)
    if inspect.isfunction(function) and "kwargs" not in (known := list(inspect.signature(function).parameters)):
        yield known
    elif not inspect.isfunction(function) and hasattr(torch.ops.aten, name):
        packet = getattr(torch.ops.aten, name)
        for form in packet.overloads():
            found = [argument.name for argument in getattr(packet, form)._schema.arguments]
            yield ["input" if argument == "self" else argument for argument in found]


@pytest.mark.parametrize("row", [row for row in ROWS if row.arguments], ids=lambda row: row.name)
def test_arguments_stand_in_the_order_of_torch(row: ops.Op) -> None:
    known = list(signatures(row.name))
    if not known:
        pytest.skip("neither Python nor the dispatcher says")
    assert any(found[: len(row.arguments)] == list(row.arguments) for found in known), known


@pytest.mark.parametrize("row", [r for r in ROWS if r.kind in ("activation", "function")], ids=lambda r: r.name)
def test_ranges_hold_and_flat_parts_are_flat(row: ops.Op) -> None:
    function = getattr(F, row.name, None) or getattr(torch, row.name, None)
    x = torch.linspace(-30, 30, 6001, dtype=torch.float64, requires_grad=True)
    try:
        y = function(x)
    except (TypeError, RuntimeError):
        pytest.skip("needs more than one argument")
    if row.name == "where":
        pytest.skip("finds indices where it is given one argument")
    good = y[~y.isnan()]
    assert row.low - 1e-12 <= float(good.min())
    assert float(good.max()) <= row.high + 1e-12
    if row.flat is not None and not row.name.startswith("hard"):
        slope = torch.autograd.grad(y.sum(), x)[0]
        flat = (y < row.flat[0]) | (y > row.flat[1])
        assert float(slope[flat].max()) < 0.042 * float(slope.max())
    if row.rectifies:
        assert float(y[x < -1].abs().max()) == 0


def test_an_operation_without_a_row_is_unknown() -> None:
    assert ops.named("no_such_operation") is ops.UNKNOWN
    assert ops.named("no_such_operation").kind == "unknown"
    assert set(ops.KINDS) == {row.kind for row in ROWS} | {"unknown"}


@pytest.fixture
def asinh_row() -> Iterator[None]:
    assert ops.named("asinh") is ops.UNKNOWN
    ops.register(ops.Op("asinh", "activation", ("input",), aliases=("arcsinh",)))
    yield
    del ops._BY_NAME["asinh"], ops._BY_NAME["arcsinh"]


class Asinh(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(torch.arcsinh(self.a(x))).asinh())


def test_a_new_row_is_known_to_graph_planner_and_prediction(asinh_row: None) -> None:
    torch.manual_seed(0)
    model, x = Asinh(), torch.randn(256, 16)
    tape = gs.record(model, x)
    graph = Graph(tape)
    first, second, _ = graph.weights
    assert [fate.kind for fate in graph.fates(first)] == ["activation"]
    assert [fate.kind for fate in graph.fates(second)] == ["activation"]
    plan = gs.plan(model, x)
    assert plan["a.weight"].role == "input weight into arcsinh"
    assert plan["b.weight"].law.concrete((64, 64)).std == pytest.approx(gs.gain(torch.asinh) / 8, rel=5e-3)
    forward, backward = gs.theory.predict(tape, model)[first]
    assert forward == pytest.approx(tape.sites[first].forward.rms, rel=0.2)
    assert backward == pytest.approx(tape.sites[first].backward.rms, rel=0.2)


def test_without_the_row_it_is_not() -> None:
    graph = Graph(gs.record(Asinh(), torch.randn(8, 16)))
    assert [fate.kind for fate in graph.fates(next(iter(graph.weights)))] == ["other"]


TURNS = {
    "T": lambda w: w.T,
    "t": lambda w: w.t(),
    "mT": lambda w: w.mT,
    "H": lambda w: w.H,
    "mH": lambda w: w.mH,
    "adjoint": lambda w: w.adjoint(),
    "transpose": lambda w: w.transpose(0, 1),
    "swapaxes": lambda w: w.swapaxes(-1, -2),
    "swapdims": lambda w: w.swapdims(0, 1),
    "permute": lambda w: w.permute(1, 0),
    "torch.permute": lambda w: torch.permute(w, (1, 0)),
    "movedim": lambda w: w.movedim(0, 1),
    "moveaxis": lambda w: torch.moveaxis(w, 1, 0),
    "thrice": lambda w: w.T.mH.swapdims(0, 1),
}


class Turned(nn.Module):
    def __init__(self, turn, units: Tensor) -> None:
        super().__init__()
        self.w, self.head, self.turn = nn.Parameter(units.clone()), nn.Linear(16, 4), turn
        with torch.no_grad():
            self.head.weight.copy_(self.head.weight[:, :1].expand(4, 16).clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(F.linear(x, self.turn(self.w))))


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_a_transpose_is_one_in_every_spelling(turn) -> None:
    """The weight is stored as (in, out), and its 16 equal units are found along its second axis."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 8), torch.arange(64) % 4
    model = Turned(turn, 0.3 * torch.randn(8, 1).expand(8, 16))
    graph = Graph(gs.record(model, x))
    assert graph.stored_transposed(next(iter(graph.weights.values())))
    found = gs.check(model, x, target=y, loss=F.cross_entropy, select=["INI101"]).findings
    assert [(f.code, f.where) for f in found] == [("INI101", "w")]


@pytest.mark.parametrize("turn", [lambda w: w.permute(0, 1), lambda w: w.T.mT, lambda w: w.movedim(0, 0)])
def test_what_comes_back_to_its_place_is_no_transpose(turn) -> None:
    model = Turned(turn, torch.randn(16, 8))
    graph = Graph(gs.record(model, torch.randn(4, 8)))
    assert not graph.stored_transposed(next(iter(graph.weights.values())))

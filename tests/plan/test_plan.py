"""A plan is data: it prints, round-trips, is changed, applied and compared."""

import json

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs
from gainstage import init


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


X = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))


class Mixed(nn.Module):
    """Most kinds of parameter at once."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.conv = nn.Conv1d(16, 8, 3, groups=2)
        self.deep = nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(8, 8), nn.ReLU())])
        self.tanh = nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(8, 8), nn.Tanh())])
        self.stack = nn.Parameter(torch.randn(8, 4))
        self.head = nn.Linear(4, 20)

    def forward(self, ids: Tensor) -> Tensor:
        x, _ = self.lstm(self.embed(ids))
        x = self.conv(self.encoder(x).transpose(1, 2)).mean(-1)
        return self.head(self.tanh(self.deep(x)) @ self.stack)


IDS = torch.randint(0, 20, (4, 7), generator=torch.Generator().manual_seed(0))


def weights(m: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in m.named_parameters()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("scheme", ["auto", "torch", "xavier_uniform", "orthogonal", "gpt2"])
def test_json_round_trip_gives_the_same_plan_and_the_same_weights(scheme: str) -> None:
    one, two = Mixed(), Mixed()
    plan = gs.initialize(one, IDS, seed=3, scheme=scheme)
    again = gs.Plan.from_json(plan.to_json())
    assert again == plan
    again.apply(two, seed=3)
    assert same(weights(one), weights(two))


def test_weights_do_not_depend_on_order_or_on_the_global_seed() -> None:
    one, two = model(), model()
    plan = gs.plan(one, X)
    plan.apply(one, seed=1)
    torch.manual_seed(99)
    backwards = gs.Plan(plan.model, plan.scheme, dict(reversed(plan.assignments.items())), plan.shapes)
    backwards.apply(two, seed=1)
    assert same(weights(one), weights(two))
    plan.apply(two, seed=2)
    assert not same(weights(one), weights(two))


def test_planning_touches_nothing_and_applying_leaves_random_states() -> None:
    m = model()
    before, state = weights(m), torch.get_rng_state()
    plan = gs.plan(m, X)
    assert same(before, weights(m))
    plan.apply(m)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in m.parameters())


def test_replace_and_only() -> None:
    m = model()
    plan = gs.plan(m, X)
    changed = plan.replace({"0.weight": init.constant(0.5)})
    assert changed["0.weight"].law == init.constant(0.5)
    assert plan["0.weight"].law != init.constant(0.5)
    before = weights(m)
    changed.only(["0.weight"]).apply(m)
    assert bool((m[0].weight == 0.5).all())
    assert torch.equal(before["2.weight"], m[2].weight)
    with pytest.raises(gs.GainstageError, match=r"no parameter '0.wieght'; did you mean '0.weight'"):
        plan.replace({"0.wieght": init.zeros()})
    with pytest.raises(gs.GainstageError, match="takes laws"):
        plan.replace({"0.weight": "he_normal"})


def test_apply_is_all_or_nothing() -> None:
    m = model()
    plan = gs.plan(m, X)
    before = weights(m)
    with pytest.raises(gs.GainstageError, match="needs a matrix"):
        plan.replace({"2.weight": init.mirrored(), "0.weight": init.mirrored(rows=True, columns=False)}).replace(
            {"2.bias": init.mirrored()}
        ).apply(m)
    assert same(before, weights(m))
    other = nn.Sequential(nn.Linear(64, 31), nn.ReLU(), nn.Linear(31, 10))
    before = weights(other)
    with pytest.raises(gs.GainstageError, match=r"shape \(31, 64\), the plan was made for \(32, 64\)"):
        plan.apply(other)
    assert same(before, weights(other))
    with pytest.raises(gs.GainstageError, match="does not have"):
        plan.apply(nn.Linear(3, 3))


def test_a_failure_half_way_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    from gainstage.plan import _apply

    m = Mixed()
    plan = gs.plan(m, IDS)
    before = weights(m)
    calls = []

    def failing(tensor: Tensor, law: init.Law, **options) -> Tensor:
        calls.append(options["name"])
        if len(calls) == 3:
            raise MemoryError
        return init.fill_(tensor, law, **options)

    monkeypatch.setattr(_apply, "fill_", failing)
    with pytest.raises(MemoryError):
        plan.apply(m)
    assert same(before, weights(m))


def test_audit_is_empty_after_apply_and_names_what_deviates() -> None:
    m = model()
    plan = gs.initialize(m, X)
    assert plan.audit(m) == ()
    with torch.no_grad():
        m[0].weight *= 3
        m[2].bias[0] = float("nan")
    kinds = {d.name: d.kind for d in plan.audit(m)}
    assert kinds == {"0.weight": "deviates", "2.bias": "nonfinite"}
    twins = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    twins[2].load_state_dict(twins[0].state_dict())
    deviations = gs.plan(twins, torch.randn(4, 8), scheme="torch").audit(twins)
    assert any(d.kind == "identical" and "0.weight" in d.message for d in deviations)
    untouched = gs.plan(m, X).only(["0.weight"]).audit(m)
    assert {d.name for d in untouched if d.kind == "untouched"} == {"0.bias", "2.weight", "2.bias"}


@pytest.mark.parametrize("scheme", ["auto", "torch", "he_normal", "orthogonal", "zeros", "uniform"])
def test_emitted_code_is_plain_torch_and_follows_the_same_laws(scheme: str) -> None:
    m = Mixed()
    plan = gs.plan(m, IDS, scheme=scheme)
    code = plan.to_python()
    assert "import gainstage" not in code
    assert "from gainstage" not in code
    namespace: dict = {}
    exec(compile(code, "emitted.py", "exec"), namespace)
    torch.manual_seed(0)
    namespace["initialize"](m)
    assert [str(d) for d in plan.audit(m) if d.kind != "untouched"] == []


def test_emitted_structured_laws_keep_their_structure() -> None:
    m = Mixed()
    namespace: dict = {}
    exec(gs.plan(m, IDS).to_python(), namespace)
    namespace["initialize"](m)
    hidden = m.deep[2].weight.detach()
    assert torch.allclose(hidden[:4], -hidden[4:])
    assert torch.allclose(hidden[:, :4], -hidden[:, 4:])
    assert torch.allclose(hidden[:4, :4] @ hidden[:4, :4].T, torch.eye(4), atol=1e-5)
    gate = m.lstm.weight_hh_l0.detach().chunk(4)[2]
    assert torch.allclose(gate @ gate.T, torch.eye(16), atol=1e-5)


def test_the_table_fits_80_columns() -> None:
    text = gs.plan(Mixed(), IDS).table()
    assert max(map(len, text.splitlines())) <= 80
    assert "lstm.weight_hh_l0" in text
    assert "scheme auto" in text


def test_shared_parameters_are_filled_once_under_their_first_name() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(50, 32), nn.Linear(32, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.embed(ids)))

    m = Tied()
    plan = gs.initialize(m, torch.randint(0, 50, (4, 6)))
    assert "tied" in plan["embed.weight"].role
    assert plan["head.weight"] is plan["embed.weight"]
    assert len(plan) == 1
    loss = nn.functional.cross_entropy(m(torch.arange(50)), torch.arange(50).roll(1))
    assert float(loss) == pytest.approx(torch.tensor(50.0).log().item(), rel=0.1)


def test_models_on_the_meta_device_can_be_planned_and_filled_later() -> None:
    with torch.device("meta"):
        m = model()
    plan = gs.plan(m, X)
    with pytest.raises(gs.GainstageError, match="to_empty"):
        plan.apply(m)
    m.to_empty(device="cpu")
    plan.apply(m)
    real = model()
    gs.plan(real, X).apply(real)
    assert same(weights(m), weights(real))


def test_bad_json_is_refused() -> None:
    with pytest.raises(gs.GainstageError, match="to_json"):
        gs.Plan.from_json("{}")
    with pytest.raises(gs.GainstageError, match="version 9"):
        gs.Plan.from_json('{"version": 9}')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: row.update(role=3), r"'0.weight', its row: Expected `str`, got `int` - at `\$.role`"),
        (lambda row: row.pop("reason"), "missing required field `reason`"),
        (lambda row: row.update(why="x"), "unknown field `why`"),
        (lambda row: row.update(shape=[32, -64]), r"`int` >= 0 - at `\$.shape"),
        (lambda row: row.update(shape=[32, 64.5]), "at `.*shape"),
        (lambda row: row.update(fans=[1]), "fans"),
        (lambda row: row.update(fans=["__import__('os')", 1]), "fans"),
        (lambda row: row.update(level=-1), "level"),
        (lambda row: row.update(transposed=1), "transposed"),
        (lambda row: row.update(law={"law": "normall"}), "no stored law"),
        (lambda row: row.update(law={"law": ["normal"]}), "law"),
        (lambda row: row.update(law={"law": "orthogonal", "gain": 1.0, "scale": "singular", "heads": "1"}), "law"),
        (lambda row: row.update(law={"law": "normal", "mean": 0.0, "std": -1.0}), "std"),
    ],
)
def test_a_row_that_is_no_assignment_is_refused_by_the_parameter_and_the_field(change, says: str) -> None:
    data = json.loads(gs.plan(model(), X).to_json())
    change(data["parameters"]["0.weight"])
    with pytest.raises(gs.GainstageError, match=says):
        gs.Plan.from_json(json.dumps(data))


def test_laws_within_laws_without_end_are_refused() -> None:
    data = json.loads(gs.plan(model(), X).to_json())
    row = data["parameters"]["0.bias"]
    for levels, says in ((100, "laws within one another"), (900, "law")):
        row["law"] = {"law": "constant", "value": 0.0}
        for _ in range(levels):
            row["law"] = {"law": "scaled", "of": row["law"], "factor": 1.0}
        with pytest.raises(gs.GainstageError, match=says):
            gs.Plan.from_json(json.dumps(data))


def test_a_parameter_twice_or_under_two_names_is_refused() -> None:
    text = gs.plan(model(), X).to_json()
    with pytest.raises(gs.GainstageError, match=r"'0\.bias' twice"):
        gs.Plan.from_json(text.replace('"0.weight"', '"0.bias"'))
    with pytest.raises(gs.GainstageError, match=r"'2\.bias' is both a parameter and a tie"):
        gs.Plan.from_json(text.replace('"ties": {}', '"ties": {"2.bias": "0.bias"}'))


def test_a_mask_that_comes_with_the_input_is_no_signal() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.where(x[:, :1] > 0, torch.tanh(self.first(x)), torch.zeros(16)))

    plan = gs.plan(Masked(), torch.randn(32, 8))
    assert plan["first.weight"].role == "input weight into tanh"
    assert plan["last.weight"].role == "output head"

"""Facts behind the rules about normalization, regularization and scale, against closed forms and torch itself."""

import faulty_norm  # noqa: F401
import healthy_norm  # noqa: F401
import pytest
import torch
import torch.nn.functional as F
from faulty import FAULTY
from healthy import HEALTHY
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gainstage as gs
from gainstage.check.evidence import Evidence
from gainstage.check.facts.dropblock import delivered
from gainstage.check.facts.dropout import drops, in_evaluation
from gainstage.check.facts.norms import norms, unit_axis
from gainstage.check.facts.penalty import decoupled, of_loss, of_optimizer
from gainstage.check.facts.recurrent import forget_gates
from gainstage.check.facts.running import gap, in_training
from gainstage.check.facts.scale import scales
from gainstage.check.facts.symptoms import symptoms
from gainstage.signal import walk


def evidence_of(subject: gs.Subject) -> Evidence:
    given = {"target": subject.target, "loss": subject.loss, "optimizer": subject.optimizer}
    return Evidence(subject.model, subject.example, **given)


def state(model: nn.Module) -> dict[str, object]:
    """What a probe must leave alone, as comparable values."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {name: tensor.detach().tolist() for name, tensor in tensors.items()},
        "gradients": {name: None if p.grad is None else p.grad.tolist() for name, p in model.named_parameters()},
        "modes": {n: (m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()},
        "random": torch.get_rng_state().tolist(),
    }


def build(name: str) -> gs.Subject:
    return HEALTHY[name]() if name in HEALTHY else FAULTY[name].build()


@pytest.mark.parametrize(
    "name",
    [
        "functional_dropout_always_on",
        "a_penalty_in_the_loss",
        "a_dropblock_of_centres",
        "statistics_of_other_data",
        "trained_and_evaluated",
        "a_layer_norm_over_the_batch",
        "weight_decay_of_one",
    ],
)
def test_no_probe_leaves_a_trace(name: str) -> None:
    subject = build(name)
    before = state(subject.model)
    given = {"target": subject.target, "loss": subject.loss, "optimizer": subject.optimizer}
    gs.check(subject.model, subject.example, **given, select=["NRM", "REG", "INI"])
    assert state(subject.model) == before


# --- dropout -----------------------------------------------------------------------------------------------------


def test_dropout_stands_on_the_tape_and_changes_no_number() -> None:
    model = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.3, inplace=True), nn.ReLU(inplace=True), nn.Linear(32, 4))
    x = torch.randn(16, 8)
    evidence = Evidence(model, x)
    assert [(drop.site.name, drop.rate, drop.units) for drop in drops(evidence)] == [("1/dropout#0", 0.3, 32)]
    end = evidence.tape.sites[evidence.outputs[0]].forward
    assert end is not None
    assert end.mean_square == pytest.approx(float(model.eval()(x).detach().double().square().mean()), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "rates"),
    [
        (lambda x, on: F.dropout(x, 0.4), [0.4]),
        (lambda x, on: F.dropout(x), [0.5]),
        (lambda x, on: F.dropout(input=x, p=0.3), [0.3]),
        (lambda x, on: torch.dropout(x, 0.2, True), [0.2]),
        (lambda x, on: torch.dropout(x, p=0.2, train=True), [0.2]),
        (lambda x, on: F.alpha_dropout(x, 0.1), []),  # its default is off
        (lambda x, on: F.alpha_dropout(x, 0.1, training=on), [0.1]),
        (lambda x, on: F.dropout(x, 0.4, training=False), []),
        (lambda x, on: F.dropout(x, 0.0), []),
    ],
)
def test_active_dropout_is_found_however_it_is_called(call: object, rates: list[float]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(call(self.first(x), self.training))  # type: ignore[operator]

    evidence = Evidence(Model(), torch.randn(16, 8))
    assert [drop.rate for drop in drops(evidence)] == rates


def test_what_eval_switches_off_is_steady() -> None:
    steady, unsteady = build("functional_dropout"), build("functional_dropout_always_on")
    assert in_evaluation(evidence_of(steady)) is None
    found = in_evaluation(evidence_of(unsteady))
    assert found is not None
    assert [drop.rate for drop in found.drops] == [0.5]


# --- penalties ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1e-3, 0.3])
def test_a_penalty_in_the_loss_is_told_from_the_data(strength: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    x, y = torch.randn(32, 8), torch.arange(32) % 4
    weights = [model[0].weight, model[2].weight]

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + strength * sum(w.square().sum() for w in weights)

    pull = of_loss(Evidence(model, x, target=y, loss=loss))
    data = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
    assert pull is not None
    assert pull.penalty == pytest.approx(
        2 * strength * sum(float(w.detach().square().sum()) for w in weights) ** 0.5, rel=1e-5
    )
    assert pull.data == pytest.approx(sum(float(g.square().sum()) for g in data) ** 0.5, rel=1e-4)
    assert pull.rate == pytest.approx(2 * strength, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "pulls"),
    [
        (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.3}, True),
        (torch.optim.Adam, {"weight_decay": 0.3}, True),
        (torch.optim.Adam, {"weight_decay": 0.3, "decoupled_weight_decay": True}, False),
        (torch.optim.AdamW, {"weight_decay": 0.3}, False),
        (torch.optim.SGD, {"lr": 0.1}, False),
    ],
)
def test_only_coupled_weight_decay_pulls_with_the_gradient(kind: type, options: dict[str, float], pulls: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = kind(model.parameters(), **options)
    x, y = torch.randn(32, 8), torch.arange(32) % 4
    evidence = Evidence(model, x, target=y, loss=F.cross_entropy, optimizer=optimizer)
    pull = of_optimizer(evidence)
    assert (pull is not None and not decoupled(evidence)) == pulls
    if pull is not None:
        size = sum(float(p.detach().square().sum()) for p in model.parameters() if p.dim() > 1) ** 0.5
        assert pull.penalty == pytest.approx(0.3 * size, rel=1e-5)
        assert pull.rate == pytest.approx(0.3)


def test_a_dropblock_is_measured_to_one_percent() -> None:
    """Blocks of 3 x 3 with probability r of a centre: an entry that no border cuts stays with (1 - r)^9."""
    evidence = evidence_of(build("a_dropblock_of_centres"))
    (found,) = delivered(evidence)
    inner, edge, corner = 12 * 12, 4 * 12, 4
    stay = sum(n * 0.95**taps for n, taps in ((inner, 9), (edge, 6), (corner, 4))) / 14**2
    # 1020 maps of 196 entries, 9 of a kind: standard error of the share about 0.0025
    assert found.dropped == pytest.approx(1 - stay, abs=0.015)


# --- normalization -----------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(4)), st.booleans())
def test_units_are_followed_through_permutations(order: list[int], convolved: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 7, 1) if convolved else nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.layer(x).permute(order))

    evidence = Evidence(Model(), torch.randn(2, 3, 4, 5))
    (tanh,) = (site for site in evidence.tape if site.op == "tanh")
    found = unit_axis(evidence, tanh.inputs[0].site)
    assert found == order.index(1 if convolved else 3)
    assert tanh.shape[found] == 7


@pytest.mark.parametrize(("a", "b"), [(0, 1), (0, 2), (1, 2)])
def test_units_are_followed_through_transposes(a: int, b: int) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(torch.relu(self.layer(x)).transpose(a, b))

    evidence = Evidence(Model(), torch.randn(2, 3, 5))
    (tanh,) = (site for site in evidence.tape if site.op == "tanh")
    found = unit_axis(evidence, tanh.inputs[0].site)
    assert found is not None
    assert tanh.shape[found] == 7


@pytest.mark.parametrize(
    ("norm", "shape", "values"),
    [
        (nn.BatchNorm2d(6), (4, 6, 5, 5), 100),
        (nn.BatchNorm1d(6), (4, 6), 4),
        (nn.GroupNorm(3, 6), (4, 6, 5, 5), 50),
        (nn.GroupNorm(6, 6), (4, 6), 1),
        (nn.InstanceNorm2d(6), (4, 6, 5, 5), 25),
        (nn.LayerNorm(6), (4, 5, 6), 6),
        (nn.LayerNorm([5, 6]), (4, 5, 6), 30),
        (nn.RMSNorm(6), (4, 5, 6), 6),
    ],
)
def test_values_of_a_statistic_are_counted(norm: nn.Module, shape: tuple[int, ...], values: int) -> None:
    axis = 1 if isinstance(norm, nn.GroupNorm) or "Batch" in str(norm) or "Instance" in str(norm) else -1
    scale = torch.ones(shape[axis]).view([-1 if a == axis % len(shape) else 1 for a in range(len(shape))])

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.norm = nn.Parameter(scale), norm

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x * self.scale)

    assert [found.values for found in norms(Evidence(Model(), torch.randn(shape)))] == [values]


def test_stored_statistics_are_compared_with_those_of_the_batch() -> None:
    model = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 2))
    model[0].running_mean.fill_(1.0)
    model[0].running_var.fill_(4.0)
    x = 8.0 * torch.randn(4096, 5) + 5.0
    (found,) = in_training(Evidence(model, x)).stored
    # median of 5 channels; 6 standard errors of one: 6 * 8 / 64 / 2 and 6 * 16 * sqrt(2 / 4096)
    assert found.shift == pytest.approx(4 / 2, abs=0.4)
    assert found.ratio == pytest.approx(64 / 4, abs=2.2)


def test_the_gap_is_the_difference_of_the_two_losses() -> None:
    subject = build("statistics_of_other_data")
    found = gap(evidence_of(subject))
    with torch.no_grad():
        evaluation = float(subject.loss(subject.model.eval()(subject.example), subject.target))
    assert found.evaluation == pytest.approx(evaluation, rel=1e-5)
    assert found.guess == pytest.approx(torch.log(torch.tensor(10.0)).item(), rel=1e-5)
    assert found.harmful


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_the_variance_with_dropout_is_foretold(rate: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(rate), nn.BatchNorm1d(64), nn.Linear(64, 4))
    x = torch.randn(20_000, 8)
    report = gs.check(model, x, select="NRM407")
    said = float(report.findings[0].measured.split("about ")[1].split(" times")[0])
    h = torch.relu(model[0](x)).detach()
    assert said == pytest.approx(float(F.dropout(h, rate).var() / h.var()), rel=0.06)  # two digits are shown


# --- starts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
def test_steps_of_an_lstm_are_not_its_samples(batch_first: bool) -> None:
    model = nn.LSTM(4, 8, num_layers=2, batch_first=batch_first)
    shape = (16, 40, 4) if batch_first else (40, 16, 4)
    (gate,) = forget_gates(Evidence(model, torch.randn(shape)))
    assert gate.steps == 40
    bias = sum(float(p.detach().chunk(4)[1].mean()) for n, p in model.named_parameters() if "bias" in n)
    assert gate.bias == pytest.approx(bias / 2, abs=1e-6)


def test_steps_of_a_packed_sequence_are_the_mean_length() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(4, 8, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            lengths = torch.tensor([12, 9, 9, 6])
            return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[1][0][0]

    (gate,) = forget_gates(Evidence(Packed(), torch.randn(4, 12, 4)))
    assert gate.steps == 9


def test_the_ratio_is_one_under_the_law_itself() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 256), nn.ReLU())
    model.append(nn.Linear(256, 4))
    for layer, law in ((0, "identity"), (2, "relu"), (4, "tanh")):
        nn.init.normal_(model[layer].weight, std=gs.gain(law) / model[layer].in_features ** 0.5)
    found = scales(Evidence(model, torch.randn(64, 64)))
    assert [s.reads for s in found] == ["", "relu", "tanh", "relu"]
    # 16,384 entries or more: the standard deviation is known to 0.6 %, and 4 % are 7 of that
    assert [s.ratio for s in found[:3]] == pytest.approx([1, 1, 1], abs=0.04)
    assert [s.head for s in found] == [False, False, False, True]


@pytest.mark.parametrize(
    "name", ["unet", "resnet", "lora", "small_cnn", "a_pooled_branch_normalized_away", "mixture_of_experts", "vae"]
)
def test_all_cuts_at_once_are_the_cuts_one_by_one(name: str) -> None:
    evidence = evidence_of(build(name))
    assert evidence.graph.weights
    graph = evidence.graph
    ends = graph.outputs | {site.index for site in graph.sites if site.kind == "loss"}
    starts = [site.index for site in graph.sites if site.kind == "input"]

    def around(index: int) -> set[int]:
        return set(walk(starts, lambda i: [] if i in ends else [r for r in graph.consumers[i] if r != index]))

    assert [evidence.cut(i) for i in graph.weights] == [not ends & around(i) for i in graph.weights]


def test_small_weights_without_harm_are_not_reported() -> None:
    assert not symptoms(evidence_of(build("two_hundredths_without_harm")))
    subject = build("two_hundredths_without_harm")
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss, select="INI104")
    assert report.judged == ("INI104",)
    assert not report.findings

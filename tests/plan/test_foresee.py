"""Forecasts beside what is measured, closed forms, and what is said of operations that theory does not know."""

import json
from math import log, pi, sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.plan import foresee
from gainstage.signal import observe, softmax_sums
from gainstage.theory.precision import FORMATS, outside

X = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(64) * 7 % 50


def classes(y: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(y.reshape(-1, y.shape[-1]), labels.flatten())


def errors(model: nn.Module, x: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Relative errors of a forecast from the model's weights."""
    forecast = foresee(model, x, target=labels, loss=classes)
    assert forecast.coverage == 1.0, forecast.uncovered
    sites = {s.site.name: s for s in forecast.sites}
    seen = observe(model, x, target=labels, loss=classes)
    pairs = [(sites[s.name], s) for s in seen.tape if s.forward is not None and s.name in sites]
    norms = {n: float(g.norm()) for n, g in seen.gradients.items() if g.dim() > 1}
    return {
        "forward": [abs(f.rms / s.forward.rms - 1) for f, s in pairs],
        "backward": [abs(f.gradient_rms / s.backward.rms - 1) for f, s in pairs if f.gradient_rms and s.backward],
        "norms": [abs(forecast.gradients[n] / norm - 1) for n, norm in norms.items()],
        "loss": [abs(forecast.loss / seen.tape.loss - 1)],
    }


def mlp(act: type[nn.Module], norm: type[nn.Module] | None = None) -> nn.Module:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(4):
        parts += [nn.Linear(512 if parts else 128, 512), *([norm(512)] if norm else []), act()]
    return nn.Sequential(*parts, nn.Linear(512, 50))


@pytest.mark.parametrize("norm", [None, nn.LayerNorm, nn.RMSNorm, nn.BatchNorm1d])
@pytest.mark.parametrize("act", [nn.ReLU, nn.GELU, nn.Tanh])
def test_chains_are_foreseen(act: type[nn.Module], norm: type[nn.Module] | None) -> None:
    found = errors(mlp(act, norm), X, LABELS)
    middle = {kind: sorted(all_of)[len(all_of) // 2] for kind, all_of in found.items()}
    assert middle["forward"] < 0.02
    assert middle["backward"] < 0.07
    assert max(found["forward"][:-1]) < 0.08  # of a few outputs the level hangs on the draw
    assert max(found["backward"]) < 0.12
    assert max(found["norms"]) < 0.16
    assert max(found["loss"]) < 0.02


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3"])
def test_decoders_are_foreseen_with_every_position_on_its_own(name: str) -> None:
    """The usual start, whose stream is small: each position hears its own token, and what all before it share."""
    import transformers

    sizes = {
        "gpt2": {"n_embd": 128, "n_layer": 3, "n_head": 4},
        "llama": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3, "num_attention_heads": 4},
    }
    sizes["qwen3"] = sizes["llama"] | {"head_dim": 32, "num_key_value_heads": 2}
    kind = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[name]
    torch.manual_seed(0)
    head = getattr(transformers, kind)
    model = head(head.config_class(**sizes[name], vocab_size=400)).eval()

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Tensor) -> Tensor:
            return self.model(ids, use_cache=False).logits

    ids, labels = torch.randint(400, (2, 16, 32), generator=torch.Generator().manual_seed(1))
    found = {k: torch.tensor(v) for k, v in errors(Logits(), ids, labels).items()}
    assert float(found["forward"].median()) < 0.015
    assert float(found["forward"].quantile(0.99)) < 0.1
    assert float(found["backward"].median()) < 0.07
    assert float(found["norms"].median()) < 0.1
    assert float(found["loss"]) < 0.01


def test_a_forecast_from_laws_needs_no_values() -> None:
    with torch.device("meta"):
        empty = mlp(nn.ReLU)
    plan, real = gs.plan(empty, X), mlp(nn.ReLU)
    forecast = gs.foresee(empty, X, plan, target=LABELS, loss=classes)
    plan.apply(real, seed=1)
    tape = gs.record(real, X, target=LABELS, loss=classes)
    for site in tape:
        assert forecast[site.name].rms == pytest.approx(site.forward.rms, rel=0.1)
        assert forecast[site.name].gradient_rms == pytest.approx(site.backward.rms, rel=0.1)
    with pytest.raises(gs.GainstageError, match=r"gs.plan\(model, example\)"):
        gs.foresee(empty, X)


def test_closed_forms() -> None:
    """A ReLU of level 1 has mean square 1/2, mean 1/sqrt(2 pi), and two samples of it the arc-cosine kernel."""
    model = nn.Sequential(nn.Linear(128, 256, bias=False), nn.ReLU(), nn.Linear(256, 10, bias=False))
    nn.init.normal_(model[0].weight, std=128**-0.5)
    nn.init.zeros_(model[2].weight)
    shared = torch.randn(1, 128, generator=torch.Generator().manual_seed(3)) + 0.0 * X
    x = (shared + torch.randn(64, 128, generator=torch.Generator().manual_seed(4))) / sqrt(2)
    forecast = gs.foresee(model, x)
    level, relu = forecast["0"].rms ** 2, forecast["1"]
    assert relu.rms**2 == pytest.approx(level / 2, rel=1e-3)
    assert relu.mean == pytest.approx(sqrt(level / 2 / pi), rel=1e-3)
    rho = forecast["0"].alike
    kernel = level * (sqrt(1 - rho**2) + rho * (pi - torch.tensor(rho).acos().item())) / (2 * pi)
    assert relu.alike == pytest.approx((kernel - relu.mean**2) / (relu.rms**2 - relu.mean**2), abs=5e-3)
    assert forecast.loss == pytest.approx(log(10))
    assert forecast.loss_from == "cross-entropy over 10 classes, labels at random"


@pytest.mark.parametrize(("variance", "n"), [(0.0, 7), (1.0, 2), (1.0, 40), (4.0, 16)])
def test_sums_of_a_softmax(variance: float, n: int) -> None:
    a = (torch.randn(20000, n, generator=torch.Generator().manual_seed(0)) * variance**0.5).softmax(1).double()
    square = a.square().sum(1)
    bent = (a.square() * (1 - 2 * a + square[:, None])).sum(1)
    assert softmax_sums(variance, n) == pytest.approx((float(square.mean()), float(bent.mean())), rel=0.02)
    assert softmax_sums(variance, 1) == (1.0, 0.0)


def test_pooling_keeps_what_positions_share() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 512, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 50))
    found = errors(model, torch.randn(64, 3, 12, 12), LABELS)
    assert max(found["forward"][:3]) < 0.03
    assert max(found["backward"]) < 0.1


def test_what_theory_does_not_cover_is_named_and_what_rests_on_it_is_counted() -> None:
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.norm, self.c = (
                nn.Linear(128, 64),
                nn.Linear(64, 64),
                nn.LayerNorm(64),
                nn.Linear(64, 9),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.norm(self.b(self.a(x).sort(-1).values)))

    forecast = gs.foresee(Sorted(), X)
    assert forecast.uncovered == {"sort": 1}
    assert [s.site.op for s in forecast.sites if not s.covered] == ["sort", "linear"]
    assert forecast["norm"].rms == pytest.approx(1.0, rel=0.01)  # a normalization ends it
    text = forecast.table(80)
    assert max(map(len, text.splitlines()[:-3])) <= 80
    assert "taken as 1: sort (1)" in text


def test_the_first_step() -> None:
    model = mlp(nn.ReLU)
    forecast = gs.foresee(model, X, target=LABELS, loss=classes)
    weight = model[0].weight
    rms = float(weight.square().mean().sqrt())
    assert forecast.update_ratio("0.weight", 1e-3) == pytest.approx(1e-3 / rms, rel=1e-3)
    sgd = forecast.gradients["0.weight"] * 0.1 / float(weight.norm())
    assert forecast.update_ratio("0.weight", 0.1, "sgd") == pytest.approx(sgd, rel=1e-3)
    muon = 0.02 * sqrt(4) * sqrt(128) / float(weight.norm())
    assert forecast.update_ratio("0.weight", 0.02, "muon") == pytest.approx(muon, rel=1e-3)
    with pytest.raises(gs.GainstageError, match="sgd, adam, muon"):
        forecast.update_ratio("0.weight", 0.1, "adagrad")


def test_shares_outside_of_number_formats() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    for rms, form, dtype in ((1e-7, "fp16", torch.float16), (2e-3, "fp8 e4m3", torch.float8_e4m3fn)):
        lost = float(((rms * x).to(dtype).float() == 0).float().mean())
        assert outside(rms, len(x), FORMATS[form])[0] == pytest.approx(lost, abs=0.01)
    assert outside(3e4, 1, FORMATS["fp16"])[1] == pytest.approx(
        float((3e4 * x).half().isinf().float().mean()), abs=2e-3
    )
    assert outside(1e-9, 4096, FORMATS["fp8 e4m3, scaled"])[0] < 1e-2  # a scale makes the level irrelevant
    below, above = outside(7.0, 4096, FORMATS["mxfp4"])
    assert 0.05 < below < 0.2
    assert above < 0.02


def test_a_forecast_is_data_and_a_drawing() -> None:
    forecast = gs.foresee(mlp(nn.ReLU), X)
    data = json.loads(forecast.to_json())
    assert data["loss"] == forecast.loss
    assert [row["site"] for row in data["sites"]] == [s.site.name for s in forecast.sites]
    axes = forecast.plot()
    assert axes.get_title() == "Forecast of Sequential"
    assert len(axes.lines) == 2
    assert forecast.precision("0")["bf16"] == pytest.approx((0.0, 0.0), abs=1e-30)
    with pytest.raises(KeyError, match="did you mean"):
        forecast["0/linear"]

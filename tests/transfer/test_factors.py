"""What a transfer gives every parameter: by the papers' tables, the same at the base, exact where it is folded."""

import copy
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sized import FAMILIES, IDS, mlp, next_token, transformer
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.errors import GainstageError
from gainstage.run import Subject
from gainstage.train import fit
from gainstage.transfer import Transfer, transfer
from gainstage.watch import Watch

# Of an MLP from width 64 to 256: start, rate and epsilon, by the first and last letter of "input, hidden, output".
TABLE = {
    ("mup", "adam"): {"0.weight": (1, 1, 1 / 4), "2.weight": (1 / 2, 1 / 4, 1 / 4), "4.weight": (1 / 4, 1 / 4, 1)},
    ("mup", "sgd"): {"0.weight": (1, 4, 1 / 4), "2.weight": (1 / 2, 1, 1 / 4), "4.weight": (1 / 4, 1 / 4, 1)},
    ("mup", "muon"): {"0.weight": (1, 1, 1 / 4), "2.weight": (1 / 2, 1, 1 / 4), "4.weight": (1 / 4, 1 / 4, 1)},
    ("spectral", "adam"): {"0.weight": (1, 1, 1 / 4), "2.weight": (1 / 2, 1 / 4, 1 / 4), "4.weight": (1 / 4, 1 / 4, 1)},
    ("spectral", "sgd"): {"0.weight": (1, 4, 1 / 4), "2.weight": (1 / 2, 1, 1 / 4), "4.weight": (1 / 4, 1 / 4, 1)},
    ("standard", "adam"): {"0.weight": (None, 1, 1), "2.weight": (None, 1, 1), "4.weight": (None, 1, 1)},
}


@pytest.mark.parametrize(("rule", "optimizer"), TABLE)
def test_factors_are_those_of_the_tables(rule: str, optimizer: str) -> None:
    move = transfer(mlp, 64, 256, rule=rule, optimizer=optimizer)
    for name, (std, lr, eps) in TABLE[rule, optimizer].items():
        found = move.scalings[name]
        assert (found.std, found.lr, found.eps) == pytest.approx((std, lr, eps)) or found.std is std is None
        assert (found.lr, found.eps) == pytest.approx((lr, eps))
        assert found.lr * found.weight_decay == pytest.approx(1)
    bias = move.scalings["2.bias"]
    assert bias.lr == (4 if optimizer == "sgd" else 1)
    assert move.scalings["4.bias"].lr == 1


def test_kinds_and_what_grows_are_read_off_two_tapes() -> None:
    kinds = {
        "mlp": {"0.weight": "input", "2.weight": "hidden", "4.weight": "output", "4.bias": "fixed"},
        "cnn": {"0.weight": "input", "2.weight": "vector", "4.weight": "hidden", "8.weight": "output"},
        "transformer": {"embed.weight": "embedding", "position": "vector", "blocks.0.q.weight": "hidden"},
        "gpt2": {"transformer.wte.weight": "tied", "transformer.wpe.weight": "embedding"},
        "mamba": {"1.bc.weight": "output", "1.conv.weight": "vector", "1.decay": "vector", "1.step.weight": "hidden"},
    }
    for family, expected in kinds.items():
        move = transfer(FAMILIES[family], 32, 64)
        assert {name: move.scalings[name].kind for name in expected} == expected
    assert transfer(transformer, 32, 64).scalings["blocks.0.q.weight"].grows == ("fan-in", "head size")
    assert transfer(FAMILIES["llama"], 32, 64).scalings["model.layers.0.self_attn.k_proj.weight"].grows == (
        "fan-in",
        "heads",
    )


@pytest.mark.parametrize("family", ["mlp", "transformer", "gpt2"])
def test_at_the_base_everything_is_as_it_was(family: str) -> None:
    move = transfer(FAMILIES[family], 32, 32, rule="completep")
    assert {(s.std, s.lr, s.eps, s.weight_decay) for s in move.scalings.values()} == {(1, 1, 1, 1)}
    assert [name for name, a in move.plan.items() if a.law is not None] == []
    assert move.multipliers == ()


def test_starts_have_the_scale_of_the_rule() -> None:
    """GPT-2 draws 0.02 at every width: from 32 to 128 its hidden weights become 0.01; the readout is tied."""
    move = transfer(FAMILIES["gpt2"], 32, 128)
    model = move.model(seed=1)
    parameters = dict(model.named_parameters())
    assert float(parameters["transformer.h.0.mlp.c_fc.weight"].std()) == pytest.approx(0.01, rel=0.05)
    assert float(parameters["transformer.wte.weight"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(parameters["transformer.ln_f.weight"].mean()) == pytest.approx(0.25, rel=1e-4)


def test_a_given_scheme_is_scaled() -> None:
    move = transfer(mlp, 64, 256, scheme="he_normal")
    found = {name: float(p.std()) for name, p in move.model().named_parameters()}
    assert found["2.weight"] == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert found["4.weight"] == pytest.approx((2 / 64) ** 0.5 / 4, rel=0.05)
    zero = transfer(mlp, 64, 256, zero_readout=True)
    assert float(dict(zero.model().named_parameters())["4.weight"].abs().max()) == 0


# --- multipliers ------------------------------------------------------------------------------------------------------


class Divided(TorchFunctionMode):
    """Attention logits times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            args = (args[0] * self.factor, *args[1:])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["transformer", "gpt2"])
def test_folded_multipliers_are_the_same_function(family: str) -> None:
    """Separate queries, and GPT-2's: queries, keys and values in one weight, and a readout that is tied."""
    move = transfer(FAMILIES[family], 32, 128)
    logits = next(m for m in move.multipliers if m.what == "attention logits")
    readout = next((m.factor for m in move.multipliers if m.what == "tied readout"), 1.0)
    assert logits.factor == pytest.approx(0.5)
    subject = FAMILIES[family](128)
    with torch.no_grad():
        for parameter in subject.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # biases and scales too
        with Divided(logits.factor):
            wanted = run(subject) * readout
        for m in move.multipliers:
            for name, share in (*m.folded, *m.undone):
                subject.model.get_parameter(name).mul_(share)
        assert torch.allclose(run(subject), wanted, rtol=1e-4, atol=1e-5)


def run(subject: Subject) -> Tensor:
    if isinstance(subject.example, dict):
        return subject.model(**subject.example).logits
    return subject.model(subject.example)


def test_depth_divides_branches_and_what_is_learned_in_them() -> None:
    """From 1 to 4 blocks: 1/L with CompleteP, 1/sqrt(L) with mup, in the last weight of every branch."""
    wide = {"width": 32, "depth": 1}, {"width": 32, "depth": 4}
    for rule, branch, inside in (("completep", 1 / 4, 1.0), ("mup", 1 / 2, 1 / 2)):
        found = transfer(transformer, *wide, rule=rule).scalings
        assert found["blocks.3.down.weight"].std == pytest.approx(branch)
        assert found["blocks.3.down.weight"].lr == pytest.approx(branch * inside)
        assert found["blocks.2.up.weight"].lr == pytest.approx(inside)
        assert found["blocks.2.norm_2.weight"].lr == pytest.approx(inside)
        assert found["blocks.2.up.weight"].eps == pytest.approx(branch)
        assert (found["embed.weight"].lr, found["head.weight"].lr, found["norm.weight"].lr) == (1, 1, 1)


class Tied(nn.Module):
    """An embedding that reads out as well, and no normalization that could take the multiplier."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(32, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 32, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(ids)).tanh())


def test_a_multiplier_that_nothing_takes_is_named_and_can_be_held() -> None:
    move = transfer(lambda width: Subject(Tied(width), IDS, IDS, next_token), 16, 64)
    (needed,) = move.multipliers
    assert (needed.what, needed.module, needed.folded) == ("tied readout", "head", ())
    plain, model = Tied(64), Tied(64)
    keys = list(model.state_dict())
    move.apply(model)
    move.apply(model)  # once
    plain.load_state_dict(model.state_dict())
    assert list(model.state_dict()) == keys
    for copied in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.allclose(copied(IDS), plain(IDS) / 4)


# --- data -------------------------------------------------------------------------------------------------------------


def test_it_is_plain_data() -> None:
    move = transfer(FAMILIES["gpt2"], 32, 64)
    again = Transfer.from_json(move.to_json())
    assert again == move
    model = FAMILIES["gpt2"](64).model
    for one, other in zip(again.param_groups(model, lr=0.1), move.param_groups(model, lr=0.1), strict=True):
        assert (one["names"], one["lr"], one["eps"]) == (other["names"], other["lr"], other["eps"])
    with pytest.raises(GainstageError, match="read from a file"):
        again.check()
    with pytest.raises(GainstageError, match="expected the text"):
        Transfer.from_json('{"version": 1}')


def test_groups_hold_every_parameter_once() -> None:
    move = transfer(transformer, 32, 64)
    model = transformer(64).model
    groups = move.param_groups(model, lr=1e-2, weight_decay=0.1, no_decay=("vector",))
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(id(p) for p in model.parameters())
    decays = {name: g["weight_decay"] for g in groups for name in g["names"]}
    assert decays["norm.weight"] == 0
    assert decays["blocks.0.up.weight"] == pytest.approx(0.2)
    with pytest.raises(GainstageError, match=r"does not know|know: expected"):
        move.param_groups(mlp(64).model, lr=1e-2)


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    move = transfer(transformer, 32, 64, optimizer="muon")
    model = transformer(64).model
    optimizer = move.make_optimizer(model, lr=1e-2)
    names = {id(p): name for name, p in model.named_parameters()}
    muon, adam = ({names[id(p)] for g in part.param_groups for p in g["params"]} for part in optimizer.parts)
    assert "blocks.0.up.weight" in muon
    assert {"embed.weight", "head.weight", "position", "blocks.0.up.bias"} <= adam
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rates = [group["lr"] for group in optimizer.param_groups]
    watch = Watch(model, optimizer, every=1)
    run_ = fit(model, [(IDS, IDS)] * 2, loss=next_token, optimizer=optimizer, schedule=lambda step: 0.5)
    watch.close()
    assert run_.steps == 2
    assert [group["lr"] for group in optimizer.param_groups] == rates  # the schedule is over
    assert watch.report.ok
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {"blocks.0.up.weight", "embed.weight"} <= moved


# --- what cannot be --------------------------------------------------------------------------------------------------


def test_a_factory_that_ignores_the_size_is_told() -> None:
    with pytest.raises(GainstageError, match=r"no parameter grows from 64 to 128: '2.weight' has shape \(64, 64\)"):
        transfer(lambda width: mlp(64), 64, 128)


def test_sizes_of_another_structure_are_told() -> None:
    def make(width: int) -> Subject:
        return mlp(width) if width == 64 else transformer(width)

    with pytest.raises(GainstageError, match="differ in structure"):
        transfer(make, 64, 128)


def test_widths_that_heads_do_not_divide_are_told() -> None:
    with pytest.raises(GainstageError, match=r"of size 33 does not run.*heads divides"):
        transfer(transformer, 32, 33)


@pytest.mark.parametrize("given", [{"rule": "mu"}, {"optimizer": "lion"}])
def test_unknown_names_are_told(given: dict[str, str]) -> None:
    with pytest.raises(GainstageError, match=r"mup|adam"):
        transfer(mlp, 64, 128, **given)

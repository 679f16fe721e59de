"""A streamed start beside the ordinary one: the same loss and the same norms, from weights that are never all there."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.run import call, objective
from gainstage.streaming import _products, blocks_of

X = torch.randn(24, 48, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) * 7 % 10
IDS = torch.randint(5, 90, (2, 12), generator=torch.Generator().manual_seed(1))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.down(F.gelu(self.up(self.norm(x)))))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(48, 32), *(Residual(32) for _ in range(3)), nn.Linear(32, 10))


SCALE = {"scale": gs.init.normal(0.0, 0.1)}  # the plan does not understand it


class Odd(nn.Module):
    """Weights that are computed, sliced, contracted, convolved, tied and read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(90, 16, padding_idx=5)
        self.scale = nn.Parameter(torch.empty(16))
        self.experts = nn.Parameter(torch.empty(3, 16, 16))
        self.conv = nn.Conv1d(16, 16, 3, padding=1)
        self.rnn = nn.GRU(16, 16, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        x = F.layer_norm(self.embed(ids), (16,)) * (1 + self.scale)
        chosen = torch.tensor(2)
        x = (
            x
            + F.linear(x, self.experts[0])
            + x @ self.experts[chosen].t()
            + torch.einsum("bti,oi->bto", x, self.experts[1])
        )
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.rnn(x)[0] + x @ self.experts[0][:, :8] @ self.experts[0][:8]
        return x @ self.embed.weight.t()


def next_token(y: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(y[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def compared(
    make: Callable[[], nn.Module], example: Any, target: Any, loss: Any, more: Any = (), **options: Any
) -> gs.Streamed:
    """Both ways from one plan; every norm to a thousandth, the loss to a millionth."""
    with torch.device("meta"):
        empty = make()
    plan = gs.plan(empty, example).replace(dict(more))
    start = gs.stream(empty, example, plan, seed=3, target=target, loss=loss, **options)
    assert all(p.is_meta for p in empty.parameters())
    whole = make()
    plan.apply(whole, seed=3)
    torch.manual_seed(3)
    value, _ = objective(call(whole, example), target, loss)
    value.backward()
    norms = {n: float(p.grad.norm()) for n, p in whole.named_parameters() if p.grad is not None}
    least = 1e-6 * max(norms.values())  # below: sums that are 0 but for their rounding
    assert start.loss == pytest.approx(value.item(), abs=1e-6)
    assert set(start.gradients) == set(norms)
    for name, norm in norms.items():
        assert start.gradients[name] == pytest.approx(norm, rel=1e-3, abs=least), name
    return start


def test_blocks_with_dropout_are_run_twice_with_the_same_masks() -> None:
    start = compared(mlp, X, LABELS, F.cross_entropy)
    assert [path for path, _, _ in start.blocks] == ["1", "2", "3"]
    assert start.parameters == sum(p.numel() for p in mlp().parameters())


def test_weights_in_small_parts_and_rows_one_by_one_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gainstage.streaming._weights.AT_ONCE", 100)
    monkeypatch.setattr(_products, "FEW", 0)
    monkeypatch.setattr("gainstage.streaming._mode.SMALL", 1)
    monkeypatch.setattr("gainstage.streaming._norms.BLOCK", 64)
    compared(mlp, X, LABELS, F.cross_entropy)
    compared(Odd, IDS, IDS, next_token, SCALE)


def test_whatever_is_done_with_a_weight() -> None:
    start = compared(Odd, IDS, IDS, next_token, SCALE)
    assert start.blocks == ()


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "mixtral", "gemma2"])
def test_decoders_of_hugging_face_from_the_meta_device(name: str) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "run"))
    from test_valueless import decoder

    start = compared(lambda: decoder(name).eval(), {"input_ids": IDS, "labels": IDS}, None, None)
    assert len(start.blocks) == 2
    assert not start.surrogate


def test_borders_in_bfloat16_leave_the_loss() -> None:
    with torch.device("meta"):
        empty = mlp().eval()
    plan = gs.plan(empty, X)
    exact, rounded = (
        gs.stream(empty, X, plan, target=LABELS, loss=F.cross_entropy, borders=kind) for kind in (None, torch.bfloat16)
    )
    assert rounded.loss == exact.loss
    assert rounded.gradients != exact.gradients
    assert rounded.gradient_norm == pytest.approx(exact.gradient_norm, rel=0.02)


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_killed_run_goes_on_behind_the_last_finished_block(at: int, tmp_path: Path) -> None:
    """Killed on the way forward, at the turn, and on the way back: nothing that was finished is done again."""
    left = at

    class Fragile(Residual):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed("Killed")
            return super().forward(x)

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(48, 32), *(Fragile(32) for _ in range(3)), nn.Linear(32, 10))

    with torch.device("meta"):
        empty = make()
    given = {"seed": 3, "target": LABELS, "loss": F.cross_entropy}
    left = 100
    plan = gs.plan(empty, X)
    whole = gs.stream(empty, X, plan, **given)
    left = at
    with pytest.raises(Exception, match="Killed"):
        gs.stream(empty, X, plan, directory=tmp_path, **given)
    left = 6 - at  # three runs forward, three on the way back
    again = gs.stream(empty, X, plan, directory=tmp_path, **given)
    assert left == 0
    assert again.loss == whole.loss
    assert again.gradients == pytest.approx(whole.gradients)
    with pytest.raises(gs.GainstageError, match="holds a run of another"):
        gs.stream(empty, X, plan, directory=tmp_path, **given | {"seed": 4})


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(gs.GainstageError, match="holds other files"):
        gs.stream(mlp(), X, directory=tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_model_with_values_is_not_touched() -> None:
    torch.manual_seed(0)
    model = mlp().eval()
    model[4].weight.requires_grad_(False)
    before, state = {n: p.clone() for n, p in model.named_parameters()}, torch.get_rng_state()
    plan = gs.plan(model, X, scheme="theory")
    assert plan["4.weight"].law is None  # it keeps its values, which are read
    start = gs.stream(model, X, plan, target=LABELS, loss=F.cross_entropy)
    assert all(torch.equal(p, before[n]) and p.grad is None for n, p in model.named_parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert "4.weight" not in start.gradients
    plan.apply(model)
    value = F.cross_entropy(model(X), LABELS)
    assert start.loss == pytest.approx(value.item(), abs=1e-6)


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.calls = nn.Linear(32, 32), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc(x) * self.calls


class Writing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mul_(2))


@pytest.mark.parametrize(("block", "told"), [(Stateful, "gives something else"), (Writing, "writes to its input")])
def test_a_block_that_cannot_be_run_twice_is_named(block: type[nn.Module], told: str) -> None:
    model = nn.Sequential(nn.Linear(48, 32), nn.Tanh(), block(), block())
    with pytest.raises(gs.GainstageError, match=told):
        gs.stream(model, X, gs.plan(model, X), loss=F.cross_entropy, target=LABELS)


def test_what_has_neither_values_nor_a_law_is_named() -> None:
    with torch.device("meta"):
        model, odd = mlp(), Odd()
    with pytest.raises(gs.GainstageError, match=r"'scale' has no values .* Give it a law: plan.replace"):
        gs.stream(odd, IDS)
    plan = gs.plan(model, X)
    model.register_buffer("shift", torch.empty(3, device="meta"))
    with pytest.raises(gs.GainstageError, match="buffer 'shift' of 'the model' has no values"):
        gs.stream(model, X, plan)


def test_blocks_are_found_where_modules_repeat() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ModuleList([Residual(8), Residual(8)]), nn.Linear(8, 2))
    assert list(blocks_of(net)) == ["1.0", "1.1"]
    assert list(blocks_of(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)))) == []


def test_the_table_has_a_row_a_block_and_the_whole() -> None:
    start = gs.stream(mlp(), X, target=LABELS, loss=F.cross_entropy)
    table = start.table()
    assert [line.split()[0] for line in table.splitlines()[2:8]] == ["0.weight", "0.bias", "1", "2", "3", "4.weight"]
    assert f"first loss {start.loss:.4f}" in table
    assert max(map(len, table.splitlines())) <= 80

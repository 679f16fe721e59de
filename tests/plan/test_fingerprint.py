"""Fingerprints that ranks add up, and what an audit says of where values come from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

import gainstage as gs
from gainstage import init


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 32))


X = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
PLAN = gs.plan(net(), X)


def filled(seed: int = 3) -> nn.Sequential:
    model = net()
    PLAN.apply(model, seed=seed)
    return model


def kinds(held: object, **given: object) -> dict[str, str]:
    return {o.name: o.kind for o in PLAN.origins(held, seed=3, **given)}


# --- digests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5,), (7, 3), (4, 3, 2, 2), (1, 70_000), (3, 40_000)])
def test_a_digest_is_the_sum_over_elements_of_a_mix_of_place_and_bits(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    bits = x.double().view(torch.int64).flatten().tolist()
    total = 0
    for i, b in enumerate(bits[:2000]):
        z = (b ^ ((i + 1) * 0x9E3779B97F4A7C15)) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        total += z ^ (z >> 31)
    if len(bits) <= 2000:
        assert init.digest(x) == total % 2**64
    cut = [init.digest(p, shape=shape, offset=at) for p, at in halves(x)]
    assert sum(cut) % 2**64 == init.digest(x)


def halves(x: Tensor) -> list[tuple[Tensor, tuple[int, ...]]]:
    if not x.dim() or x.shape[-1] < 2:
        return [(x, (0,) * x.dim())]
    at = x.shape[-1] // 2
    return [(x[..., :at], (0,) * x.dim()), (x[..., at:], (*(0 for _ in x.shape[1:]), at))]


def test_a_digest_hears_of_one_bit_and_of_two_values_that_change_places() -> None:
    x = torch.arange(1.0, 65.0).reshape(8, 8)
    other, swapped = x.clone(), x.clone()
    other[3, 3] = torch.nextafter(x[3, 3], torch.tensor(99.0))
    swapped[0, 0], swapped[7, 7] = x[7, 7], x[0, 0]
    assert len({init.digest(t) for t in (x, other, swapped, x.T, x.reshape(4, 16))}) == 4  # the order of places is one
    assert init.digest(x.bfloat16()) == init.digest(x)  # small whole numbers are the same in both types
    with pytest.raises(init.CannotFill, match="without values"):
        init.digest(torch.empty(2, device="meta"))
    with pytest.raises(init.CannotFill, match="sparse"):
        init.digest(torch.eye(2).to_sparse())


# --- fingerprints -----------------------------------------------------------------------------------------------------


def test_a_plan_knows_the_fingerprint_of_the_model_that_it_fills() -> None:
    model = filled()
    assert gs.fingerprint(model) == PLAN.fingerprint(3) != PLAN.fingerprint(4)
    half = net().bfloat16()
    PLAN.apply(half, seed=3)
    assert gs.fingerprint(half) == PLAN.fingerprint(3, dtype=torch.bfloat16)


def test_large_parameters_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    import gainstage.plan._fingerprint as module

    whole = PLAN.fingerprint(3)
    monkeypatch.setattr(module, "_AT_ONCE", 1000)
    assert PLAN.fingerprint(3) == whole


def test_orthogonal_and_transposed_weights_have_fingerprints_too() -> None:
    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.zeros(64, 48)), nn.Parameter(torch.zeros(48, 8))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.a).tanh() @ self.b

    plan, model = gs.plan(Conv1D(), X, scheme="orthogonal"), Conv1D()
    plan.apply(model, seed=3)
    assert plan["a"].transposed
    assert gs.fingerprint(model) == plan.fingerprint(3)
    assert {o.kind for o in plan.origins(model, seed=3)} == {"as drawn"}


def test_wrappers_are_no_part_of_a_fingerprint() -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    bare = gs.fingerprint(filled())
    assert gs.fingerprint(torch.optim.swa_utils.AveragedModel(filled())) == bare
    assert gs.fingerprint(checkpoint_wrapper(filled())) == bare
    state = {f"module._orig_mod.{name}": p.detach() for name, p in filled().named_parameters()}
    assert set(kinds([state]).values()) == {"as drawn"}


def test_a_model_gets_the_same_bits_bare_compiled_in_ddp_and_checkpoint_wrapped() -> None:
    from torch import distributed as dist
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    bare = gs.fingerprint(filled())
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for wrap in (
            lambda model: torch.compile(model, backend="aot_eager"),
            checkpoint_wrapper,
            nn.parallel.DistributedDataParallel,
            lambda model: nn.parallel.DistributedDataParallel(torch.compile(checkpoint_wrapper(model))),
        ):
            model = wrap(net())
            PLAN.apply(model, seed=3)
            assert gs.fingerprint(model) == bare
            assert not PLAN.audit(model, seed=3)
    finally:
        dist.destroy_process_group()


def test_ranks_add_up() -> None:
    from gainstage.plan import Fingerprint

    model, total = filled(), Fingerprint({}, {})
    for rank in range(8):
        digests, counts, shapes = {}, {}, {}
        for name, p in model.named_parameters():
            rows = p.detach().chunk(8)[rank]
            at = (rank * len(rows), *(0 for _ in rows.shape[1:]))
            shapes[name], counts[name] = tuple(p.shape), rows.numel()
            digests[name] = init.digest(rows, shape=shapes[name], offset=at)
        total = total + Fingerprint(digests, shapes, counts)
    assert total == PLAN.fingerprint(3)
    with pytest.raises(gs.GainstageError, match="shards of one model"):
        total + Fingerprint({"0.weight": 0}, {"0.weight": (1, 1)}, {"0.weight": 1})


# --- origins ----------------------------------------------------------------------------------------------------------


def test_every_kind_is_told_from_the_others() -> None:
    model = filled()
    assert set(kinds(model).values()) == {"as drawn"}
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[2].weight.normal_(std=0.144, generator=torch.Generator().manual_seed(0))
        model[4].weight[0, 0] = float("nan")
        model[4].bias.view(torch.int32).fill_(12345)  # memory of somebody else's whole numbers
        model[2].bias.copy_(torch.linspace(-1, 1, 96))
    found = kinds(model)
    assert found == {
        "0.weight": "constant", "0.bias": "as drawn", "2.weight": "re-drawn", "2.bias": "loaded",
        "4.weight": "garbage", "4.bias": "garbage",
    }  # fmt: skip


def test_trained_values_are_no_draw() -> None:
    model = filled()
    with torch.no_grad():
        model[2].weight.mul_(torch.linspace(0.3, 2.0, 96)[:, None])  # rows differ as training makes them
    assert kinds(model)["2.weight"] == "loaded"


def test_an_all_zero_weight_of_eight_by_eight_does_not_pass() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    plan = gs.initialize(model, torch.randn(16, 8), seed=5)
    assert plan.audit(model) == plan.audit(model, seed=5) == ()
    assert [d.name for d in plan.audit(model, seed=6)] == ["0.weight", "2.weight"]
    nn.init.zeros_(model[2].weight)
    assert [str(d) for d in plan.audit(model)] == [f"2.weight: planned {plan['2.weight'].law}, all values are 0"]


def test_a_model_without_its_buffers_is_seen() -> None:
    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 64)
            self.register_buffer("frequencies", 1e4 ** -torch.linspace(0, 1, 32), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) * self.frequencies.repeat(2).cos()

    model = Rotary()
    plan = gs.initialize(model, X, seed=1)
    assert plan.origins(model, seed=1).wrong == ()
    model.frequencies.zero_()
    assert [(o.name, o.kind) for o in plan.origins(model, seed=1).wrong] == [("frequencies", "constant")]


@pytest.mark.parametrize("ranks", [1, 2, 16, 32, 512])
def test_the_shards_of_many_ranks_are_compared_with_the_plan(ranks: int) -> None:
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512))
    plan = gs.initialize(model, X, seed=3)
    cut = [dict.fromkeys(()) for _ in range(ranks)]
    for name, p in model.named_parameters():
        for rank, piece in zip(cut, p.detach().chunk(ranks), strict=True):
            rank[name] = piece
    assert {o.kind for o in plan.origins(cut, seed=3)} == {"as drawn"}
    if ranks not in (2, 16):
        return
    cut[1]["2.weight"] = cut[0]["2.weight"]  # reset_parameters() from one seed on every rank
    assert [str(o) for o in plan.origins(cut, seed=3).wrong] == [
        "2.weight: duplicated, rank 0 and rank 1 hold the same values"
    ]
    cut[1]["2.weight"] = torch.randn(cut[0]["2.weight"].shape) * 512**-0.5
    assert "re-drawn, other numbers than the plan's in rank 1, drawn" in str(plan.origins(cut, seed=3).wrong[0])
    with pytest.raises(gs.GainstageError, match=r"shards that make up '0.weight' of shape 512x64.* leave some out"):
        plan.origins(cut[:-1], seed=3)
    with pytest.raises(gs.GainstageError, match="overlap"):
        plan.origins([*cut, cut[0]], seed=3)


def test_from_pretrained_that_draws_a_part_anew(tmp_path: Path) -> None:
    """A checkpoint lacks the head and has one layer under an old name: both are drawn anew, and nothing is said."""
    trained, file = filled(seed=8), tmp_path / "weights.safetensors"
    with torch.no_grad():
        for p in trained.parameters():
            p.mul_(1 + 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)).abs())
    state = {n: p.detach() for n, p in trained.named_parameters()}
    save_file({n.replace("2.", "two."): p for n, p in state.items() if not n.startswith("4.")}, file)
    model = net()  # torch's own draw
    with torch.no_grad():
        for name in ("0.weight", "0.bias"):
            model.get_parameter(name).copy_(state[name])
    found = kinds(model, loaded=file)
    assert {n for n, kind in found.items() if kind == "loaded"} == {"0.weight", "0.bias"}
    assert {n for n, kind in found.items() if kind == "re-drawn"} == {"2.weight", "2.bias", "4.weight", "4.bias"}


def test_low_rank_factors_whose_scale_hangs_on_the_number_of_ranks() -> None:
    """Every rank draws its columns of A by its own fan in: A of 4 ranks is about twice too large."""

    class LoRA(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(64, 16, bias=False), nn.Linear(16, 64, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.b(self.a(x))

    plan = gs.plan(LoRA(), X, scheme="lecun_normal")
    for count in (1, 4):
        ranks = []
        for rank in range(count):
            a = torch.empty(16, 64 // count)
            nn.init.normal_(a, std=a.shape[1] ** -0.5, generator=torch.Generator().manual_seed(rank))
            ranks.append({"a.weight": a, "b.weight": torch.zeros(64, 16)})
        found = {o.name: str(o) for o in plan.origins(ranks, seed=0)}
        assert found["b.weight"].startswith("b.weight: constant")
        scale = "at the planned scale" if count == 1 else "at 1.89 times the planned scale, lecun_normal"
        assert found["a.weight"].startswith("a.weight: re-drawn, other numbers than the plan's, drawn ")
        assert scale in found["a.weight"]


def test_files_are_read_and_what_is_no_file_is_refused(tmp_path: Path) -> None:
    save_model(filled(), str(tmp_path / "w.safetensors"))
    assert set(kinds(tmp_path / "w.safetensors").values()) == {"as drawn"}
    (tmp_path / "no.safetensors").write_text("{}")
    with pytest.raises(gs.GainstageError, match=r"expected a safetensors file; no.safetensors is none"):
        PLAN.origins(tmp_path / "no.safetensors")
    part = {"0.weight": filled()[0].weight.detach()}
    assert {o.kind for o in PLAN.origins([part], seed=3)} == {"as drawn", "missing"}


def test_the_table_fits_a_terminal_and_counts_the_kinds() -> None:
    lines = PLAN.origins(filled(), seed=3).table(80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "6 as drawn"

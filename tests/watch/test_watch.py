"""What a watch measures, that it changes nothing, and what it lives through."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import gainstage as gs
from gainstage.watch import JSONL, read
from gainstage.watch._levels import levels, part, rms, statistics

G = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(16, 8, generator=G), torch.randint(0, 3, (16,), generator=G)) for _ in range(24)]


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 12, call: Any = None) -> list[float]:
    torch.manual_seed(2)
    losses = []
    for x, y in BATCHES[:steps]:
        optimizer.zero_grad()
        loss = F.cross_entropy((call or model)(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-2)


def test_norms_of_gradient_weight_and_update_are_those_of_the_loop() -> None:
    model = net()
    optimizer = adam(model)
    with gs.Watch(model, optimizer, every=1) as watch:
        for x, y in BATCHES[:3]:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            before = {n: p.detach().clone() for n, p in model.named_parameters()}
            optimizer.step()
            now = watch.readings[-1].parameters
            for name, p in model.named_parameters():
                assert p.grad is not None
                assert now[name].gradient == pytest.approx(p.grad.norm().item(), rel=1e-5)
                assert now[name].weight == pytest.approx(before[name].norm().item(), rel=1e-5)
                assert now[name].update == pytest.approx((p - before[name]).norm().item(), rel=1e-4)


def test_losses_rates_and_repeated_batches_are_kept_for_every_step() -> None:
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    losses = []
    with gs.Watch(model, optimizer, every=4) as watch:
        for number in (0, 1, 2, 2, 3):
            x, y = BATCHES[number]
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    assert [r.step for r in watch.readings] == [1, 4, 5]
    steps = watch.history.steps
    assert [s.loss for s in steps] == pytest.approx(losses)
    assert [s.rate for s in steps] == pytest.approx([0.1, 0.05, 0.025, 0.0125, 0.00625])
    assert [s.same for s in steps] == [False, False, False, True, False]
    assert steps[0].level == pytest.approx(1.0, abs=0.3)


def test_sites_have_the_names_and_levels_of_the_tape() -> None:
    model = net()
    model[3].p = 0.0
    x, y = BATCHES[0]
    tape = gs.record(model, x, target=y, loss=F.cross_entropy)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gs.Watch(model, optimizer, every=1) as watch:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    (reading,) = watch.readings
    for name in ("0/linear#0", "1/batch_norm#0", "2/relu#0", "4/linear#0"):
        site = next(s for s in tape.sites if s.name == name)
        assert site.forward is not None
        assert site.backward is not None
        assert reading.sites[name].rms == pytest.approx(site.forward.rms, rel=1e-5)
        assert reading.sites[name].gradient == pytest.approx(site.backward.rms, rel=1e-5)
    assert reading.sites["2/relu#0"].zeros == pytest.approx(0.5, abs=0.2)
    assert reading.norms["1"].ratio > 0


def test_training_is_bit_for_bit_that_without_a_watch_and_nothing_is_left_behind() -> None:
    plain, seen = net(), net()
    backward = torch.autograd.backward
    expected = train(plain, adam(plain))
    optimizer = adam(seen)
    with gs.Watch(seen, optimizer, every=2):
        assert train(seen, optimizer) == expected
    for a, b in zip(plain.state_dict().values(), seen.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.autograd.backward is backward
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in seen.modules())
    assert not any(p._backward_hooks for p in seen.parameters())
    assert not nn.modules.module._global_forward_hooks


def test_copies_and_pickles_are_not_watched_and_the_state_dict_is_the_same() -> None:
    model = net()
    keys = list(model.state_dict())
    with gs.Watch(model, every=1) as watch:
        assert list(model.state_dict()) == keys
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            train(other, adam(other), 3)
        assert watch.readings == []
        train(model, adam(model), 3)
        assert len(watch.readings) == 3


class Graphs:
    """A backend that counts what it is asked to compile, and runs it by aot_eager."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        from torch._dynamo.backends.debugging import aot_eager

        self.count += 1
        return aot_eager(graph, inputs)


@pytest.mark.parametrize("order", ["watched, then compiled", "compiled, then watched"])
def test_a_compiled_model_has_one_graph_without_a_break(order: str) -> None:
    torch._dynamo.reset()
    model, backend = net(), Graphs()
    model[3].p = 0.0
    plain = copy.deepcopy(model)
    losses = train(plain, adam(plain))
    if order.startswith("watched"):
        watch = gs.Watch(model, every=4)
        call = torch.compile(model, backend=backend, fullgraph=True)
    else:
        call = torch.compile(model, backend=backend, fullgraph=True)
        watch = gs.Watch(model, every=4)
    with watch:
        assert train(model, adam(model), call=call) == pytest.approx(losses, rel=1e-5)
    assert backend.count == 1
    assert [len(r.sites) for r in watch.readings] == [4, 4, 4, 4]


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.second, self.reentrant = nn.Linear(8, 16), nn.Linear(16, 3), reentrant

    def forward(self, x: Tensor) -> Tensor:
        def part(h: Tensor) -> Tensor:
            return torch.relu(self.first(h))

        return self.second(checkpoint(part, x.requires_grad_(), use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_checkpointing_computes_twice_is_counted_once(reentrant: bool) -> None:
    model = Checkpointed(reentrant)
    with gs.Watch(model, every=1) as watch:
        train(model, adam(model), 2)
    names = [name for name in watch.readings[-1].sites if "linear" in name]
    assert names == (["second/linear#0"] if reentrant else ["first/linear#0", "second/linear#0"])


def test_accumulation_clipping_and_a_scaler_are_seen_as_they_are() -> None:
    model = nn.Linear(8, 3)
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cpu", init_scale=256.0)
    with gs.Watch(model, optimizer, every=1) as watch:
        for x, y in BATCHES[:2]:
            scaler.scale(F.cross_entropy(model(x), y) / 2).backward()
        scaler.unscale_(optimizer)
        whole = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm().item()
        nn.utils.clip_grad_norm_(model.parameters(), whole / 10)
        scaler.step(optimizer)
        scaler.update()
    (reading,) = watch.readings
    used = sum((p.gradient or 0) ** 2 for p in reading.parameters.values()) ** 0.5
    arrived = sum((p.arrived or 0) ** 2 for p in reading.parameters.values()) ** 0.5
    assert used == pytest.approx(whole / 10, rel=1e-3)
    assert arrived == pytest.approx(whole, rel=1e-3)
    expected = sum(F.cross_entropy(nn.functional.linear(x, torch.zeros(3, 8)), y).item() for x, y in BATCHES[:2]) / 2
    assert reading.loss == pytest.approx(expected, rel=0.3)
    assert reading.loss < 10


def test_steps_that_a_scaler_leaves_out_are_counted() -> None:
    model = nn.Linear(8, 3)
    optimizer, scaler = torch.optim.SGD(model.parameters(), 0.1), torch.amp.GradScaler("cpu")
    with gs.Watch(model, optimizer, every=1) as watch:
        for number in range(4):
            optimizer.zero_grad()
            x, y = BATCHES[number]
            loss = F.cross_entropy(model(x), y) * (float("inf") if number in (1, 2) else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    assert [r.skipped for r in watch.readings] == [0, 1, 2, 2]


def test_two_optimizers_make_one_step() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    first, second = torch.optim.SGD(model[0].parameters(), 0.1), torch.optim.Adam(model[2].parameters())
    with gs.Watch(model, first, second, every=1) as watch:
        for x, y in BATCHES[:3]:
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            first.step()
            second.step()
    assert [r.step for r in watch.readings] == [1, 2, 3]
    assert all((p.update or 0) > 0 for p in watch.readings[-1].parameters.values())


class Reads(TorchDispatchMode):
    """Counts the operations that wait for a device: a number, or a copy, read by the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket._qualified_op_name in ("aten::_local_scalar_dense", "aten::_to_cpu")
        return func(*args, **(kwargs or {}))


def test_nothing_is_read_by_the_host_between_reports() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    counts = []
    with gs.Watch(model, optimizer, every=4):
        for x, y in BATCHES[:8]:
            with Reads() as reads:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            counts.append(reads.count)
    assert [c for i, c in enumerate(counts, 1) if i != 1 and i % 4] == [0] * 5


def test_a_run_is_written_read_and_resumed(tmp_path: Path) -> None:
    model, path = net(), tmp_path / "run.jsonl"
    optimizer = adam(model)
    with gs.Watch(model, optimizer, every=3, sinks=[JSONL(path)]) as watch:
        train(model, optimizer)
        watch.save(tmp_path / "watch.json")
    header, readings = read(path)
    assert (header.model, header.every) == ("Sequential", 3)
    assert [r.step for r in readings] == [1, 3, 6, 9, 12]
    assert readings[-1].sites.keys() == watch.readings[-1].sites.keys()
    path.write_bytes(path.read_bytes()[:-40])  # a crash
    assert [r.step for r in read(path)[1]] == [1, 3, 6, 9]
    with gs.Watch(model, optimizer, every=3).load(tmp_path / "watch.json") as resumed:
        assert len(resumed.readings) == 5
        train(model, optimizer, 3)
        assert [r.step for r in resumed.readings] == [1, 3, 6, 9, 12, 15]


@pytest.mark.parametrize("text", ["", "{}", "[1]\n", '{"version":9,"model":"a","parameters":1,"every":1}\n'])
def test_what_is_no_run_is_refused_with_one_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(gs.GainstageError, match=r"is no run|version 9"):
        read(tmp_path / "x.jsonl")
    with pytest.raises(gs.GainstageError, match="expected"):
        gs.Watch(net()).load(tmp_path / "x.jsonl")


def test_what_on_finding_raises_ends_the_loop() -> None:
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def stop(finding: gs.Finding) -> None:
        raise RuntimeError(finding.code)

    def loop() -> None:
        for step, (x, y) in enumerate(BATCHES):
            if step == 15:
                optimizer.param_groups[0]["lr"] = 1.0
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    watch = gs.Watch(model, optimizer, every=5, on_finding=stop)
    with pytest.raises(RuntimeError, match="OPT804"):
        loop()
    watch.close()


def test_a_model_that_is_called_by_its_parts_is_seen() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(8, 4), "decoder": nn.Linear(4, 3)})
    optimizer = adam(model)
    with gs.Watch(model, optimizer, every=1) as watch:
        x, y = BATCHES[0]
        F.cross_entropy(model["decoder"](torch.tanh(model["encoder"](x))), y).backward()
        optimizer.step()
    assert list(watch.readings[0].sites) == ["encoder/linear#0", "decoder/linear#0"]


@pytest.mark.parametrize(
    ("shape", "axis", "kept"),
    [
        ((64, 128), 0, (64, 128)),
        ((512, 512), 0, (16, 512)),
        ((8, 64, 128), 0, (8, 8, 128)),
        ((64, 8, 128), 1, (8, 8, 128)),
        ((16, 16, 32, 32), 0, (8, 16, 2, 32)),
        ((2, 4096, 512), 0, (2, 8, 512)),
        ((100_000,), None, (8_192,)),
    ],
)
def test_of_a_large_signal_whole_units_of_eight_samples_are_read(
    shape: tuple[int, ...], axis: int | None, kept: tuple[int, ...]
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    some = part(x, axis)
    assert some.shape == kept
    assert some.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert part(x.numpy(), axis).tobytes() == some.contiguous().numpy().tobytes()
    square, between, zeros, _, low, high, nonfinite = levels(x, axis, "linear")
    assert square == pytest.approx(1.0, rel=0.05)
    assert (low, high) == (some.min().item(), some.max().item())
    assert zeros == nonfinite == 0
    if axis is not None:
        over = some.movedim(axis, 0)
        assert between == pytest.approx((over - over.mean(0)).square().mean().item(), rel=1e-4)
    assert rms(x, axis) == pytest.approx([some.square().mean().sqrt().item()], rel=1e-5)


@pytest.mark.parametrize("kind", ["plain", "channels last", "bfloat16", "float64", "transposed"])
def test_however_a_signal_lies_in_memory_its_numbers_are_the_same(kind: str) -> None:
    torch.manual_seed(0)
    x, mean, variance = torch.randn(16, 4, 6, 6) * 2 + 1, torch.ones(4), torch.full((4,), 4.0)
    given = {
        "plain": x,
        "channels last": x.to(memory_format=torch.channels_last),
        "bfloat16": x.bfloat16(),
        "float64": x.double(),
        "transposed": x.mT.contiguous().mT,
    }[kind]
    assert statistics(given, mean, variance) == pytest.approx(statistics(x, mean, variance), rel=0.01, abs=0.01)
    assert levels(given, 0, "conv2d") == pytest.approx(levels(x, 0, "conv2d"), rel=0.01, nan_ok=True)
    assert rms(given, 0) == pytest.approx(rms(x, 0), rel=0.01)
    ratio, stored, shift = statistics(given, mean, variance)
    assert (ratio, stored, shift) == pytest.approx((1.0, 10.0, 0.0), abs=0.1)


def test_groups_of_a_transfer_are_told_by_their_names_with_rate_and_step() -> None:
    def make(width: int) -> tuple[nn.Module, Tensor]:
        hidden = [nn.Linear(width, width), nn.ReLU()]
        return nn.Sequential(nn.Linear(8, width), nn.ReLU(), *hidden, nn.Linear(width, 3)), BATCHES[0][0]

    move = gs.transfer(make, 16, 64)
    model, _ = make(64)
    optimizer = torch.optim.Adam(move.param_groups(model, lr=1e-2))
    with gs.Watch(model, optimizer, every=2) as watch:
        x, y = BATCHES[0]
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    (reading,) = watch.readings
    assert len(reading.groups) == len(optimizer.param_groups) > 1
    for group, told in zip(optimizer.param_groups, reading.groups.values(), strict=True):
        names = group["names"]
        assert told.rate == group["lr"]
        assert told.entries == sum(before[n].numel() for n in names)
        now = dict(model.named_parameters())
        update, weight = (
            sum(float(t.detach().square().sum()) for t in tensors)
            for tensors in ([now[n] - before[n] for n in names], [before[n] for n in names])
        )
        assert told.ratio == pytest.approx((update / weight) ** 0.5, rel=1e-4)


def test_the_tape_of_the_start_is_the_reference_so_that_two_reports_are_enough() -> None:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))
    x, y = BATCHES[0]
    tape = gs.record(model, x, target=y, loss=F.cross_entropy)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with torch.no_grad():
        model[0].bias.fill_(-1e3)
    codes = []
    for start in (tape, None):
        with gs.Watch(model, optimizer, every=1, start=start) as watch:
            train(model, optimizer, 2)
            codes.append([f.code for f in watch.report.findings if f.severity != "note"])
            assert [r.step for r in watch.readings] == ([0, 1, 2] if start is not None else [1, 2])
    assert "FWD204" in codes[0]
    assert codes[1] == []


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(gs.GainstageError, match=r"expected an nn\.Module"):
        gs.Watch("model")  # type: ignore[arg-type]
    with pytest.raises(gs.GainstageError, match="at least 1"):
        gs.Watch(net(), every=0)
    with pytest.raises(gs.GainstageError, match="no trainable parameter"):
        gs.Watch(nn.ReLU())
    with pytest.raises(gs.GainstageError, match="expected a trainer"):
        gs.Watch.attach(object())


class Masked(nn.Module):
    """Attention by hand, as in nanoGPT: minus infinity where a key is not to be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head, self.broken = nn.Linear(8, 24), nn.Linear(8, 3), False

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.view(-1, 4, 8)).chunk(3, -1)
        logits = (q @ k.mT / 8**0.5).masked_fill(torch.ones(4, 4).triu(1) > 0, float("-inf"))
        y = self.head(logits.softmax(-1) @ v)[:, -1]
        return (y - 1e4 if self.broken else y).exp().log()


def test_a_mask_of_minus_infinity_is_no_number_that_broke_and_hides_none_that_did() -> None:
    torch.manual_seed(0)
    model, x, y = Masked(), torch.randn(16, 32), torch.arange(16) % 3
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    tape = gs.record(model, x, target=y, loss=F.cross_entropy)
    with gs.Watch(model, optimizer, every=2, start=tape) as watch:
        for step in range(12):
            if step == 8:
                assert watch.report.ok
                assert 0 < watch.readings[-1].attentions["softmax#0"].entropy < 1  # type: ignore[operator]
                model.broken = True
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    first = watch.report.findings[0]
    assert (first.code, first.where) == ("FWD206", "log#0")


def test_a_large_model_is_sampled_and_the_update_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gainstage.watch._parameters.SAMPLE", 2**13)
    model = nn.Linear(256, 256)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gs.Watch(model, optimizer, every=1) as watch:
        model(torch.randn(8, 256)).square().mean().backward()
        assert model.weight.grad is not None
        update = 0.1 * model.weight.grad.norm().item()
        optimizer.step()
    assert watch.readings[0].parameters["weight"].update == pytest.approx(update, rel=0.05)


def test_updates_that_bfloat16_rounds_away_are_found() -> None:
    torch.manual_seed(0)
    model = nn.Linear(64, 64).bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), 1e-5)
    with gs.Watch(model, optimizer, every=1) as watch:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.randn(32, 64).bfloat16()).float().square().mean().backward()
            optimizer.step()
    assert "OPT819" in [f.code for f in watch.report.findings]

"""What a watch costs: time of a training step with it over that without, beside other monitors.

    python benchmarks/watch.py [--rounds N] [--models gpt resnet mlp wide] [--arms ...]

The watched loop and the plain one are run in turn, a block of steps each, so that a busy machine slows both; the ratio
is the median over the pairs, with their quartiles. `naive` reads the norm of every gradient and of every module's
output by `.item()` at every step, as monitors written by hand do. `wandb.watch` runs offline and logs at every step
(`log_freq=1`) or every 50; `trainscope` in its default and its smallest configuration, where it is installed.

Then what is exact: bytes that a watch holds while a measured step is made, reads by the host between reports, and
graphs into which a compiled model is cut.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import gainstage as gs
from gainstage.run import has_data

BLOCK = {"watch, every=50": 50, "wandb.watch, 50": 50}  # steps, so that each block holds a report; else 10


class GPT(nn.Module):
    """Two layers, 430 thousand parameters."""

    def __init__(self, width: int = 128, vocabulary: int = 128) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=True)
        return self.head(x).flatten(0, 1)


class Block(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.n, self.m = nn.BatchNorm2d(o), nn.BatchNorm2d(o)
        self.skip = nn.Conv2d(i, o, 1, stride) if i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.m(self.b(F.relu(self.n(self.a(x))))))


def resnet() -> nn.Module:
    sizes = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1),
        *(Block(*s) for s in sizes),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def data(name: str) -> tuple[Tensor, Tensor]:
    if name == "gpt":
        ids = torch.randint(0, 128, (8, 65))
        return ids[:, :-1], ids[:, 1:].flatten()
    shape = {"resnet": (16, 3, 32, 32), "mlp": (128, 256), "wide": (32, 2048)}[name]
    return torch.randn(shape), torch.randint(0, 10, (shape[0],))


MODELS: dict[str, Callable[[], nn.Module]] = {"gpt": GPT, "resnet": resnet, "mlp": mlp, "wide": wide}


def naive(model: nn.Module) -> None:
    """The norm of every output and gradient, read at once."""
    seen: dict[str, float] = {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, a, y, name=name: seen.__setitem__(name, y.norm().item()))
    for name, p in model.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: seen.__setitem__(name, p.grad.norm().item()))


def wandb_watch(every: int) -> Callable[[nn.Module], Any]:
    def attach(model: nn.Module) -> Any:
        import wandb

        run = wandb.init(mode="offline", dir="/tmp", settings=wandb.Settings(silent=True))
        run.watch(model, log="all", log_freq=every)
        return run

    return attach


def trainscope(**settings: Any) -> Callable[[nn.Module], Any]:
    def attach(model: nn.Module) -> Any:
        from trainscope import TrainScope
        from trainscope.core.config import TrainScopeConfig

        optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
        return TrainScope(model, optimizer, config=TrainScopeConfig(run_dir=tempfile.mkdtemp(), **settings)).attach()

    return attach


def closed(model: nn.Module) -> None:
    gs.Watch(model, every=1).close()


ARMS: dict[str, Callable[[nn.Module], Any]] = {
    "none": lambda model: None,
    "watch, closed": closed,
    "watch, every=50": lambda model: gs.Watch(model, every=50),
    "watch, every=1": lambda model: gs.Watch(model, every=1),
    "naive, every step": naive,
    "wandb.watch, 50": wandb_watch(50),
    "wandb.watch, 1": wandb_watch(1),
    "trainscope": trainscope(),
    "trainscope, smallest": trainscope(histogram_every_n_steps=50, activation_metrics_every_n_steps=50),
}
if find_spec("trainscope") is None:
    ARMS = {name: arm for name, arm in ARMS.items() if "trainscope" not in name}


def loop(name: str, arm: str) -> Callable[[int], float]:
    """A loop of its own that runs a number of steps and returns the seconds of one."""
    torch.manual_seed(0)
    model, (x, y) = MODELS[name](), data(name)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    kept = ARMS[arm](model)

    def run(steps: int) -> float:
        begin = time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if arm.startswith("trainscope"):
                kept.step(loss.item())
            optimizer.step()
            if arm.startswith("wandb"):
                kept.log({"loss": 0.0})
        return (time.process_time() - begin) / steps

    run.kept = kept  # type: ignore[attr-defined]
    return run


def ratio(name: str, arm: str, plain: Callable[[int], float], rounds: int) -> tuple[float, float, float]:
    """Quartiles of the time of a step over that of the plain loop, each pair run one after the other."""
    run, block = plain if arm == "none" else loop(name, arm), BLOCK.get(arm, 10)
    run(block)
    pairs = []
    for number in range(max(3, rounds * 10 // block)):
        first, second = (plain, run) if number % 2 else (run, plain)
        a, b = first(block), second(block)
        pairs.append(b / a if number % 2 else a / b)
    kept = getattr(run, "kept", None)
    for end in ("close", "finish", "detach"):
        if arm != "none" and hasattr(kept, end):
            getattr(kept, end)()
            break
    low, middle, high = quantiles(pairs, n=4)
    return low, middle, high


def tensors() -> dict[int, int]:
    """The bytes behind every tensor that Python knows."""
    gc.collect()
    alive = [t for t in gc.get_objects() if issubclass(type(t), Tensor) and t.layout is torch.strided and has_data(t)]
    found = [t.untyped_storage() for t in alive]
    return {storage.data_ptr(): storage.nbytes() for storage in found}


def held(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """Bytes of the model, and those that a watch adds at the time of a measured step and in its history."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    sizes = []
    optimizer.register_step_pre_hook(lambda *_: sizes.append(sum(tensors().values())))
    for watched in (False, True):
        watch = gs.Watch(model, optimizer, every=1) if watched else None
        for _ in range(6):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    assert watch is not None
    watch.close()
    tables = sum(table._values.nbytes for table in watch.history._tables.values())
    return sum(p.nbytes for p in model.parameters()), sizes[-1] - sizes[5] + tables


class Reads(TorchDispatchMode):
    """Counts what makes the host wait for a device: a number that is read."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket._qualified_op_name == "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))


def exact(name: str) -> tuple[int, int]:
    """Numbers that the host reads in 48 steps between reports, and graphs of the compiled model."""
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    model, (x, y) = MODELS[name](), data(name)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    with gs.Watch(model, optimizer, every=50), Reads() as reads:
        for step in range(1, 50):
            before = reads.count
            optimizer.zero_grad()
            F.cross_entropy((model if step > 1 else compiled)(x), y).backward()
            optimizer.step()
            if step == 1:
                reads.count = before
    count = reads.count
    with gs.Watch(model, optimizer, every=4):
        for _ in range(6):
            F.cross_entropy(compiled(x), y).backward()
            optimizer.step()
    return count, counter.frame_count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60, help="pairs of 10 steps")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    head = (
        "CPU seconds of a training step over that of the plain loop: median and quartiles of pairs of blocks of 10 "
        f"steps (of 50 where a report is made every 50); one thread, torch {torch.__version__}"
    )
    results = Path(__file__).parent / "results" / "watch.txt"
    before = results.read_text().splitlines()[2:] if results.exists() else []
    lines = [line for line in before if not line.startswith(tuple(given.models))]
    for name in given.models:
        plain = loop(name, "none")
        plain(5)
        for arm in given.arms:
            low, middle, high = ratio(name, arm, plain, given.rounds)
            lines.append(f"{name:<8}{arm:<22}{middle:.3f}  ({low:.3f} to {high:.3f})")
            print(lines[-1], flush=True)
            gc.collect()
        size, added = held(MODELS[name](), data(name)[0])
        reads, graphs = exact(name)
        lines.append(f"{name:<8}{reads} numbers read by the host in 48 steps between reports; {graphs} graph, compiled")
        lines.append(f"{name:<8}{size / 2**20:.1f} MB of parameters; a watch at every=1 holds {added / 2**20:.2f} MB")
        print(*lines[-2:], sep="\n", flush=True)
    if given.arms == list(ARMS):
        results.write_text("\n".join([head, "", *lines]) + "\n")


if __name__ == "__main__":
    main()

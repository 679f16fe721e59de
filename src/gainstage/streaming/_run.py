"""`gs.stream`: forward, backward and every gradient norm of a start whose weights are never all there."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from gainstage.errors import GainstageError
from gainstage.init import digest
from gainstage.plan import Plan
from gainstage.plan import plan as planned
from gainstage.run import (
    Loss,
    call,
    class_name,
    entry,
    foreign,
    has_data,
    named_parameters,
    objective,
    seeded,
    tensors_in,
    undisturbed,
)
from gainstage.streaming._blocks import Borders, blocks_of
from gainstage.streaming._kept import Kept
from gainstage.streaming._mode import Streaming
from gainstage.streaming._norms import Norms
from gainstage.streaming._started import Streamed
from gainstage.streaming._twin import own_values, without_values
from gainstage.streaming._weights import Weights

_BACK = 3  # the way back draws and computes about three times what the way forward does


@entry
def stream(
    model: nn.Module,
    example: Any,
    plan: Plan | None = None,
    *,
    seed: int = 0,
    target: Any = None,
    loss: Loss | None = None,
    borders: torch.dtype | None = None,
    directory: str | Path | None = None,
    progress: bool = False,
) -> Streamed:
    r"""The true start of a model that does not fit into memory: its first loss and the norm of every gradient.

    A weight is a function of (seed, name, index), so it need not be kept: it is drawn when an operation reads it and
    dropped after, large matrices in blocks of rows. Of the blocks that the model repeats only the inputs are kept; on
    the way back each is run again, and its weights are drawn again. The gradient $G = \sum_i a_i b_i^\top$ of a matrix
    is never formed, its norm is $\lVert G \rVert^2 = \sum_{ij} (a_i \cdot a_j)(b_i \cdot b_j)$.

    The numbers are those of `plan.apply(model, seed)`, a forward and a backward pass, up to the order of sums. The
    memory needed is that of one block's activations and 64 MB of weights, and of the inputs of blocks. The model itself
    is not touched: a copy of it runs, with parameters on the meta device.

    Args:
        model: any module that runs, also on the meta device.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
        plan: the laws; `gs.plan(model, example)` where it is not given. A parameter that it leaves keeps its value, and
            on the meta device has the one that its module's own code gives it (`reset_parameters`, `_init_weights`).
        seed: of the weights.
        target: what `loss` compares the output with.
        loss: `loss(output, target)` returns a scalar. Without it the output's own `.loss`; without either
            `run.surrogate`.
        borders: the type in which inputs of blocks wait for the way back, for instance `torch.bfloat16`; default: their
            own. The loss does not change, gradients by the rounding.
        directory: inputs of blocks wait in files there. The same call, after it was killed, goes on behind the last
            finished block.
        progress: a bar with the remaining time on standard error.

    Returns:
        Loss, norms, and where the time went.

    Raises:
        GainstageError: a parameter that has no values and no law, a buffer without values, sparse or quantized
            parameters, a block that keeps state or writes to its input, a directory that holds another run.
        ForwardError: the model or the loss raised.

    Example:
        >>> import torch, gainstage as gs
        >>> block = lambda: torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU())
        >>> with torch.device("meta"):
        ...     model = torch.nn.Sequential(block(), block(), torch.nn.Linear(64, 10))
        >>> x, labels = torch.randn(32, 64), torch.arange(32) % 10
        >>> start = gs.stream(model, x, target=labels, loss=torch.nn.functional.cross_entropy)
        >>> sorted(start.gradients) == sorted(name for name, _ in model.named_parameters())
        True
        >>> [path for path, _, _ in start.blocks]
        ['0', '1']

    References:
        Chen et al., *Training deep nets with sublinear memory cost*, 2016; Goodfellow, *Efficient per-example gradient
        computations*, 2015.
    """
    made = planned(model, example) if plan is None else plan
    started = perf_counter()
    fills = {name for name, a in made.items() if a.law is not None}
    held = {n: p.detach() for n, p in named_parameters(model) if has_data(p) and n not in fills}
    with seeded(seed):
        twin = without_values(model)
        held |= own_values(twin, (n for n, _ in named_parameters(twin) if n not in fills and n not in held))
    weights = Weights(twin, made, seed, held)
    norms = Norms({name: p.numel() for name, p in weights.parameters.items()})
    mode = Streaming(weights, norms)
    blocks = blocks_of(twin)
    kept = Kept(
        None if directory is None else Path(directory), borders, _identity(made, seed, example, target, borders)
    )
    with undisturbed(twin, example, target, loss, seed=seed), _bar(progress, len(blocks)) as tick, torch.enable_grad():
        walk = Borders(mode, kept, tick)
        for path, module in blocks.items():
            module.forward = walk.around(path, module)
        with mode:
            value, stand_in = objective(call(twin, example), target, loss)
        if not value.requires_grad:
            raise GainstageError("the loss does not depend on any parameter that needs a gradient")
        foreign("the way back")(torch.autograd.backward)(value)
        for module in blocks.values():
            del module.forward
    return Streamed(
        class_name(model),
        float(value.detach()),
        stand_in,
        norms.finish(),
        {name: tuple(p.shape) for name, p in weights.parameters.items()},
        tuple(walk.seconds),
        perf_counter() - started + walk.earlier,
        weights.elements,
    )


def _identity(plan: Plan, seed: int, example: Any, target: Any, borders: torch.dtype | None) -> str:
    """What two runs have in common of which one may go on where the other was killed."""
    values = [(tuple(t.shape), str(t.dtype), digest(t) if prod(t.shape) else 0) for t in tensors_in((example, target))]
    text = f"{plan.to_json()} {seed} {values} {borders} {torch.__version__}"
    return f"gainstage stream {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}\n"


@contextmanager
def _bar(shown: bool, blocks: int) -> Iterator[Callable[[bool, str], None]]:
    """A bar on standard error with the time that remains; the way back counts three times."""
    if not shown:
        yield lambda ahead, path: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    parts = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
    with Progress(*parts, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("forward", total=(1 + _BACK) * max(blocks, 1))

        def tick(ahead: bool, path: str) -> None:
            progress.update(task, advance=1 if ahead else _BACK, description=f"{'forward' if ahead else 'back'} {path}")

        yield tick

"""From a model, with or without values, to its forecast."""

from collections.abc import Mapping
from math import log, prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.plan._assignments import Assignments
from gainstage.plan._fingerprint import drawn_box
from gainstage.plan._forecast import Forecast
from gainstage.run import Loss, entry, has_data, named_parameters, objective_of, tensors_in, with_shapes
from gainstage.signal import Graph, Spread, observe, ops, spread_of
from gainstage.theory import outlook, second_moments, vector_means

_ROWS = 2**22  # entries of the logits on which a loss is tried


@entry
def foresee(
    model: nn.Module,
    example: Any,
    plan: Assignments | None = None,
    *,
    target: Any = None,
    loss: Loss | None = None,
) -> Forecast:
    """What theory says of the start of `model`, from the laws of a plan or from the weights that it holds.

    Nothing of the model is trained or measured: one pass shows its structure (on the meta device in seconds, whatever
    its size), and moments are propagated over that. The first loss and its gradient come from trying the loss on random
    outputs of the foreseen level.

    Args:
        model: any module that runs, also on the meta device.
        example: as for `record`; its values count, also for a model without values.
        plan: from `gs.plan`; without it the second moments of the model's own weights are read.
        target: what `loss` compares the output with.
        loss: `loss(output, target)`; without it the model's own cross-entropy, else one with random labels over the
            last axis of the output.

    Returns:
        The forecast, with the operations that theory does not cover and the share that rests on them.

    Raises:
        GainstageError: the model has no values and no plan was given, or it does not run.

    Example:
        >>> import torch, gainstage as gs
        >>> with torch.device("meta"):
        ...     model = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
        >>> x = torch.randn(64, 512)
        >>> forecast = gs.foresee(model, x, gs.plan(model, x))
        >>> round(forecast["0"].rms, 1), round(forecast.loss, 1)
        (1.0, 2.4)

    References:
        Poole et al., *Exponential expressivity in deep neural networks through transient chaos*, NeurIPS 2016;
        Schoenholz et al., *Deep Information Propagation*, ICLR 2017; Kedia et al., *Transformers get stable: an
        end-to-end signal propagation theory for language models* (DeepScaleLM), ICML 2024.
    """
    if plan is None and not all(has_data(p) for p in model.parameters()):
        raise GainstageError(
            "the model has no values (meta device), so a forecast needs laws: gs.foresee(model, example, "
            "gs.plan(model, example))"
        )
    shaped = with_shapes(model, example)
    tape = observe(shaped, example, backward=False).tape
    moments = second_moments(shaped) | (moments_of(plan) if plan is not None else {})
    inputs = [site for site in tape.sites if site.kind == "input"]
    given = {
        site.index: spread_of(tensor, 1 if tensor.dim() >= 4 else -1)
        for site, tensor in zip(inputs, tensors_in(example), strict=False)
        if tensor.is_floating_point() and has_data(tensor)
    }
    first = _First(target, loss, tape.batch or 1)
    fixed = {n: a.law.recipe() for n, a in (plan or {}).items() if a.law is not None and a.law.kind == "constant"}
    laws = {n: recipe.numbers[0] for n, recipe in fixed.items() if recipe is not None}
    seen = outlook(tape, moments, first.of, given, vector_means(shaped) | laws)
    sizes = {n: (tuple(p.shape), moments.get(n, 0.0)) for n, p in named_parameters(shaped)}
    return Forecast(tape.model, seen.sites, seen.loss, seen.loss_from, seen.gradients, sizes)


def moments_of(plan: Assignments) -> dict[str, float]:
    """The second moments of the laws of a plan, found from a draw of at most a few million elements."""
    found: dict[str, float] = {}
    known: dict[Any, float] = {}
    for name, a in plan.items():
        if a.law is None:
            continue
        shape = plan.shapes[name]
        key = (a.law, shape, a.fans, a.transposed)
        if key not in known:
            law = a.law.concrete(shape, a.fans)
            std, mean = getattr(law, "std", None), getattr(law, "mean", None)
            if law.kind == "normal" and isinstance(std, float) and isinstance(mean, float):
                known[key] = std**2 + mean**2
            else:
                size = shape
                if law.recipe() is not None and prod(shape) > _ROWS:
                    size = (max(_ROWS // prod(shape[1:]), 1), *shape[1:])
                box = drawn_box(name, a, a.law, shape, 0, torch.float32, size, (0,) * len(shape))
                known[key] = float(box.double().square().mean())
        found[name] = known[key]
    return found


class _First:
    """The first loss and the gradient that it gives the outputs, tried on random outputs of the foreseen moments."""

    def __init__(self, target: Any, loss: Loss | None, batch: int) -> None:
        self.target, self.loss, self.batch = target, loss, batch

    def of(self, graph: Graph, spreads: Mapping[int, Spread]) -> tuple[float | None, dict[int, Spread], str]:
        """See `theory.outlook`."""
        losses = [s for s in graph.sites if ops.of(s).kind == "loss" and s.kind == "op" and graph.data(s.index)]
        if self.loss is None and losses:
            site = losses[-1]
            logits = graph.data(site.index)[0].site
            if ops.of(site).compares == "classes" and logits in spreads:
                value, spread = _cross_entropy(graph.shapes[logits], spreads[logits], self.batch)
                return value, {logits: spread}, "the model's own cross-entropy"
        floats = [
            ref.site
            for ref in graph.tape.outputs
            if ref.site in spreads and graph.sites[ref.site].dtype.startswith(("float", "bfloat"))
        ]
        if not floats:
            return None, {}, "no output that theory reaches"
        index, shape = floats[0], graph.shapes[floats[0]]
        if self.loss is not None:
            value, spread = _tried(self.loss, self.target, shape, spreads[index])
            return value, {index: spread}, "the given loss"
        value, spread = _cross_entropy(shape, spreads[index], self.batch)
        return value, {index: spread}, f"cross-entropy over {shape[-1]:,} classes, labels at random"


def _drawn(shape: tuple[int, ...], spread: Spread, seed: int) -> Tensor:
    """Random numbers with these moments: a part that all samples share, one that all positions share, the rest."""
    generator = torch.Generator().manual_seed(seed)
    mean, square, samples, positions = (
        float(x.mean()) for x in (spread.mean, spread.square, spread.samples, spread.positions)
    )
    shared = [(1, *shape[1:]), (shape[0], *(1 for _ in shape[1:-1]), shape[-1])] if len(shape) > 1 else []
    parts = [samples - mean**2, positions - mean**2 if len(shape) > 2 else 0.0]
    x, left = torch.full(shape, mean), max(square - mean**2, 0.0)
    for size, part in zip(shared, parts, strict=False):
        part = min(max(part, 0.0), left)
        x, left = x + torch.randn(size, generator=generator) * part**0.5, left - part
    rest: Tensor = torch.randn(shape, generator=generator) * left**0.5
    return x + rest


def _tried(loss: Loss | None, target: Any, shape: tuple[int, ...], spread: Spread) -> tuple[float, Spread]:
    """Value and gradient of a loss, the mean of some tries."""
    values, found = [], []
    for seed in range(8 if prod(shape) < 2**18 else 1):
        x = _drawn(shape, spread, seed).requires_grad_()
        value, _ = objective_of(x, target, loss)
        (gradient,) = torch.autograd.grad(value, x)
        values.append(float(value.detach()))
        found.append(spread_of(gradient, 1 if gradient.dim() == 4 else -1))
    total = found[0]
    for spread in found[1:]:
        total = Spread(*(getattr(total, part) + getattr(spread, part) for part in _PARTS))
    return sum(values) / len(found), Spread(*(getattr(total, part) / len(found) for part in _PARTS))


_PARTS = ("square", "mean", "samples", "positions", "across")


def _cross_entropy(shape: tuple[int, ...], spread: Spread, batch: int) -> tuple[float, Spread]:
    """Cross-entropy of logits against random labels, averaged over all rows; tried on a part of the rows."""
    rows, classes = prod(shape[:-1]), shape[-1]
    places = rows // batch if rows % batch == 0 else 1
    few = max(min(rows, _ROWS // classes), 2)
    held: tuple[int, ...] = (max(few, 2), classes)
    if places > 1:
        held = (max(few // places, 2), places, classes) if few >= 2 * places else (2, max(few // 2, 1), classes)
    labels = torch.randint(classes, held[:-1], generator=torch.Generator().manual_seed(1))

    def loss(x: Tensor, _: Any) -> Tensor:
        return F.cross_entropy(x.reshape(-1, classes), labels.flatten())

    value, gradient = _tried(loss, None, held, spread)
    ratio = (prod(held[:-1]) / rows) ** 2  # of a mean over more rows each gets less
    assert value > 0 or log(classes) == 0
    return value, gradient.times(ratio)

"""A network as a strip of layers, and the four plots that one watches while it trains."""

from collections.abc import Callable, Iterator, Sequence
from math import log10
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.lab._figures import Figure, heat, lines
from gainstage.signal import Tape, record
from gainstage.train import fit

BINS, REACH = 25, 3.0  # of a histogram of weights, in standard deviations on either side

Loss = Callable[[Any, Tensor], Tensor]
Layer = tuple[Any, str, Tensor]  # a site, the name of its weight, the weight


def strip(model: nn.Module, tape: Tape, says: str = "The layers") -> Figure:
    """The network as a strip: a box a layer, coloured by the level of its signal; hovered, all that is known of it.

    Args:
        model: whose layers.
        tape: of `gs.record(model, ...)`.
        says: title and text alternative.

    Example:
        >>> import gainstage as gs
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> strip(model, gs.record(model, torch.randn(16, 4))).spec()["columns"]["layer"]
        [1, 2]
    """
    rows = [
        {
            "layer": number,
            "root mean square": site.forward.rms,
            "name": name,
            "gradient": site.backward.rms if site.backward is not None else float("nan"),
            "differs between samples": (site.forward.variance_between / site.forward.mean_square) ** 0.5
            if site.forward.mean_square
            else 0.0,
            "std of the weights": float(weight.std()),
            "histogram": histogram(weight),
        }
        for number, (site, name, weight) in enumerate(layers(model, tape), 1)
    ]
    more = ["name", "gradient", "differs between samples", "std of the weights", "histogram"]
    return Figure("strip", rows, says, {"x": "layer", "y": "root mean square"}, more=more, height=60)


def layers(model: nn.Module, tape: Tape) -> list[Layer]:
    """The sites that use a weight of two or more axes, with that weight, in the order of the pass."""
    weights = {name: weight.detach() for name, weight in model.named_parameters() if weight.dim() > 1}
    found = []
    for site in tape:
        used = [tape.sites[ref.site].path for ref in site.inputs if tape.sites[ref.site].kind == "parameter"]
        found += [(site, name, weights[name]) for name in used if name in weights][:1]
    return found


def histogram(weight: Tensor) -> list[int]:
    """How many weights lie in each of `BINS` bins within `REACH` standard deviations of 0."""
    width = REACH * float(weight.std()) or 1.0
    return torch.histc(weight.float(), BINS, -width, width).int().tolist()


def dashboard(
    model: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    every: int = 5,
) -> Iterator[Figure]:
    r"""Train, and show every few steps: activations, gradients, gradient to data and update to data, by layer.

    $$ \frac{\sigma(\nabla_W)}{\sigma(W)} \qquad \log_{10} \frac{\sigma(\Delta W)}{\sigma(W)} $$

    where $\Delta W$ is what one step changed; about $-3$ is a usual value of the last. Later figures take the place of
    earlier ones, so that a page shows the training as it goes; who stops reading stops the training.

    Args:
        model: trained in place.
        batches: pairs `(x, y)`; the first is also what is looked at.
        loss: `loss(output, y)`.
        optimizer: of the model's parameters.
        every: steps between two looks.

    Yields:
        The strip of layers, the cost, four figures over steps, and the histogram of a weight over time.
    """
    (x, y), rows, costs = batches[0], list[dict[str, Any]](), list[dict[str, Any]]()
    seen: list[tuple[int, Tensor]] = []
    for begin in range(0, len(batches), every):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        first = fit(model, batches[begin : begin + 1], loss=loss, optimizer=optimizer)
        tape = record(model, x, target=y, loss=loss)
        looked = layers(model, tape)
        rows += [_row(begin + 1, number, layer, model, before) for number, layer in enumerate(looked, 1)]
        seen.append((begin + 1, looked[len(looked) // 2][2].clone()))
        rest = fit(model, batches[begin + 1 : begin + every], loss=loss, optimizer=optimizer)
        costs += [{"step": begin + i, "cost": cost} for i, cost in enumerate([*first.losses, *rest.losses], 1)]
        yield strip(model, tape)
        yield lines(costs, "step", "cost", says="The cost", points=False, height=160)
        yield from _plots(rows)
        yield weights_over_time(seen, f"Weights of layer {len(looked) // 2 + 1} over time")


def _row(step: int, number: int, layer: Layer, model: nn.Module, before: dict[str, Tensor]) -> dict[str, Any]:
    site, name, weight = layer
    size, gradient = float(weight.std()), model.get_parameter(name).grad
    return {
        "step": step,
        "layer": f"layer {number}",
        "signal, root mean square": site.forward.rms,
        "gradient, root mean square": site.backward.rms if site.backward else float("nan"),
        "gradient : data": float(gradient.std()) / size if gradient is not None and size else float("nan"),
        "log₁₀ update : data": _log10(float((weight - before[name]).std()), size),
    }


def _plots(rows: list[dict[str, Any]]) -> Iterator[Figure]:
    for what, says, log in (
        ("signal, root mean square", "Activations", True),
        ("gradient, root mean square", "Gradients of the activations", True),
        ("gradient : data", "Gradient to data of the weights", True),
        ("log₁₀ update : data", "Update to data of the weights", False),
    ):
        yield lines(rows, "step", what, by="layer", says=says, log_y=log, height=180)


def weights_over_time(rows: Sequence[tuple[int, Tensor]], says: str = "Weights over time") -> Figure:
    """The histogram of a weight by step: a column a step, lighter where more weights are.

    Args:
        rows: step and weight.
        says: title and text alternative.
    """
    reach = REACH * max(float(weight.std()) for _, weight in rows)
    middles = [reach * (2 * i + 1 - BINS) / BINS for i in range(BINS)]
    cells = [
        {"step": step, "weight": float(f"{middle:.2g}"), "share": count / weight.numel()}
        for step, weight in rows
        for middle, count in zip(middles, torch.histc(weight.float(), BINS, -reach, reach).tolist(), strict=True)
    ]
    return heat(cells, "step", "weight", "share", says=says)


def _log10(update: float, size: float) -> float:
    return log10(update / size) if update > 0 and size > 0 else float("nan")

"""The laws of `gs.init` with formula and picture, and the schemes of `gs.initialize`."""

import inspect
import io
from pathlib import Path

import matplotlib
import torch

from files import put
from gainstage import init
from rooms import first_line, names

matplotlib.use("svg")
import matplotlib.pyplot as plt

SHAPES = {"delta_orthogonal": (48, 48, 3, 3), "dirac": (48, 48, 3, 3), "gpt2_residual": (48, 48)}
GIVEN = {"constant": (0.1,), "gpt2_residual": (12,), "scaled_normal": (12,), "fixup": (12,), "sparse": (0.9,)}


def values() -> dict[str, init.Law]:
    """Every name that gives a law as a value, with the law that it gives."""
    found = {}
    for name, make in names("gainstage.init").items():
        if name.endswith("_") or not inspect.isfunction(make):
            continue
        try:
            law = make(*GIVEN.get(name, ()))
            init.sample(law, SHAPES.get(name, (48, 48)), seed=0, name=name)
        except Exception:  # not every function of the room makes a law by itself
            continue
        if isinstance(law, init.Law):
            found[name] = law
    return found


def write(place: Path) -> None:
    lines = ["# The laws", "", _INTRODUCTION, "", "| law | what it is | drawn |", "|---|---|---|"]
    for name, law in values().items():
        shape = SHAPES.get(name, (48, 48))
        drawn = init.sample(law, shape, seed=0, name=name)
        put(place / f"{name}.svg", _picture(torch.as_tensor(drawn)))
        what = f"[`{name}`](#gainstage.init.{name})"
        said = first_line(getattr(init, name))
        lines.append(f"| {what} | {said} | ![{_alt(name, torch.as_tensor(drawn))}]({name}.svg) |")
    put(place / "index.md", "\n".join(lines) + "\n")


_INTRODUCTION = (
    "A law says how one tensor is filled. It is a value: `init.he_normal()` draws nothing until it is given a tensor, "
    "`init.he_normal_(w)` fills one in place as in `torch.nn.init`. The picture shows a weight of 48 by 48 (of a "
    "convolution the middle tap), seed 0, and the distribution of its entries."
)


def _alt(name: str, drawn: torch.Tensor) -> str:
    values = drawn.double()
    return f"{name}: mean {float(values.mean()):.2g}, standard deviation {float(values.std()):.2g}"


def _picture(drawn: torch.Tensor) -> str:
    image = drawn if drawn.dim() == 2 else drawn.flatten(2)[..., drawn[0, 0].numel() // 2]
    plt.rcParams.update({"svg.hashsalt": "gainstage", "svg.fonttype": "none", "font.size": 7})
    figure, (left, right) = plt.subplots(1, 2, figsize=(2.6, 1.1), layout="constrained")
    size = float(image.abs().max()) or 1.0
    left.imshow(image.numpy(), cmap="RdBu", vmin=-size, vmax=size, interpolation="nearest")
    left.set_axis_off()
    right.hist(drawn.flatten().numpy(), bins=41, color="0.45")
    right.set_yticks([])
    right.tick_params(colors="0.45")
    for side in ("top", "left", "right"):
        right.spines[side].set_visible(False)
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    return written.getvalue()

"""What a streamed start found, printed and stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt

from gainstage._columns import columns


@dataclass(frozen=True)
class Streamed:
    """The first loss and the norm of the first gradient of every parameter, of a model that was never whole.

    Attributes:
        model: class name of the model.
        loss: the first loss.
        surrogate: there was no loss, and this is the stand-in that makes gradients flow (`run.surrogate`).
        gradients: the norm of the first gradient, by parameter that has one.
        shapes: of every parameter.
        blocks: of every call of a block its path, and the seconds of its way forward and of its way back.
        seconds: of the whole, with what a killed run had spent on its finished blocks.
        drawn: how many elements of weights were drawn; every weight of a block three times.
    """

    model: str
    loss: float
    surrogate: bool
    gradients: Mapping[str, float]
    shapes: Mapping[str, tuple[int, ...]]
    blocks: tuple[tuple[str, float, float], ...]
    seconds: float
    drawn: int

    @property
    def parameters(self) -> int:
        """How many numbers the model is made of."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def gradient_norm(self) -> float:
        """The norm of the gradient of all parameters together."""
        return sqrt(sum(norm**2 for norm in self.gradients.values()))

    def table(self, width: int | None = 80) -> str:
        """One row a block and one for every parameter outside of blocks, then the whole."""
        paths = list(dict.fromkeys(path for path, _, _ in self.blocks))
        rows: dict[str, list[float]] = {}
        for name, shape in self.shapes.items():
            inside = next((p for p in paths if name.startswith(f"{p}.")), name)
            row = rows.setdefault(inside, [0.0, 0.0, 0.0])
            row[0] += prod(shape)
            row[1] += self.gradients.get(name, 0.0) ** 2
        for path, ahead, back in self.blocks:
            rows[path][2] += ahead + back
        shown = [(name, f"{n:,.0f}", f"{sqrt(g):.3g}", f"{s:.1f}" if s else "") for name, (n, g, s) in rows.items()]
        said = [columns(("part", "parameters", "gradient", "seconds"), shown, numbers=(1, 2, 3), width=width)]
        kind = "stand-in for a loss" if self.surrogate else "first loss"
        said.append(f"{kind} {self.loss:.4f}, gradient norm {self.gradient_norm:.4g}")
        said.append(f"{self.parameters:,} parameters, {self.drawn:,} numbers drawn, {self.seconds:.1f} s")
        return "\n".join(said)

    def to_json(self) -> str:
        """The result as JSON text."""
        data = {
            "model": self.model,
            "loss": self.loss,
            "surrogate": self.surrogate,
            "gradient_norm": self.gradient_norm,
            "parameters": self.parameters,
            "drawn": self.drawn,
            "seconds": self.seconds,
            "gradients": dict(self.gradients),
            "blocks": [{"path": p, "forward": a, "backward": b} for p, a, b in self.blocks],
        }
        return json.dumps(data, indent=2)

    def __str__(self) -> str:
        return self.table()

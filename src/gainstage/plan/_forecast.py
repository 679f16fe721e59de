"""The forecast of a start, printed, drawn and stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

from gainstage._columns import columns
from gainstage._notebook import folded
from gainstage.signal import ops
from gainstage.theory import Foreseen
from gainstage.theory.precision import FORMATS, outside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OPTIMIZERS = ("sgd", "adam", "muon")


@dataclass(frozen=True)
class Forecast:
    """What theory says of the start of a model.

    Attributes:
        model: class name of the model.
        sites: in execution order.
        loss: the first loss; None where no output is reached.
        loss_from: what loss that is.
        gradients: the norm of the first gradient, by parameter.
        parameters: shape and second moment of every parameter.
    """

    model: str
    sites: tuple[Foreseen, ...]
    loss: float | None
    loss_from: str
    gradients: Mapping[str, float]
    parameters: Mapping[str, tuple[tuple[int, ...], float]]

    def __getitem__(self, name: str) -> Foreseen:
        """The site of this name, or the last one in the module of this path."""
        found = [s for s in self.sites if name in (s.site.name, s.site.path)]
        if not found:
            near = get_close_matches(name, [t for s in self.sites for t in (s.site.name, s.site.path)], n=1)
            raise KeyError(f"no site {name!r} in this forecast" + (f"; did you mean {near[0]!r}?" if near else ""))
        return found[-1]

    @property
    def uncovered(self) -> dict[str, int]:
        """The operations that theory does not cover, and how often each was taken as handing on what it reads."""
        counts: dict[str, int] = {}
        for s in self.sites:
            if not s.known:
                counts[s.site.op] = counts.get(s.site.op, 0) + 1
        return counts

    @property
    def coverage(self) -> float:
        """The share of sites that theory covers; the others are operations that it does not, or rest on one."""
        return sum(s.covered for s in self.sites) / max(len(self.sites), 1)

    def update_ratio(self, name: str, rate: float, optimizer: str = "adam") -> float | None:
        r"""The size of the first step of a parameter, relative to its own: $\lVert \Delta w \rVert / \lVert w \rVert$.

        $\eta \lVert g \rVert$ for SGD, $\eta \sqrt n$ for Adam (whose first step is the sign), and for Muon
        $\eta \sqrt{\max(1, r / c)} \sqrt{\min(r, c)}$ of an r by c matrix (Jordan et al. 2024).

        Args:
            name: of the parameter.
            rate: the learning rate.
            optimizer: `"sgd"`, `"adam"` or `"muon"`.

        Returns:
            None where the gradient or the weight is not known or 0.
        """
        if optimizer not in OPTIMIZERS:
            from gainstage.errors import GainstageError

            raise GainstageError(f"expected one of the optimizers {', '.join(OPTIMIZERS)}; got {optimizer!r}")
        shape, moment = self.parameters[name]
        norm, gradient, size = sqrt(moment * prod(shape)), self.gradients.get(name), prod(shape)
        if not norm or not gradient:
            return None
        if optimizer == "sgd":
            return rate * gradient / norm
        if optimizer == "adam" or len(shape) < 2:
            return float(rate * sqrt(size) / norm)
        r, c = shape[0], size // shape[0]
        return float(rate * sqrt(max(1.0, r / c) * min(r, c)) / norm)

    def precision(self, name: str) -> dict[str, tuple[float, float]]:
        """The share of a site's values below and above the range of every format of `theory.precision.FORMATS`."""
        seen = self[name]
        return {kind: outside(seen.rms, prod(seen.site.shape), form) for kind, form in FORMATS.items()}

    def table(self, width: int | None = 80) -> str:
        """One row a layer: level, likeness of two samples, gradient; what is not covered is marked with a star."""
        rows = [
            (
                f"{s.site.name}{'' if s.covered else ' *'}",
                f"{s.rms:.3g}",
                f"{s.alike:.2f}",
                "" if s.gradient_rms is None else f"{s.gradient_rms:.2e}",
            )
            for s in self.sites
            if not ops.of(s.site).minor
        ]
        said = [columns(("layer", "rms", "alike", "gradient"), rows, numbers=(1, 2, 3), width=width)]
        if self.loss is not None:
            said.append(f"first loss {self.loss:.3f} ({self.loss_from})")
        total = sqrt(sum(g**2 for g in self.gradients.values()))
        said.append(f"gradient norm {total:.3g} of {len(self.gradients)} of {len(self.parameters)} parameters")
        left = ", ".join(f"{op} ({n})" for op, n in self.uncovered.items())
        named = f"; the rest are these or rest on them, taken as 1: {left}" if left else ""
        said.append(f"predicted; {self.coverage:.0%} of {len(self.sites)} sites covered{named}")
        return "\n".join(said)

    def _repr_html_(self) -> str:
        """In a notebook: how much is covered and the first loss, and folded the table."""
        loss = "" if self.loss is None else f", first loss {self.loss:.3f}"
        head = f"{self.model}: {len(self.sites)} sites, {self.coverage:.0%} covered{loss}"
        return folded(head, [("level, likeness and gradient of every layer", self.table(None))])

    def to_json(self) -> str:
        """The forecast as JSON text."""
        rows = [
            {
                "site": s.site.name,
                "op": s.site.op,
                "rms": s.rms,
                "mean": s.mean,
                "alike": s.alike,
                "gradient_rms": s.gradient_rms,
                "covered": s.covered,
            }
            for s in self.sites
        ]
        data: dict[str, Any] = {
            "model": self.model,
            "loss": self.loss,
            "loss_from": self.loss_from,
            "coverage": self.coverage,
            "uncovered": self.uncovered,
            "gradients": dict(self.gradients),
            "sites": rows,
        }
        return json.dumps(data, indent=2)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw level and gradient by depth with matplotlib (extra `plot`) and return the axes.

        The band is twice the deviation between seeds, $1 \\pm 2 \\sqrt{1 / (2 n)}$ of an RMS over n units.
        """
        from matplotlib import pyplot as plt

        axes = ax if ax is not None else plt.subplots()[1]
        shown = [s for s in self.sites if not ops.of(s.site).minor]
        for label, colour, values in (
            ("signal", "#0072B2", [s.rms for s in shown]),
            ("gradient", "#D55E00", [s.gradient_rms or float("nan") for s in shown]),
        ):
            band = [2 * sqrt(0.5 / max(s.site.shape[-1] if s.site.shape else 1, 1)) for s in shown]
            axes.plot(range(len(shown)), values, color=colour, label=label)
            low, high = ([v * (1 + k * b) for v, b in zip(values, band, strict=True)] for k in (-1, 1))
            axes.fill_between(range(len(shown)), [max(v, 1e-30) for v in low], high, color=colour, alpha=0.2)
        axes.set_yscale("log")
        axes.set_xlabel("depth (operations)")
        axes.set_ylabel("root mean square (predicted)")
        axes.set_title(f"Forecast of {self.model}")
        axes.legend()
        return axes

    def __str__(self) -> str:
        return self.table()

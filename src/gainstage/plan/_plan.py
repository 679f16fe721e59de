"""The plan: what every parameter is, how it is filled, and why, with all that can be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gainstage._notebook import folded
from gainstage._visible import visible
from gainstage.plan._apply import apply
from gainstage.plan._assignments import AUTO as AUTO
from gainstage.plan._assignments import Assignments
from gainstage.plan._audit import Deviation, audit
from gainstage.plan._emit import to_python
from gainstage.plan._fingerprint import Fingerprint, drawn
from gainstage.plan._origin import Origins, origins
from gainstage.plan._table import law_text, table


@dataclass(frozen=True)
class Plan(Assignments):
    """What every parameter of a model is, how it is filled, and why. A mapping from parameter name to `Assignment`.

    Attributes:
        model: class name of the model.
        scheme: name of the scheme.
        assignments: in execution order; parameters that no site reads come last, with role `"unused"`.
        shapes: of the parameters.
        ties: other names of shared parameters.
        proof: the measurements before and after, where `initialize` applied the plan.
        choice: which candidate was chosen, and by which number.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> plan = gs.plan(model, torch.randn(8, 64))
        >>> plan["2.weight"].role
        'output head'
        >>> gs.Plan.from_json(plan.to_json()) == plan
        True
    """

    def apply(self, model: nn.Module, *, seed: int = 0) -> None:
        """Fill the parameters of `model` in place, all or none; random states are not touched. See `plan.apply`."""
        apply(self, model, seed=seed)

    def audit(self, model: nn.Module, *, seed: int | None = None) -> tuple[Deviation, ...]:
        """Everything in `model` that is not as planned: deviating, untouched, identical or non-finite parameters.

        Args:
            model: with values.
            seed: the one that `apply` was given; then values are compared bit for bit, and not their mean squares.
        """
        return audit(self, model, seed=seed)

    def fingerprint(
        self, seed: int = 0, *, dtype: torch.dtype | Mapping[str, torch.dtype] = torch.float32
    ) -> Fingerprint:
        """The fingerprint of the model that `apply` fills from this seed, without the model.

        Args:
            seed: as for `apply`.
            dtype: of the parameters, of all or by name.

        Returns:
            A digest for every parameter that a law fills. Large parameters are drawn in parts.

        Example:
            >>> import torch, gainstage as gs
            >>> plan = gs.plan(torch.nn.Linear(8, 8), torch.randn(4, 8))
            >>> plan.fingerprint(0) == plan.fingerprint(1)
            False
        """
        return drawn(self, seed, dtype)

    def origins(self, held: Any, *, seed: int = 0, loaded: Any = None) -> Origins:
        """Where the values of every parameter come from: as drawn, loaded, re-drawn, duplicated, constant or garbage.

        Args:
            held: a model (of sharded parameters this process's shards are looked at), the path of a safetensors file,
                or what ranks hold: a sequence of paths or of dictionaries of tensors, in the order of the ranks.
            seed: the one that the plan was applied with.
            loaded: the file that part of the model was loaded from, or its tensors; default: none is known, and
                values that are no draw count as loaded.

        Raises:
            GainstageError: a file that is no safetensors file, or shards that overlap or do not make up the whole.

        Example:
            >>> import torch, gainstage as gs
            >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64))
            >>> plan = gs.initialize(model, torch.randn(8, 64), seed=1)
            >>> _ = torch.nn.init.zeros_(model[2].weight)
            >>> [(o.name, o.kind) for o in plan.origins(model, seed=1).wrong]
            [('2.weight', 'constant')]
        """
        return origins(self, held, seed=seed, loaded=loaded)

    def table(self, width: int | None = 80, *, every: bool = False) -> str:
        """A row for each kind of parameter that blocks repeat, or for `every` one; without a width, a row is a line."""
        return table(self, width, every=every)

    def describe(self, name: str) -> str:
        """The law of a parameter with its number: `he_normal, std 0.177`."""
        return visible(law_text(self, name))

    def to_python(self) -> str:
        """Plain PyTorch code that fills the model by the same laws, without gainstage."""
        return to_python(self)

    def _repr_html_(self) -> str:
        """In a notebook: how much is planned, and folded the table and the reasons."""
        *rows, total = self.table(width=None).splitlines()
        reasons = "\n".join(f"{name}: {each.reason}" for name, each in self.items())
        return folded(f"{self.model}: {total}", [("roles and laws", "\n".join(rows)), ("reasons", reasons)])

    def __str__(self) -> str:
        return self.table()

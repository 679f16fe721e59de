"""The plan: for every parameter its role, its law and the reason, as data."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from torch import nn

from gainstage._foreign import fitted, json_of, of_version
from gainstage._visible import said, shown, visible
from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.init.streams import bare_name
from gainstage.plan._assignment import Assignment, Row
from gainstage.plan._proof import Proof

if TYPE_CHECKING:
    from gainstage.plan._audit import Deviation

AUTO = ("auto", "theory")  # schemes that plan a level behind every weight
_VERSION = 1
_FILE = "the text that plan.to_json() wrote"


class _File(Struct, forbid_unknown_fields=True):
    """The file of a plan; its rows are checked one by one, so that a message can name the parameter."""

    version: int
    model: str
    scheme: str
    ties: dict[str, str]
    parameters: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Plan(Mapping[str, Assignment]):
    """What every parameter of a model is, how it is filled, and why. A mapping from parameter name to `Assignment`.

    Attributes:
        model: class name of the model.
        scheme: name of the scheme.
        assignments: in execution order; parameters that no site reads come last, with role `"unused"`.
        shapes: of the parameters.
        ties: other names of shared parameters.
        proof: the measurements before and after, where `initialize` applied the plan.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        >>> plan = gs.plan(model, torch.randn(8, 64))
        >>> plan["2.weight"].role
        'output head'
        >>> gs.Plan.from_json(plan.to_json()) == plan
        True
    """

    model: str
    scheme: str
    assignments: dict[str, Assignment]
    shapes: dict[str, tuple[int, ...]]
    ties: dict[str, str] = field(default_factory=dict)
    proof: Proof | None = field(default=None, compare=False)

    def __getitem__(self, name: str) -> Assignment:
        for own in (name, bare_name(name)):
            if (own := self.ties.get(own, own)) in self.assignments:
                return self.assignments[own]
        raise KeyError(self._unknown(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.assignments)

    def __len__(self) -> int:
        return len(self.assignments)

    def replace(self, laws: Mapping[str, Law], *, because: str = "replaced by hand") -> "Plan":
        """The same plan with other laws for some parameters.

        Args:
            laws: by parameter name.
            because: added to the reason.

        Raises:
            GainstageError: a name that the plan does not have, or a value that is no law.
        """
        changed = dict(self.assignments)
        for name, law in laws.items():
            if not isinstance(law, Law):
                raise GainstageError(
                    f"plan.replace takes laws, as in {{{name!r}: init.he_normal()}}; got {type(law).__name__}"
                )
            key = self.ties.get(name, name)
            if key not in changed:
                raise GainstageError(self._unknown(name))
            old = changed[key]
            changed[key] = replace(old, law=law, reason=f"{old.reason}; {because}")
        return replace(self, assignments=changed)

    def only(self, names: Iterable[str]) -> "Plan":
        """The part of the plan that concerns these parameters; `apply` then leaves all others as they are."""
        wanted = {self.ties.get(name, name) for name in names}
        if unknown := wanted - set(self.assignments):
            raise GainstageError(self._unknown(min(unknown)))
        kept = {name: a for name, a in self.assignments.items() if name in wanted}
        return replace(self, assignments=kept, shapes={name: self.shapes[name] for name in kept})

    def apply(self, model: nn.Module, *, seed: int = 0) -> None:
        """Fill the parameters of `model` in place, all or none; random states are not touched. See `plan.apply`."""
        from gainstage.plan._apply import apply

        apply(self, model, seed=seed)

    def audit(self, model: nn.Module) -> "tuple[Deviation, ...]":
        """Everything in `model` that is not as planned: deviating, untouched, identical or non-finite parameters."""
        from gainstage.plan._audit import audit

        return audit(self, model)

    def table(self, width: int | None = 80) -> str:
        """One row a parameter; without a width, a row is a line."""
        from gainstage.plan._table import table

        return table(self, width)

    def describe(self, name: str) -> str:
        """The law of a parameter with its number: `he_normal, std 0.177`."""
        from gainstage.plan._table import law_text

        return visible(law_text(self, name))

    def to_python(self) -> str:
        """Plain PyTorch code that fills the model by the same laws, without gainstage."""
        from gainstage.plan._emit import to_python

        return to_python(self)

    def to_json(self) -> str:
        """The plan as JSON text."""
        data = {
            "version": _VERSION,
            "model": self.model,
            "scheme": self.scheme,
            "ties": self.ties,
            "parameters": {
                name: {"shape": list(self.shapes[name])} | assignment.to_json()
                for name, assignment in self.assignments.items()
            },
        }
        return json.dumps(data, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """The plan that `to_json` wrote: every field of its type, every law one that can fill its parameter.

        Raises:
            GainstageError: not JSON, another version, or a field that is missing, too much or of another kind; the
                message names the parameter and the field.
        """
        file = fitted(of_version(json_of(text, _FILE), _VERSION, _FILE), _File, f"expected {_FILE}")
        assignments, shapes = {}, {}
        for name, told in file.parameters.items():
            try:
                row = fitted(told, Row, "its row")
                assignments[name], shapes[name] = Assignment.of_row(row), row.shape
            except GainstageError as error:
                raise GainstageError(f"expected {_FILE}; of the parameter {shown(name)}, {said(error)}") from error
        if both := [name for name in file.ties if name in assignments]:
            raise GainstageError(f"expected {_FILE}; {shown(both[0])} is both a parameter and a tie to another")
        return cls(file.model, file.scheme, assignments, shapes, file.ties)

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name, [*self.assignments, *self.ties], n=1)
        return f"the plan has no parameter {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")

    def __str__(self) -> str:
        return self.table()

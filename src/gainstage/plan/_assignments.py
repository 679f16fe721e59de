"""What a plan holds: for every parameter its role, its law and the reason, as data."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Self

from msgspec import Struct

from gainstage._foreign import fitted, json_of, of_version
from gainstage._visible import said, shown
from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.init.streams import bare_name
from gainstage.plan._assignment import Assignment, Row
from gainstage.plan._proof import Proof

AUTO = ("auto", "theory", "own")  # schemes that plan a level behind every weight
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
class Assignments(Mapping[str, Assignment]):
    """A mapping from parameter name to `Assignment`, with what belongs to it; `Plan` is what people see of it."""

    model: str
    scheme: str
    assignments: dict[str, Assignment]
    shapes: dict[str, tuple[int, ...]]
    ties: dict[str, str] = field(default_factory=dict)
    proof: Proof | None = field(default=None, compare=False)
    choice: str = field(default="", compare=False)

    def __getitem__(self, name: str) -> Assignment:
        for own in (name, bare_name(name)):
            if (own := self.ties.get(own, own)) in self.assignments:
                return self.assignments[own]
        raise KeyError(self._unknown(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.assignments)

    def __len__(self) -> int:
        return len(self.assignments)

    def replace(self, laws: Mapping[str, Law], *, because: str = "replaced by hand") -> Self:
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

    def only(self, names: Iterable[str]) -> Self:
        """The part of the plan that concerns these parameters; `apply` then leaves all others as they are."""
        wanted = {self.ties.get(name, name) for name in names}
        if unknown := wanted - set(self.assignments):
            raise GainstageError(self._unknown(min(unknown)))
        kept = {name: a for name, a in self.assignments.items() if name in wanted}
        return replace(self, assignments=kept, shapes={name: self.shapes[name] for name in kept})

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
    def from_json(cls, text: str) -> Self:
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

"""A transfer's file: read field by field, as foreign data."""

import json
from typing import Any

from msgspec import Struct

from gainstage._foreign import fitted, json_of, of_version
from gainstage.plan import Plan
from gainstage.transfer._groups import Scaling
from gainstage.transfer._multipliers import Multiplier

_FILE = "the text that transfer.to_json() wrote"


class _File(Struct, forbid_unknown_fields=True):
    version: int
    base: str
    target: str
    optimizer: str
    rule: str
    parameters: dict[str, Scaling]
    multipliers: tuple[Multiplier, ...]
    plan: dict[str, Any]


def read(text: str, version: int) -> tuple[str, str, str, str, Plan, dict[str, Scaling], tuple[Multiplier, ...]]:
    """The fields that the file holds.

    Raises:
        GainstageError: not JSON, another version, or a field of another kind.
    """
    file = fitted(of_version(json_of(text, _FILE), version, _FILE), _File, f"expected {_FILE}")
    plan = Plan.from_json(json.dumps(file.plan))
    return file.base, file.target, file.optimizer, file.rule, plan, file.parameters, file.multipliers

"""A trial as the store keeps it: a row of texts with their digest, and the same as a flat dictionary."""

import json
from hashlib import blake2b
from typing import NamedTuple

from gainstage.study._trial import Outcome

Row = dict[str, str | int | float | bool]

TABLE = (
    "CREATE TABLE trials (key TEXT NOT NULL PRIMARY KEY, config TEXT NOT NULL, outcome TEXT NOT NULL,"
    " created TEXT NOT NULL, digest TEXT NOT NULL)"
)
VALUES = ", ".join(f"CAST(trials.{name} AS BLOB)" for name in ("key", "config", "outcome", "created", "digest"))
KEEP = (  # what is there stays, unless it is damaged
    "INSERT INTO trials VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET config = excluded.config,"
    f" outcome = excluded.outcome, created = excluded.created, digest = excluded.digest WHERE NOT intact({VALUES})"
)


class Kept(NamedTuple):
    """A row of the file that is as it was written."""

    key: str
    config: str
    outcome: str
    created: str


def digest(key: str, config: str, outcome: str, created: str) -> str:
    """Of all that a row holds; none of it has a line break."""
    return blake2b("\n".join((key, config, outcome, created)).encode(), digest_size=16).hexdigest()


def intact(*values: bytes | None) -> Kept | None:
    """The row of these bytes, the last of which are its digest; None where that is not so."""
    try:
        *texts, own = (value.decode() for value in values if value is not None)
        return Kept(*texts) if digest(*texts) == own else None
    except (UnicodeDecodeError, TypeError, ValueError):  # a value that is no text, or none at all
        return None


ARM: dict[str, type] = {
    "model": str, "init": str, "norm": str, "activation": str, "depth": int, "width": int, "residual": bool,
    "dropout": float, "dropout_kind": str, "mixup": float, "cutmix": float, "weight_decay": float,
    "label_smoothing": float, "optimizer": str, "batch_size": int, "lr": float, "clip": float, "options": str,
    "parameterization": str, "base": str,
}  # fmt: skip
TRIAL: dict[str, type] = {"seed": int, "steps": int, "looks": int, "data": str, "device": str, "code": str}
OUTCOME: dict[str, type] = {
    "test": float, "validation": float, "loss": float, "area": float, "failed": str, "seconds": float, "engine": str,
}  # fmt: skip
COLUMNS: dict[str, type] = ARM | TRIAL | OUTCOME | {"key": str, "created": str}


def row(kept: Kept, outcome: Outcome) -> Row:
    """All of a trial in `COLUMNS`, each of its type."""
    config = json.loads(kept.config)
    arm = config["arm"]
    arm |= {name: json.dumps(arm[name], sort_keys=True) for name in ("options", "base")}
    arm |= {"clip": float("inf") if arm["clip"] is None else arm["clip"]}
    values = (
        arm | config | {name: getattr(outcome, name) for name in OUTCOME} | {"key": kept.key, "created": kept.created}
    )
    return {name: kind("" if values[name] is None else values[name]) for name, kind in COLUMNS.items()}

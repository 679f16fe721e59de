"""What tells the arms of a study apart: factors, their levels, and a short label for each arm."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from gainstage.init import Law
from gainstage.study._arm import SHAPE, Arm

OWN = ("name", "options")  # no factors by themselves
COLUMNS = ("arm", "seed", "test", "validation", "loss", "area", "failed", "seconds", "engine")  # of `Results.rows`
TAKEN = {*(f.name for f in fields(Arm)), *COLUMNS}
ALWAYS = ("model", "init", "activation", "optimizer")  # told also where they are at their default
DEFAULT = "default"  # the level of an option that an arm does not set


def settings(arms: Sequence[Arm]) -> tuple[dict[str, Any], ...]:
    """For each arm, its level of every factor: of all fields in which the arms differ.

    An option of a model of one's own is a factor by its own name, or as `options.depth` where `depth` is a field of
    other arms; its level is `"default"` for arms that do not set it.

    Example:
        >>> from gainstage.study._arm import grid
        >>> settings(grid(init=["xavier_normal", "he_normal"], depth=20))
        ({'init': 'xavier_normal'}, {'init': 'he_normal'})
    """
    names = _option_names(arms)
    flat = [_flat({f.name: getattr(arm, f.name) for f in fields(Arm)}, names) for arm in arms]
    same = identities(arms)
    differ = [name for name in (flat[0] if flat else ()) if len({each[name] for each in same}) > 1]
    return tuple({name: each[name] for name in differ} for each in flat)


def identities(arms: Sequence[Arm]) -> tuple[dict[str, str], ...]:
    """For each arm, a text for every field and option that is equal where the levels are."""
    names = _option_names(arms)
    flat = [_flat(arm.key(), names) for arm in arms]
    return tuple({name: _identity(value) for name, value in each.items()} for each in flat)


def labels(arms: Sequence[Arm]) -> tuple[str, ...]:
    """What tells each arm from the others, in a few words; its name where it has one.

    Example:
        >>> from gainstage.study._arm import grid
        >>> labels(grid(init=["lecun_normal", "he_normal"], depth=[4, 20]))
        ('lecun_normal depth 4', 'lecun_normal depth 20', 'he_normal depth 4', 'he_normal depth 20')
    """
    shared = shared_words(settings(arms))
    texts = []
    for arm, setting in zip(arms, telling(arms), strict=True):
        parts = [phrase(name, value, named=name in shared) for name, value in setting.items()]
        texts.append(arm.name or " ".join(parts) or (DEFAULT if len(arms) > 1 else text(arm.model)))
    return unique(texts)


def telling(arms: Sequence[Arm]) -> tuple[dict[str, Any], ...]:
    """For each arm, its level of every factor; unless the arms are a grid, without what is left at its default.

    Example:
        >>> telling([Arm(), Arm(norm="batch"), Arm(dropout=0.2), Arm(norm="batch", mixup=0.2)])
        ({}, {'norm': 'batch'}, {'dropout': 0.2}, {'norm': 'batch', 'mixup': 0.2})
    """
    each, same = settings(arms), identities(arms)
    counts = [len({own[name] for own in same}) for name in (each[0] if each else ())]
    if math.prod(counts) == len(arms):
        return each
    usual = Arm()
    defaults = {f.name: _identity(getattr(usual, f.name)) for f in fields(Arm) if f.name not in (*ALWAYS, *OWN)}
    return tuple(
        {name: value for name, value in own.items() if defaults.get(name, _identity(DEFAULT)) != its[name]}
        for own, its in zip(each, same, strict=True)
    )


def phrase(name: str, value: Any, *, named: bool = False) -> str:
    """A level in a sentence: words stand alone, numbers with the name of their factor.

    Example:
        >>> phrase("activation", "relu"), phrase("depth", 20), phrase("residual", False), phrase("norm", None)
        ('relu', 'depth 20', 'no residual', 'no norm')
    """
    name = name.removeprefix("options.")
    if name == "init" and value is None:
        return "own init"
    if value is None or value is False:
        return f"no {name}"
    if value is True:
        return name
    return f"{name} {text(value)}" if named or not is_word(value) else text(value)


def is_word(value: Any) -> bool:
    """Whether a level says by itself what it is a level of."""
    if isinstance(value, str):
        return value not in ("tuned", DEFAULT)
    return callable(value) or isinstance(value, Law)


def text(value: Any) -> str:
    """A level by itself: a function by its name, a law as it is written, a number as it is."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, partial):
        return text(value.func)
    return str(getattr(value, "__name__", type(value).__name__ if callable(value) else value))


def unique(texts: Sequence[str]) -> tuple[str, ...]:
    """The texts; those that occur more than once get a number.

    Example:
        >>> unique(["a", "b", "a"])
        ('a (1)', 'b', 'a (2)')
    """
    often, seen, told = Counter(texts), Counter[str](), []
    for word in texts:
        seen[word] += 1
        told.append(f"{word} ({seen[word]})" if often[word] > 1 else word)
    return tuple(told)


def shared_words(each: Sequence[dict[str, Any]]) -> set[str]:
    """Factors with a level whose word is also a level of another factor."""
    owners: dict[str, set[str]] = {}
    for setting in each:
        for name, value in setting.items():
            if is_word(value):
                owners.setdefault(text(value), set()).add(name)
    return {name for names in owners.values() if len(names) > 1 for name in names}


def _option_names(arms: Sequence[Arm]) -> dict[str, str]:
    """For each option of any arm, what it is called as a factor."""
    own = all(callable(arm.model) for arm in arms)  # for which the fields of built-in families say nothing
    taken = TAKEN.difference(SHAPE if own else ())
    return {name: f"options.{name}" if name in taken else name for arm in arms for name in arm.options}


def _flat(values: Mapping[str, Any], option_names: Mapping[str, str]) -> dict[str, Any]:
    """Fields and options side by side."""
    plain = {f.name: values[f.name] for f in fields(Arm) if f.name not in OWN}
    return plain | {told: values["options"].get(name, DEFAULT) for name, told in option_names.items()}


def _identity(value: Any) -> str:
    """A JSON text; the same for 0 and 0.0, but not for False."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(float(value) if number else value, sort_keys=True)

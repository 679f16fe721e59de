"""The parameter groups of the optimizers: what they are called, and what each did in a step."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gainstage.watch.reading import Group, Parameter, number


def groups_of(optimizers: Iterable[Optimizer]) -> list[dict[str, Any]]:
    """Every group once: an optimizer that is made of others has theirs."""
    found = {id(group): group for optimizer in optimizers for group in optimizer.param_groups}
    return list(found.values())


def named(groups: list[dict[str, Any]], names: Mapping[int, str]) -> dict[str, list[str]]:
    """The parameters of each group by a name for it: its own, or its first parameter and how many more.

    Args:
        groups: of the optimizers.
        names: of the parameters of the model, by their id.
    """
    found: dict[str, list[str]] = {}
    for group in groups:
        members = [names[id(p)] for p in group["params"] if id(p) in names]
        own = str(group.get("name", "")) or _common(members)
        label = own if own not in found else f"{own} ({len(found) + 1})"
        found[label] = members
    return found


def did(members: Mapping[str, list[str]], rates: list[float], held: Mapping[str, Tensor]) -> dict[str, Group]:
    """Rate and size of every group before it is known what its step changed; of one group nothing is told."""
    if len(members) < 2:
        return {}
    sizes = [sum(held[name].numel() for name in own) for own in members.values()]
    return {name: Group(rate, None, size) for name, rate, size in zip(members, rates, sizes, strict=True)}


def ratio(names: Iterable[str], parameters: Mapping[str, Parameter]) -> float | None:
    """Norm of all updates of these parameters over that of their weights; None where nothing was measured."""
    own = [parameters[name] for name in names if name in parameters]
    update, weight = (sum(number(v) ** 2 for v in part) for part in ([p.update for p in own], [p.weight for p in own]))
    return float((update / weight) ** 0.5) if weight > 0 else None


def _common(members: list[str]) -> str:
    """`embed.weight and 11 more`."""
    first = members[0] if members else "nothing of this model"
    return first if len(members) < 2 else f"{first} and {len(members) - 1} more"

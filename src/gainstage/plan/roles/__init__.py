"""Rules of roles: small functions that say what a parameter does, and how it is to start.

A rule takes the `Context` of a plan and one `Use` of a parameter (its site, and the slot in which it stands there) and
returns a `Target`, or None. The rules of families of architectures are asked first, in the order of their names: those
of the entry point group `gainstage.roles`, in which any package can declare one,

    [project.entry-points."gainstage.roles"]
    state_space = "gainstage.plan.roles.state_space:step"

and then, for a weight, the general ones in the order of `GENERAL`.
"""

from functools import lru_cache
from importlib.metadata import entry_points

from gainstage.plan._context import Context as Context
from gainstage.plan._uses import Use as Use
from gainstage.plan.roles._role import Role as Role
from gainstage.plan.roles._role import Rule as Rule
from gainstage.plan.roles._role import Target as Target
from gainstage.plan.roles.attention import attention
from gainstage.plan.roles.head import head
from gainstage.plan.roles.plain import normalized, plain
from gainstage.plan.roles.residual import residual

GENERAL: tuple[Rule, ...] = (residual, head, attention, normalized, plain)  # the last always answers


@lru_cache
def families() -> tuple[Rule, ...]:
    """The rules of families of architectures that the installed packages declare."""
    return tuple(found.load() for found in sorted(entry_points(group="gainstage.roles"), key=lambda e: e.name))


def of_family(context: Context, use: Use) -> Target | None:
    """What the first rule of a family says that knows this use."""
    return next((target for rule in families() if (target := rule(context, use)) is not None), None)


def of_weight(context: Context, use: Use) -> Target:
    """What the first rule says that knows this use of a weight."""
    return of_family(context, use) or next(target for rule in GENERAL if (target := rule(context, use)) is not None)

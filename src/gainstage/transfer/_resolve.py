"""What the target gets: plan, scalings and multipliers, worked out from one pass at each size."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import nn
from torch.optim import Optimizer

from gainstage.errors import ForwardError, GainstageError
from gainstage.init import Law
from gainstage.plan import Plan, plan
from gainstage.run import Subject, has_data
from gainstage.signal import record
from gainstage.transfer._groups import Scaling, optimizer_of, param_groups
from gainstage.transfer._growth import Growth, check_grown, growths
from gainstage.transfer._match import Seen, partners
from gainstage.transfer._multipliers import Multiplier, multipliers, shares
from gainstage.transfer._places import multiply_
from gainstage.transfer._rules import OPTIMIZERS, factors, rule_of
from gainstage.transfer._sizes import Sizes, said
from gainstage.transfer._start import drawn, start
from gainstage.transfer._stored import read

_VERSION = 1


@dataclass(frozen=True)
class Scaled:
    """How the target starts and is trained, as data; every part is keyed by the names of its parameters.

    Attributes:
        base, target: the sizes, in words.
        optimizer: `"adam"`, `"sgd"` or `"muon"`.
        rule: name of the parameterization.
        plan: the laws of the target; None as a law leaves a parameter as the factory draws it.
        scalings: of every parameter, its factors of start, rate, epsilon and weight decay.
        multipliers: of the forward pass; those with `folded` are worked into the above.
    """

    base: str
    target: str
    optimizer: str
    rule: str
    plan: Plan
    scalings: dict[str, Scaling]
    multipliers: tuple[Multiplier, ...]

    def apply(self, model: nn.Module, *, seed: int = 0) -> None:
        """Start a model of the target's size, in place: fill what the plan has laws for, add multipliers where needed.

        Raises:
            GainstageError: another model; or a multiplier that no module can hold, with the line to write instead.
        """
        self.plan.apply(model, seed=seed)
        multiply_(model, self.multipliers)

    def param_groups(
        self,
        model: nn.Module,
        *,
        lr: float,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        no_decay: Iterable[str] = (),
    ) -> list[dict[str, Any]]:
        """Groups for `torch.optim` with the rates of the target, from those of the base.

        Args:
            model: of the target's size.
            lr, eps, weight_decay: as they are at the base.
            no_decay: kinds (`"vector"`) or names of parameters without weight decay.

        Raises:
            GainstageError: another model.
        """
        own = None if self.optimizer == "sgd" else eps
        return param_groups(
            self.scalings, model, lr=lr, eps=own, weight_decay=weight_decay, no_decay=no_decay
        )  # fmt: skip

    def make_optimizer(self, model: nn.Module, *, lr: float, **options: Any) -> Optimizer:
        """`torch.optim.AdamW`, `SGD`, or Muon with AdamW beside it, over these groups.

        Args:
            model: of the target's size.
            lr: the base's.
            **options: `weight_decay`, `eps` and `no_decay` as for `param_groups`; others go to the optimizer.
        """
        return optimizer_of(self.optimizer, self.scalings, model, lr=lr, **options)

    def to_json(self) -> str:
        """All of it as JSON text."""
        data = {name: getattr(self, name) for name in ("base", "target", "optimizer", "rule")}
        data |= {
            "version": _VERSION,
            "parameters": {name: asdict(scaling) for name, scaling in self.scalings.items()},
            "multipliers": [asdict(multiplier) for multiplier in self.multipliers],
            "plan": json.loads(self.plan.to_json()),
        }
        return json.dumps(data, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote.

        Raises:
            GainstageError: it is something else.
        """
        return cls(*read(text, _VERSION))


@dataclass(frozen=True)
class Resolved:
    """What the target gets, with the structure that it follows from."""

    scaled: Scaled
    growth: dict[str, Growth]
    base: Seen
    target: Seen


def check_arguments(optimizer: str, rule: str) -> None:
    """Raise `GainstageError` unless both are known."""
    if optimizer not in OPTIMIZERS:
        raise GainstageError(f"transfer knows the optimizers {', '.join(OPTIMIZERS)}; got {optimizer!r}")
    rule_of(rule)


def resolve(
    sizes: Sizes, base: Any, target: Any, optimizer: str, rule: str, scheme: str | Law, *, zero_readout: bool = False
) -> Resolved:
    """Record both sizes, see what grows, and apply the rule."""
    known = rule_of(rule)
    small, large = sizes.build(base), sizes.build(target)
    one, other = (_seen(s, size) for s, size in ((small, base), (large, target)))
    seen = one, other
    growth = growths(partners(*seen), *seen)
    if said(base) != said(target):
        check_grown(growth, f"{said(base)} to {said(target)}", *seen)
    needed = multipliers(known, growth, *seen)
    taken = shares(needed)
    each = {name: factors(known, own, optimizer).times(taken.get(name, 1.0), optimizer) for name, own in growth.items()}
    again = sizes.build(base, seed=1).model if sizes.make is not None else None
    laws: Plan | None = None if scheme == "own" else plan(small.model, small.example, scheme=scheme)
    made = start(
        laws,
        drawn(large.model, None) if all(has_data(p) for p in large.model.parameters()) else {},
        drawn(small.model, again),
        growth,
        each,
        seen[1].shapes,
        model=seen[1].tape.model,
        ties=seen[1].tape.ties,
        zero=frozenset(_heads(seen[1])) if zero_readout else frozenset(),
    )
    scalings = {}
    for name, own in growth.items():
        row = known.rows[own.kind] if known.rows else None
        muon = optimizer == "muon" and own.matrix
        rate = each[name].rate if not muon else each[name].rate / _adjusted(seen, own.base, name)
        why = f"{own.why}: {row.why}" if row else own.why
        source = row.source if row else ""
        scalings[name] = Scaling(
            own.kind, own.grows, each[name].std, rate, each[name].eps, 1 / rate, muon, why, source
        )  # fmt: skip
    scaled = Scaled(said(base), said(target), optimizer, rule, made, scalings, needed)
    return Resolved(scaled, growth, *seen)


def _seen(subject: Subject, size: Any) -> Seen:
    try:
        return Seen.of(record(subject.model, subject.example, backward=False))
    except ForwardError as error:
        raise ForwardError(
            f"the model of size {said(size)} does not run: {error}. Choose sizes at which it does, for instance widths "
            "that the number of heads divides"
        ) from error


def _heads(seen: Seen) -> Iterator[str]:
    graph = seen.context.graph
    for site, call in graph.weights.items():
        name = graph.parameter_of(call.weight)
        if name and seen.context.is_head(site) and all(use.slot != "table" for use in seen.uses[name]):
            yield name


def _adjusted(seen: Sequence[Seen], own: str, name: str) -> float:
    """What `torch.optim.Muon` multiplies the rate by itself at the target, in units of the base."""
    (a, b), (c, d) = seen[0].shapes[own], seen[1].shapes[name]
    ratio: float = max(1.0, c / d) ** 0.5 / max(1.0, a / b) ** 0.5
    return ratio

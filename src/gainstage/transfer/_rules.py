r"""Rules of transfer: a row a kind of parameter, with how its start, its rate and its epsilon follow the sizes.

Everything is relative to the base, so that at the base's sizes every factor is 1. With $a$ and $b$ how many times the
base's the fan-in and fan-out are, a row gives exponents: `std=(-0.5, 0)` is $\sigma \propto a^{-1/2}$. Multipliers of
the forward pass are worked into starts and rates (Yang and Hu 2021, section 3: scaling a weight by $c$ in the forward
pass is a start of $c\,\sigma$ with Adam's rate times $c$ and epsilon over $c$, or SGD's rate times $c^2$), which is the
form of table 3 in Yang et al. 2022.

Where a rate is multiplied by $f$, decoupled weight decay is divided by $f$: the product of both, which is how far a
step decays a weight, stays (Dey et al. 2025, table 1; Wang and Aitchison 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gainstage.errors import GainstageError
from gainstage.transfer._growth import Growth

Exponents = tuple[float, float]  # of fan-in and fan-out
OPTIMIZERS = ("adam", "sgd", "muon")

TP4 = "Yang & Hu, Tensor Programs IV, ICML 2021"
TP5 = "Yang et al., Tensor Programs V, 2022, table 3"
SPECTRAL = "Yang, Simon & Bernstein, A spectral condition for feature learning, 2023, condition 1"
EVERETT = "Everett et al., Scaling exponents across parameterizations and optimizers, ICML 2024, section 4.3 (epsilon)"
COMPLETEP = "Dey et al., Don't be lazy: CompleteP enables compute-efficient deep transformers, 2025, table 1"
BORDELON = "Bordelon et al., Depthwise hyperparameter transfer in residual networks, ICLR 2024"
MUON = "Jordan et al., Muon, 2024; Bernstein, Deriving Muon, 2025"


@dataclass(frozen=True)
class Row:
    """How one kind of parameter follows the sizes.

    Attributes:
        std: of the start.
        adam, sgd, muon: learning rates; what Muon does not take is Adam's.
        eps: Adam's epsilon, which follows the size of the gradient: $1/b$, the units that share it.
        why: in a sentence.
        source: paper and place.
    """

    std: Exponents
    adam: Exponents
    sgd: Exponents
    eps: Exponents
    why: str
    source: str


_VECTOR = Row((0, 0), (0, 0), (0, 1), (0, -1), "one number a unit: a step of the same size at any width", TP5)
MUP: Mapping[str, Row] = {
    "hidden": Row((-0.5, 0), (-1, 0), (-1, 1), (0, -1), "a step adds up over the fan-in, so it is divided by it", TP5),
    "output": Row((-1, 0), (-1, 0), (-1, 0), (0, 0), "its inputs move together: start and step over the fan-in", TP5),
    "input": Row((0, 0), (0, 0), (0, 1), (0, -1), "reads as many values at any width", TP5),
    "embedding": Row((0, 0), (0, 0), (0, 1), (0, -1), "a row is read alone: a step of the same size at any width", TP5),
    "vector": _VECTOR,
    "tied": Row((0, 0), (0, 0), (0, 1), (0, -1), "an embedding; as readout it needs a multiplier 1 / width", TP5),
    "fixed": Row((0, 0), (0, 0), (0, 0), (0, 0), "nothing of it grows", TP5),
}


@dataclass(frozen=True)
class Rule:
    r"""A parameterization.

    Attributes:
        name: what `transfer` calls it.
        rows: by kind of parameter; None leaves starts and rates as they are.
        alpha: a branch of a stream with $L$ times as many is multiplied by $L^{-\alpha}$, and what is learned in it
            has the rates of `rate_of_depth`; None: depth changes nothing.
        spectral: starts and rates follow the ratio of fan-out to fan-in continuously, whatever the kind.
        sources: papers.
    """

    name: str
    rows: Mapping[str, Row] | None
    alpha: float | None
    spectral: bool
    sources: tuple[str, ...]


RULES: Mapping[str, Rule] = {
    "standard": Rule("standard", None, None, False, ()),
    "mup": Rule("mup", MUP, 0.5, False, (TP4, TP5, EVERETT, BORDELON)),
    "completep": Rule("completep", MUP, 1.0, False, (TP5, EVERETT, COMPLETEP)),
    "spectral": Rule("spectral", MUP, None, True, (SPECTRAL, MUON)),
}


@dataclass(frozen=True)
class Factors:
    """What a parameter's start, rate and epsilon at the target are, in units of the base's."""

    std: float | None
    rate: float
    eps: float

    def times(self, share: float, optimizer: str) -> "Factors":
        """With a multiplier of the forward pass worked in."""
        if share == 1:
            return self
        std = None if self.std is None else self.std * share
        return Factors(std, self.rate * (share**2 if optimizer == "sgd" else share), self.eps / share)


def rule_of(name: str) -> Rule:
    """The rule of this name.

    Raises:
        GainstageError: there is none.
    """
    if name not in RULES:
        raise GainstageError(f"no rule of transfer is called {name!r}; write one of: {', '.join(RULES)}")
    return RULES[name]


def factors(rule: Rule, growth: Growth, optimizer: str) -> Factors:
    """What the rule gives a parameter, forward multipliers left out."""
    if rule.rows is None:
        return Factors(None, 1.0, 1.0)
    row, a, b = rule.rows[growth.kind], growth.fan_in, growth.fan_out
    std, rate = _power(row.std, a, b), _power(row.sgd if optimizer == "sgd" else row.adam, a, b)
    if rule.spectral:
        std = a**-0.5 * min(1.0, b / a) ** 0.5
        rate = b / a if optimizer == "sgd" else 1 / a
    eps = _power(row.eps, a, b)
    if optimizer == "muon" and growth.kind == "hidden":
        rate = (b / a) ** 0.5
    deep, alpha = growth.depth, rule.alpha
    if alpha is not None and deep != 1:
        rate *= deep ** ((2 * alpha - 1) if optimizer == "sgd" else (alpha - 1))
        eps *= deep**-alpha
    return Factors(std, rate, eps)


def _power(exponents: Exponents, a: float, b: float) -> float:
    return float(a ** exponents[0] * b ** exponents[1])

"""What textbooks say about initialization, as data; and whether it is seen in results."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gainstage.study._results import Results
from gainstage.study._statistics import Paired, holm, paired

GLOROT = "Glorot & Bengio 2010"
HE = "He et al. 2015"
KLAMBAUER = "Klambauer et al. 2017"
GOODFELLOW = "Goodfellow, Bengio & Courville 2016, section 8.4"
KARPATHY = "Karpathy, CS231n"

Word = Literal["holds", "does not hold", "cannot tell"]


@dataclass(frozen=True)
class Claim:
    """One start is better than another with one activation, whatever the depth.

    Attributes:
        activation: with which it is said.
        better: the start that is recommended.
        worse: the start that is warned of.
        why: what the books say.
        source: who says it.
    """

    activation: str
    better: str
    worse: str
    why: str
    source: str

    def __str__(self) -> str:
        return f"with {self.activation}, {self.better} beats {self.worse}"


@dataclass(frozen=True)
class Judged:
    """A claim at one place of a study.

    Attributes:
        claim: what is said.
        where: the other factors of the study with their levels, as `{"depth": 20}`.
        verdict: `"holds"`, `"does not hold"` or `"cannot tell"`.
        paired: mean score of the better start minus that of the worse, with its 95 % interval.
        adjusted_p: Holm's, over all claims that were judged with it.
    """

    claim: Claim
    where: Mapping[str, Any]
    verdict: Word
    paired: Paired
    adjusted_p: float


SMALL, LARGE, CONSTANT = "normal(std=0.01)", "normal(std=1.0)", "constant(0.016)"
RECOMMENDED = {"tanh": "xavier_normal", "sigmoid": "xavier_normal", "relu": "he_normal", "selu": "lecun_normal"}
RIVALS = {
    "tanh": ("he_normal", "weights for ReLU saturate it", GLOROT),
    "sigmoid": ("he_normal", "weights for ReLU saturate it", GLOROT),
    "relu": ("xavier_normal", "it loses half of the signal at every layer", HE),
    "selu": ("he_normal", "it keeps mean 0 and variance 1 with variance 1 / fan_in only", KLAMBAUER),
}
WARNED = (
    ("zeros", "no unit ever differs from its neighbours", GOODFELLOW),
    (CONSTANT, "no unit ever differs from its neighbours", GOODFELLOW),
    (SMALL, "signal and gradient vanish with depth", KARPATHY),
    (LARGE, "units saturate, or signal and gradient explode", KARPATHY),
)
TEXTBOOK: tuple[Claim, ...] = tuple(
    Claim(activation, better, *said)
    for activation, better in RECOMMENDED.items()
    for said in (RIVALS[activation], *WARNED)
)


def judge(results: Results, claims: Sequence[Claim] = TEXTBOOK) -> tuple[Judged, ...]:
    r"""Judge every claim wherever the study has both of its arms, by paired differences of the test score.

    A claim *holds* where the difference is above 0 with Holm's p below 0.05 over all claims that are judged, unless it
    is shown to be too small to matter. It *does not hold* where the 95 % interval of the difference lies below the
    margin of the study: the better start brings less than matters, or is worse. Otherwise the study cannot tell.

    Args:
        results: of a study with the factors `init` and `activation`; further factors are the places of a claim.
        claims: what is said.

    Returns:
        Claim by claim, place by place. Empty where the study has no pair of arms that a claim is about.

    References:
        Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks*, AISTATS 2010.
        He et al., *Delving deep into rectifiers*, ICCV 2015.
        Klambauer et al., *Self-normalizing neural networks*, NeurIPS 2017.
    """
    found = [
        (claim, where, paired(results.arms[a].scores, results.arms[b].scores, resolution=results.resolution))
        for claim in claims
        for where, a, b in _pairs(results, claim)
    ]
    adjusted = holm([each.p for _, _, each in found])
    return tuple(
        Judged(claim, where, _verdict(each, p, results.margin), each, p)
        for (claim, where, each), p in zip(found, adjusted, strict=True)
    )


def _pairs(results: Results, claim: Claim) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The places where the study has both starts: the levels of the other factors, and the numbers of the two arms."""
    arms = [each.arm for each in results.arms]
    for a, (arm, setting) in enumerate(zip(arms, results.settings, strict=True)):
        if str(arm.init) != claim.better or arm.activation != claim.activation:
            continue
        for b, (other, its) in enumerate(zip(arms, results.settings, strict=True)):
            if str(other.init) == claim.worse and _but_init(its) == _but_init(setting):
                yield {name: level for name, level in setting.items() if name not in ("init", "activation")}, a, b


def _but_init(setting: Mapping[str, Any]) -> dict[str, Any]:
    return {name: level for name, level in setting.items() if name != "init"}


def _verdict(found: Paired, adjusted_p: float, margin: float) -> Word:
    if found.high < margin:
        return "does not hold"
    return "holds" if found.difference > 0 and adjusted_p < 0.05 else "cannot tell"

r"""TAT: deep plain networks of leaky rectifiers whose slope keeps samples apart."""

from math import acos, pi, sqrt

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.schemes._rule import Rule, Said
from gainstage.signal import ops

ETA = 0.9  # the correlation that the whole network makes of uncorrelated samples


def tat(context: Context) -> Rule:
    r"""The slope $a$ of every PReLU such that $L$ of them make 0.9 of a correlation of 0; orthogonal weights.

    A leaky rectifier behind a layer that keeps the level makes of a correlation c

    $$ C(c) = c + \frac{(1-a)^2}{\pi (1+a^2)} \left(\sqrt{1-c^2} - c \arccos c\right), $$

    and $C \circ \dots \circ C(0) = \eta$ has one solution. Weights behind one have the gain $\sqrt{2/(1+a^2)}$. The
    slope has to be a parameter (`nn.PReLU`): activations that are fixed, and the shifts and scales by which the same
    authors' DKS transforms smooth ones, are not what a start of parameters can set.

    Raises:
        GainstageError: no activation has a slope that is a parameter, or the network has residual branches.

    References:
        Zhang, Botev & Martens, *Deep Learning without Shortcuts: Shaping the Kernel with Tailored Rectifiers*, ICLR
        2022, section 4.1.
    """
    graph = context.graph
    depth, most = [0] * len(graph.sites), 0
    for site in graph.sites:
        bends = ops.of(site).name == "prelu" and site.kind == "op"
        depth[site.index] = max((depth[ref.site] for ref in site.inputs), default=0) + bends
        most = max(most, depth[site.index])
    if not most or context.branches:
        what = "residual branches" if most else "no activation whose slope is a parameter"
        raise GainstageError(
            f"scheme 'tat' is for plain networks of nn.PReLU, whose slopes it sets; this model has {what}. "
            "Write scheme='auto'"
        )
    slope = float(f"{tailored_slope(most):.4g}")
    gain = float(f"{sqrt(2 / (1 + slope**2)):.4g}")

    def rule(use: Use, part: str) -> Said | None:
        if use.slot == "activation slope":
            return Said(init.constant(slope), f"scheme 'tat': {most} of them make a correlation of {ETA} out of 0")
        call = graph.weights.get(use.site)
        if use.slot != "weight" or call is None or call.data is None or call.family == "embedding":
            return None
        read = gain if depth[call.data.site] else 1.0
        kernel = len(graph.shapes[call.weight.site]) > 2
        law = (init.delta_orthogonal if kernel else init.orthogonal)(read, scale="fan_in")
        return Said(law, f"scheme 'tat': gain {read:.3g}")

    return rule


def correlation(slope: float, c: float) -> float:
    """The correlation behind a leaky rectifier of this slope, of one of `c` in front of it."""
    c = min(max(c, -1.0), 1.0)
    return c + (1 - slope) ** 2 / (pi * (1 + slope**2)) * (sqrt(1 - c * c) - c * acos(c))


def tailored_slope(depth: int, eta: float = ETA) -> float:
    """The slope in [0, 1] at which `depth` leaky rectifiers make `eta` of a correlation of 0; 0 where ReLU makes less.

    Example:
        >>> round(tailored_slope(50), 3)
        0.431
    """

    def end(slope: float) -> float:
        c = 0.0
        for _ in range(depth):
            c = correlation(slope, c)
        return c

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if end(middle) >= eta else (low, middle)
    return low

"""The scheme `auto`: a law for every parameter from its place in the network, with the reason."""

from dataclasses import replace
from itertools import pairwise
from math import prod, sqrt

from gainstage import init
from gainstage.init import Law
from gainstage.plan._assignment import Assignment
from gainstage.plan._chains import DEEP, Chain
from gainstage.plan._context import Context
from gainstage.plan._others import other_assignment
from gainstage.plan._tables import table
from gainstage.plan._uses import Use
from gainstage.plan.roles import Target, of_family, of_weight
from gainstage.plan.roles.plain import plain_role
from gainstage.plan.roles.residual import share
from gainstage.signal import WeightCall, centred, coverage, ops
from gainstage.theory import Forward

_FAINT = 1e-10  # a mean square below, or above its inverse, is no level of a signal


def auto(context: Context) -> dict[str, Assignment]:
    """Assign a law to every parameter on the tape.

    Weights get the variance `target / (fan_in * level in)`: the level that they read is predicted site by site
    (`theory.Forward`), the level that they should write follows from their place: 1 in general, a share of the stream
    at the end of a residual branch, little in front of the loss. Deep plain chains get a structured start.
    """
    return _Auto(context).run()


class _Auto:
    def __init__(self, context: Context) -> None:
        self.context, self.graph = context, context.graph
        self.made: dict[str, Assignment] = {}
        self.variance: dict[str, float] = {}  # times fan_in
        self.levels = context.levels = Forward(self.graph, self.choose, self.norm_scale, self.shift)
        self.reads_chain: dict[int, tuple[Chain, int]] = {}  # the chain whose activation a weight reads, and from where
        self.writes_chain: dict[int, Chain] = {}  # the chain whose activation reads a weight
        self.gain: dict[Chain, float] = {}
        for chain in context.chains:
            if len(chain.sites) >= DEEP and self._is_structured(chain):
                self.reads_chain |= {b: (chain, a) for a, b in pairwise(chain.sites)}
                self.writes_chain |= dict.fromkeys(chain.sites[:-1], chain)
                self.gain[chain] = 1 / chain.phi.slope if chain.phi.slope else chain.phi.critical_gain(len(chain.sites))

    def run(self) -> dict[str, Assignment]:
        self.levels.run()
        for name, uses in self.context.uses.items():
            if name not in self.made:
                known = of_family(self.context, uses[0]) if uses else None
                other = other_assignment(self.context, uses, self.norm_scale)
                self.made[name] = Assignment(known.role, known.law, known.reason, other.fans) if known else other
        return {name: self._frozen(name) for name in self.context.uses}

    def _frozen(self, name: str) -> Assignment:
        made = self.made[name]
        if name in self.context.frozen:
            return Assignment(made.role, None, "does not require a gradient: left as it is", made.fans, made.transposed)
        return made

    # --- weights ---------------------------------------------------------------------------------------------------

    def choose(self, site: int, level: float) -> float:
        """Assign the weight of this site, which reads a signal of this level; the level that it writes."""
        call = self.graph.weights[site]
        level = level if _FAINT < level < 1 / _FAINT else 1.0  # theory has lost it: what is measured decides
        name = self.graph.parameter_of(call.weight)
        if name is None or name in self.context.frozen:
            measured = self.graph.sites[site].forward
            return measured.mean_square if measured and 0 < measured.mean_square < 1e6 else 1.0
        if name not in self.made:
            self.made[name], self.variance[name] = self._assign(name, site, level)
        if call.family == "embedding":
            return self.variance[name]
        reads = level * self._coverage(site, call)
        if site in self.reads_chain:
            reads = self._read_of_pairs(*self.reads_chain[site], reads)
        if self.made[name].kind == "embedding":
            return self.variance[name] * call.fans.fan_in * reads
        writes = self.variance[name] * reads
        if self.made[name].level is None and not self.context.is_scale_free(site):
            self.made[name] = replace(self.made[name], level=writes + self.shift(site) ** 2)
        return writes

    def _assign(self, name: str, site: int, level: float) -> tuple[Assignment, float]:
        call = self.graph.weights[site]
        if call.family == "embedding":
            return table(self.context, site)
        use = next(use for use in self.context.uses[name] if use.site == site)
        if site in self.reads_chain or site in self.writes_chain:
            return self._chained(use, call, level)
        target = of_weight(self.context, use)
        transposed = self.graph.stored_transposed(call)
        if target.role.kind == "scale-free":
            return Assignment(target.role, init.he_normal(), target.reason, call.fans, transposed), 2.0
        gain = _rounded(sqrt(target.level / (max(level, 1e-12) * self._coverage(site, call))))
        reason = target.reason or (
            f"reads a level of {level:.2g}: variance {gain**2:.3g}/fan_in makes its output's mean square 1"
        )
        law = target.law or _fan_in_law(gain)
        return Assignment(target.role, law, reason, call.fans, transposed), gain**2

    def shift(self, site: int) -> float:
        """The bias that is added at a site, where the rule of a family starts it away from 0."""
        call = self.graph.weights.get(site)
        fixed = [ref for ref in self.graph.sites[site].inputs if ref.site in self.graph.constant]
        name = self.graph.parameter_of(ref) if (ref := call.bias if call else fixed[0]) else None
        known = of_family(self.context, Use("bias", site)) if name and name not in self.context.frozen else None
        return known.mean if known else 0.0

    def norm_scale(self, site: int) -> float:
        """The scale that a normalization starts with: 1, or a share of the stream at the end of a branch."""
        measured = self.graph.sites[site].forward
        if measured and self.context.frozen.intersection(self.graph.norm_calls.get(site, {}).values()):
            return sqrt(measured.mean_square)
        branch = self.context.branch_ending_at.get(site)
        return _rounded(sqrt(share(self.context, branch)[0])) if branch else 1.0

    def _coverage(self, site: int, call: WeightCall) -> float:
        """Share of the taps of a convolution that lie inside the image, where padding makes it less than 0.9."""
        share = coverage(self.graph.sites[site], call, self.graph.shapes)
        return share if share < 0.9 else 1.0

    # --- chains ------------------------------------------------------------------------------------------------------

    def _is_structured(self, chain: Chain) -> bool:
        calls = [self.graph.weights[site] for site in chain.sites]
        known = all(
            c.family in ("linear", "matmul", "conv")
            and self._groups(s) == 1
            and centred(self.graph.sites[s], c, self.graph.shapes)
            for s, c in zip(chain.sites, calls, strict=True)
        )
        even = all(self.graph.units(call)[0] % 2 == 0 for call in calls[:-1])
        fits = known and (even or not chain.mirrored) and self._separate(chain)
        return fits and (chain.phi.squashes or (chain.mirrored and chain.phi.slope is not None))

    def _read_of_pairs(self, chain: Chain, origin: int, level: float) -> float:
        """The level that a weight reads: of mirrored units it reads the difference of each pair."""
        return chain.phi.level(self.levels.level(origin)) if chain.mirrored else level

    def _separate(self, chain: Chain) -> bool:
        """Whether each weight of the chain is a parameter of its own, free to take its part of the structure."""
        names = [self.graph.parameter_of(self.graph.weights[site].weight) for site in chain.sites]
        return None not in names and len(set(names)) == len(names) and not self.context.frozen.intersection(names)

    def _groups(self, site: int) -> int:
        return int(ops.argument(self.graph.sites[site], "groups", 1))

    def _chained(self, use: Use, call: WeightCall, level: float) -> tuple[Assignment, float]:
        """A weight of a deep plain chain, or of two where the activation changes at it."""
        site = use.site
        before, origin = self.reads_chain.get(site, (None, site))
        after = self.writes_chain.get(site)
        chain = after or before
        assert chain is not None  # the caller saw to it
        target = Target(plain_role(self.context, site)) if after else of_weight(self.context, use)
        reads = self._read_of_pairs(before, origin, level) if before else level
        gain = _rounded(self.gain[chain] if before is after else sqrt(target.level / max(reads, 1e-12)))
        rows, columns = bool(after and after.mirrored), bool(before and before.mirrored)
        if rows or columns:
            law = init.mirrored(gain, rows=rows, columns=columns)
        else:
            kernel = prod(self.graph.shapes[call.weight.site][2:]) > 1
            law = (init.delta_orthogonal if kernel else init.orthogonal)(gain, scale="fan_in")
        if chain.phi.slope:
            start = f"mirrored units cancel the kink of {chain.name}, so the network starts linear and isometric"
        else:
            pairs = f"pairs of {chain.name} act like tanh" if chain.mirrored else "orthogonal"
            start = f"{pairs}; at the edge of chaos signal and gradient keep their size at any depth"
        why = f"{len(chain.sites)} plain weights in a row: {start}"
        why = f"{why}; {target.reason}" if target.reason else why
        return Assignment(target.role, law, why, call.fans, self.graph.stored_transposed(call)), gain**2


def _fan_in_law(gain: float) -> Law:
    """The law of variance gain^2 / fan_in, under its well-known name where it has one."""
    return (
        init.he_normal() if abs(gain**2 / 2 - 1) < 0.01 else init.lecun_normal(1.0 if abs(gain - 1) < 0.005 else gain)
    )


def _rounded(value: float) -> float:
    """Three significant digits: a plan is read by people."""
    return float(f"{value:.3g}")

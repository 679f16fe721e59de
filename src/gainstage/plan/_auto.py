"""The scheme `auto`: a law for every parameter from its place in the network, with the reason."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import log, prod, sqrt

from gainstage import init
from gainstage.init import Law
from gainstage.plan._assignment import Assignment
from gainstage.plan._chains import Chain, activation_function, calm_level, critical_gain
from gainstage.plan._context import Context
from gainstage.plan._levels import Levels, Z, normal_mean
from gainstage.plan._others import other_assignment
from gainstage.signal import Branch, Graph, Site, WeightCall, ops

DEEP = 6  # weights in a row from which a structured start loses for no activation (benchmarks/chains.py)
_FAINT = 1e-10  # a mean square below, or above its inverse, is no level of a signal
_HEAD = 0.05  # mean square of the logits, as a share of ln C: adds 2.5 % to the expected initial loss


def auto(context: Context) -> dict[str, Assignment]:
    """Assign a law to every parameter on the tape.

    Weights get the variance `target / (fan_in * level in)`: the level that they read is predicted site by site
    (`Levels`), the level that they should write follows from their place: 1 in general, a share of the stream at the
    end of a residual branch, little in front of the loss. Deep plain chains get a structured start.
    """
    return _Auto(context).run()


class _Auto:
    def __init__(self, context: Context) -> None:
        self.context, self.graph = context, context.graph
        self.made: dict[str, Assignment] = {}
        self.variance: dict[str, float] = {}  # times fan_in
        self.levels = Levels(self.graph, self.choose, self.norm_scale)
        self.reads_chain: dict[int, tuple[Chain, int]] = {}  # the chain whose activation a weight reads, and from where
        self.writes_chain: dict[int, Chain] = {}  # the chain whose activation reads a weight
        self.gain: dict[Chain, float] = {}
        for chain in context.chains:
            if len(chain.sites) >= DEEP and self._is_structured(chain):
                self.reads_chain |= {b: (chain, a) for a, b in pairwise(chain.sites)}
                self.writes_chain |= dict.fromkeys(chain.sites[:-1], chain)
                self.gain[chain] = 1 / chain.slope if chain.slope else critical_gain(chain.phi, len(chain.sites))

    def run(self) -> dict[str, Assignment]:
        self.levels.run()
        for name, uses in self.context.uses.items():
            if name not in self.made:
                self.made[name] = other_assignment(self.context, uses, self.norm_scale)
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
            self.made[name], self.variance[name] = self._assign(site, call, level)
        if call.family == "embedding":
            return self.variance[name]
        reads = level * self._coverage(site, call)
        if site in self.reads_chain:
            reads = self._read_of_pairs(*self.reads_chain[site], reads)
        if self.made[name].role.startswith("embedding"):
            return self.variance[name] * call.fans.fan_in * reads
        writes = self.variance[name] * reads
        if self.made[name].level is None and not self.context.is_scale_free(site):
            self.made[name] = replace(self.made[name], level=writes)
        return writes

    def _assign(self, site: int, call: WeightCall, level: float) -> tuple[Assignment, float]:
        if call.family == "embedding":
            return self._table(site, call)
        if site in self.reads_chain or site in self.writes_chain:
            return self._chained(site, call, level)
        target, role, reason = self._target(site)
        if role.startswith("weight into"):
            return Assignment(role, init.he_normal(), reason, call.fans, self.graph.stored_transposed(call)), 2.0
        coverage = self._coverage(site, call)
        gain = _rounded(sqrt(target / (max(level, 1e-12) * coverage)))
        law = _fan_in_law(gain)
        if not reason:
            reason = f"reads a level of {level:.2g}: variance {gain**2:.3g}/fan_in makes its output's mean square 1"
        return Assignment(role, law, reason, call.fans, self.graph.stored_transposed(call)), gain**2

    def _target(self, site: int) -> tuple[float, str, str]:
        """The mean square that this weight should write, its role, and the reason where it is a special one."""
        context = self.context
        attention = context.attention_roles.get(site, "")
        if branch := context.branch_ending_at.get(site):
            target, count = self.share(branch)
            added, kept = target * branch.share**2, self._stream_level(branch) * branch.keep**2
            role = f"last weight of residual branch {branch.position + 1} of {count}"
            role = f"{attention}, {role}" if attention else role
            return target, role, (
                f"its branch adds {added:.2g} to a stream of {kept:.2g}: "
                f"all {count} branches together at most double it"
            )  # fmt: skip
        if context.is_head(site):
            outputs = self.graph.units(self.graph.weights[site])[0]
            target = _HEAD * log(max(outputs, 2))
            return target, "output head", (
                f"outputs of mean square {target:.2g} keep the first loss within 10 % of chance over {outputs} classes"
            )  # fmt: skip
        if attention:
            spread = context.logits_scale(site)
            if spread > 2:
                return (
                    1 / spread,
                    f"{attention} weight",
                    "logits are not divided by the head size: this keeps them of order 1",
                )
            reason = "attention logits of order 1" if "query" in attention or "key" in attention else ""
            return 1.0, f"{attention} weight", reason and f"writes a level of 1, which gives {reason}"
        if context.is_scale_free(site):
            norm = self.graph.sites[next(f.site for f in self.graph.fates(site))].op
            norm = norm if norm.endswith("norm") else "normalization"
            return 1.0, f"weight into {norm}", f"scale-free: the {norm} that follows divides the scale away"
        return self._calm(site)

    def _calm(self, site: int) -> tuple[float, str, str]:
        """Level 1 in front of an activation, less in front of one that turns over within a standard normal."""
        role = self._plain_role(site)
        if not self.graph.activation_name(site) or self.graph.activation(site) is None:
            return 1.0, role, ""
        level = calm_level(activation_function(self.graph, site))
        why = f"a level of {level:.2g}, where the activation is steep but does not fold the signal over"
        return level, role, "" if level == 1 else why

    def _plain_role(self, site: int) -> str:
        activation, leaves = self.graph.activation_name(site), self.graph.activation(site)
        kinds = {fate.kind for fate in self.graph.fates(site if leaves is None else leaves)}
        if "gate" in kinds:
            return (
                "gate weight of a gated unit" if activation and leaves is not None else "value weight of a gated unit"
            )
        place = "input weight" if self._reads_input(site) else "hidden weight"
        return f"{place} into {activation}" if activation else place

    def share(self, branch: Branch) -> tuple[float, int]:
        r"""The mean square at the end of one branch under which all together at most double their stream; how many.

        Of $h' = a h + b f(h)$ the level may grow by $1 + 1/m$, and the branch writes what is missing:
        $q_f = (g - a^2)\, q_h / b^2$ with $g = \max(1, a^2)(1 + 1/m)$: a skip path that shrinks is filled up, one that
        grows is left to.
        """
        count, stream = self.context.stream_sizes[branch.stream], self._stream_level(branch)
        kept, times = branch.keep**2, self.context.branches_ended_by.get(self.context.end_of(branch), 1)
        missing = stream * (max(1.0 - kept, 0.0) + max(1.0, kept) / (count + branch.position))
        target = missing / branch.share**2
        if times > 1 and branch.share**2 < 1:  # small steps of one weight add up in one direction
            target = max(missing, min(target, stream / (times * branch.share) ** 2))
        return target, count

    def _stream_level(self, branch: Branch) -> float:
        known = branch.skip.site if branch.skip.site in self.levels.signals else branch.start
        return self.levels.level(known)

    def norm_scale(self, site: int) -> float:
        """The scale that a normalization starts with: 1, or a share of the stream at the end of a branch."""
        measured = self.graph.sites[site].forward
        if measured and self.context.frozen.intersection(self.graph.norm_calls.get(site, {}).values()):
            return sqrt(measured.mean_square)
        branch = self.context.branch_ending_at.get(site)
        return _rounded(sqrt(self.share(branch)[0])) if branch else 1.0

    def _reads_input(self, site: int) -> bool:
        data = self.graph.weights[site].data
        return data is not None and self.graph.sites[self.graph.source(data)].kind == "input"

    def _coverage(self, site: int, call: WeightCall) -> float:
        """Share of the taps of a convolution that lie inside the image, where padding makes it less than 0.9."""
        share = coverage(self.graph, site, call) if call.family == "conv" else 1.0
        return share if share < 0.9 else 1.0

    # --- embeddings and chains -------------------------------------------------------------------------------------

    def _table(self, site: int, call: WeightCall) -> tuple[Assignment, float]:
        graph = self.graph
        kinds = {fate.kind for fate in graph.fates(site)}
        together = sorted(self.context.summed_tables[site])
        tied = [table for table in together if self._is_tied(table)]
        if tied:
            rows, width = graph.shapes[graph.weights[tied[0]].weight.site]
            chance = log(max(rows, 2))
            std = min(sqrt(1 / len(together)), sqrt(_HEAD * chance / width), 0.5 * chance / width)
            role = "embedding tied with the output head" if site in tied else "embedding"
            reason = (
                f"tied with a head of {rows} outputs: small enough that no logit, a token's own included, "
                "stands out before training"
            )
        elif kinds & {"attention", "softmax"}:
            std, role, reason = 0.02, "attention bias table", "small: attention starts without a preference"
        elif kinds == {"norm"}:
            std, role, reason = (
                0.02,
                "embedding",
                "scale-free: a normalization follows; small entries learn faster under Adam",
            )
        else:
            std, role = sqrt(1 / len(together)), "embedding"
            sum_of = f", and {len(together)} tables add up to it" if len(together) > 1 else ""
            reason = f"a look-up sums nothing: its entries have the level of the signal, 1{sum_of}"
        std = _rounded(std)
        law = init.normal(0.0, std)
        row = ops.argument(graph.sites[site], "padding_idx")
        if isinstance(row, int) and row >= 0:
            law, reason = init.padded(law, row), f"{reason}; no gradient reaches the row of padding, which stays 0"
        return Assignment(role, law, reason, call.fans), std**2

    def _is_tied(self, table: int) -> bool:
        name = self.graph.parameter_of(self.graph.weights[table].weight)
        return any(use.slot == "weight" for use in self.context.uses.get(name or "", ()))

    def _is_structured(self, chain: Chain) -> bool:
        calls = [self.graph.weights[site] for site in chain.sites]
        known = all(
            c.family in ("linear", "matmul", "conv") and self._groups(s) == 1 and self._stays(s, c)
            for s, c in zip(chain.sites, calls, strict=True)
        )
        even = all(self.graph.units(call)[0] % 2 == 0 for call in calls[:-1])
        fits = known and (even or not chain.mirrored) and self._separate(chain)
        return fits and (chain.tanh_like or (chain.mirrored and chain.slope is not None))

    def _read_of_pairs(self, chain: Chain, origin: int, level: float) -> float:
        """The level that a weight reads: of mirrored units it reads the difference of each pair."""
        return normal_mean(chain.phi(self.levels.level(origin) ** 0.5 * Z).square()) if chain.mirrored else level

    def _separate(self, chain: Chain) -> bool:
        """Whether each weight of the chain is a parameter of its own, free to take its part of the structure."""
        names = [self.graph.parameter_of(self.graph.weights[site].weight) for site in chain.sites]
        return None not in names and len(set(names)) == len(names) and not self.context.frozen.intersection(names)

    def _stays(self, site: int, call: WeightCall) -> bool:
        """Whether the middle tap of a kernel reads the place that it writes: else a deep chain walks out of the map."""
        kernel = self.graph.shapes[call.weight.site][2:]
        if call.family != "conv" or call.data is None:
            return True
        record = self.graph.sites[site]
        same = self.graph.shapes[call.data.site][-len(kernel) :] == record.shape[-len(kernel) :]
        middles = [taps // 2 * _along(ops.argument(record, "dilation", 1), axis) for axis, taps in enumerate(kernel)]
        return not same or middles == [_padding(record, axis, taps) for axis, taps in enumerate(kernel)]

    def _groups(self, site: int) -> int:
        return int(ops.argument(self.graph.sites[site], "groups", 1))

    def _chained(self, site: int, call: WeightCall, level: float) -> tuple[Assignment, float]:
        """A weight of a deep plain chain, or of two where the activation changes at it."""
        before, origin = self.reads_chain.get(site, (None, site))
        after = self.writes_chain.get(site)
        chain = after or before
        assert chain is not None  # the caller saw to it
        target, role, reason = self._target(site) if after is None else (1.0, self._plain_role(site), "")
        reads = self._read_of_pairs(before, origin, level) if before else level
        gain = _rounded(self.gain[chain] if before is after else sqrt(target / max(reads, 1e-12)))
        rows, columns = bool(after and after.mirrored), bool(before and before.mirrored)
        if rows or columns:
            law = init.mirrored(gain, rows=rows, columns=columns)
        else:
            kernel = prod(self.graph.shapes[call.weight.site][2:]) > 1
            law = (init.delta_orthogonal if kernel else init.orthogonal)(gain, scale="fan_in")
        if chain.slope:
            start = f"mirrored units cancel the kink of {chain.name}, so the network starts linear and isometric"
        else:
            pairs = f"pairs of {chain.name} act like tanh" if chain.mirrored else "orthogonal"
            start = f"{pairs}; at the edge of chaos signal and gradient keep their size at any depth"
        why = f"{len(chain.sites)} plain weights in a row: {start}"
        why = f"{why}; {reason}" if reason else why
        return Assignment(role, law, why, call.fans, self.graph.stored_transposed(call)), gain**2


def coverage(graph: Graph, site: int, call: WeightCall) -> float:
    """Share of a convolution's products that read the image rather than its padding."""
    if call.data is None:
        return 1.0
    record = graph.sites[site]
    kernel = graph.shapes[call.weight.site][2:]
    sizes = graph.shapes[call.data.site][-len(kernel) :]
    outs = record.shape[-len(kernel) :]
    share = 1.0
    for axis, (taps, size, out) in enumerate(zip(kernel, sizes, outs, strict=True)):
        stride = _along(ops.argument(record, "stride", 1), axis)
        dilation = _along(ops.argument(record, "dilation", 1), axis)
        first = -_padding(record, axis, taps)
        inside = sum(0 <= first + i * stride + j * dilation < size for i in range(out) for j in range(taps))
        share *= inside / (out * taps)
    return share


def _padding(site: Site, axis: int, taps: int) -> int:
    """How many places of padding stand before the first; torch's "same" puts the odd one behind."""
    padding = ops.argument(site, "padding", 0)
    if isinstance(padding, str):
        return (taps - 1) * _along(ops.argument(site, "dilation", 1), axis) // 2 if padding == "same" else 0
    return _along(padding, axis)


def _along(value: int | Sequence[int], axis: int) -> int:
    return value if isinstance(value, int) else value[axis % len(value)]


def _fan_in_law(gain: float) -> Law:
    """The law of variance gain^2 / fan_in, under its well-known name where it has one."""
    return (
        init.he_normal() if abs(gain**2 / 2 - 1) < 0.01 else init.lecun_normal(1.0 if abs(gain - 1) < 0.005 else gain)
    )


def _rounded(value: float) -> float:
    """Three significant digits: a plan is read by people."""
    return float(f"{value:.3g}")

r"""DeepNorm: post-norm transformers whose branches are as small as their depth asks for."""

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.schemes._rule import Rule, Said
from gainstage.signal import Branch

_SAME = 0.02  # relative: alphas are written with few digits


def deepnorm(context: Context) -> Rule:
    r"""Xavier, times $\beta$ in every weight of a residual branch but those of queries and keys.

    A stream of $m$ branches $x \leftarrow \mathrm{norm}(\alpha x + f(x))$ has $\alpha = m^{1/4}$ and
    $\beta = (4m)^{-1/4}$; an encoder of $N$ and a decoder of $M$ blocks, in which the decoder reads what the encoder
    writes, have $\alpha = 0.81 (N^4 M)^{1/16}$, $\beta = 0.87 (N^4 M)^{-1/16}$ in the encoder, and $m = 3M$ in the
    decoder. One update then changes the output by no more than a constant, whatever the depth. $\alpha$ is part of the
    architecture: it is read off the model, and the reason says where it is another.

    Raises:
        GainstageError: the model has no residual branch.

    References:
        Wang et al., *DeepNet: Scaling Transformers to 1,000 Layers*, 2022, figure 2 and theorems 4.2 and 4.3.
    """
    if not context.branches:
        raise GainstageError(
            "scheme 'deepnorm' is for residual networks, norm(alpha * x + f(x)); this model has no residual branch. "
            "Write scheme='auto', or add one"
        )
    wanted = {stream: _numbers(context, stream) for stream in context.stream_sizes}

    def rule(use: Use, part: str) -> Said | None:
        branch = _around(context, use.site)
        if branch is None or use.slot != "weight" or part in ("query", "key"):
            return None
        alpha, beta = wanted[branch.stream]
        reason = f"scheme 'deepnorm': times {beta:.3g}, in one of {context.stream_sizes[branch.stream]} branches"
        has = branch.keep / branch.share if branch.share else 1.0
        if abs(has / alpha - 1) > _SAME:
            reason += f"; the paper keeps {alpha:.3g} times the stream in front of a norm, this model {has:.3g} times"
        return Said(init.xavier_normal(float(f"{beta:.4g}")), reason)

    return rule


def _numbers(context: Context, stream: int) -> tuple[float, float]:
    """Alpha and beta of a stream."""
    count = context.stream_sizes[stream]
    if reader := next((s for s in context.stream_sizes if s != stream and _reads(context, s, stream)), None):
        weighed = ((count / 2) ** 4 * context.stream_sizes[reader] / 3) ** (1 / 16)
        return 0.81 * weighed, 0.87 / weighed
    return count**0.25, (4 * count) ** -0.25


def _reads(context: Context, stream: int, other: int) -> bool:
    """Whether a branch of a stream reads what another stream ends with, besides its own."""
    end = max(b.add for b in context.branches if b.stream == other)
    return any(
        context.graph.depends(b.branch.site, end) and not context.graph.depends(b.start, end)
        for b in context.branches
        if b.stream == stream
    )


def _around(context: Context, site: int) -> Branch | None:
    """The innermost branch that a weight stands in: it shapes what is added, and not what it is added to."""
    graph = context.graph
    inside = [
        b for b in context.branches if graph.depends(b.branch.site, site) and not graph.depends(b.skip.site, site)
    ]
    return min(inside, key=lambda b: b.add - b.start, default=None)

"""What operations that mix positions or units make of a `Spread`, and of that of the gradient on the way back.

Rows of `ops` carry these functions beside those of `_formulas`; they are asked in a forecast, which measures nothing.
A mean over positions has two parts: the products of two positions, which it keeps, and what every position has of its
own, of which it keeps the sum of the squared weights.
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from gainstage.signal._formulas import Call
from gainstage.signal._spread import Bins, Spread, softmax_sums, uniform

Mixing = Callable[[Call], Spread | None]


def averaged(call: Call) -> Spread | None:
    r"""Mean of n entries of which two have the product p: $q' = q / n + (1 - 1 / n)\, p$; over units p is $\mu^2$."""
    x, n = call.spreads[0], call.gathered
    if call.over_units:
        rest = (1 - 1 / n) * x.mean.square()
        pairs = (1 - 1 / n) * x.mean[:, None] * x.mean
        own = (x.square / n + rest, x.mean, x.samples / n + rest)
        return Spread(*own, x.positions / n + pairs, x.across / n + pairs)
    w = call.bins.counts if len(x.square) == len(call.bins.ends) else torch.ones_like(x.square)
    w = w / w.sum()
    square = (w * x.square).sum() / n + (1 - 1 / n) * (w @ x.positions @ w)
    samples = (w * x.samples).sum() / n + (1 - 1 / n) * (w @ x.across @ w)
    near = n < call.places  # windows: other positions are left
    pair, other = (w @ x.positions @ w, w @ x.across @ w) if near else (square, samples)
    return uniform(square, (w * x.mean).sum(), samples, pair, other)


def averaged_back(call: Call) -> Spread | None:
    r"""Every entry of n gets $1 / n$ of one gradient: two positions of one average get the same."""
    g, n = call.gradient, call.gathered
    if call.over_units or n == call.places:
        share = g.times(1 / n**2)
        if call.over_units:
            return share
        square, samples = share.square.mean(), share.samples.mean()
        return uniform(square, 0.0, samples, square, samples)
    return g.times(call.spread / n if n < call.places else call.spread**2)


def summed(call: Call) -> Spread | None:
    """A sum of n entries: n times their mean."""
    found, n = averaged(call), float(call.gathered)
    return None if found is None else replace(found.times(n**2), mean=found.mean * n)


def summed_back(call: Call) -> Spread | None:
    """Every entry gets the one gradient."""
    found = averaged_back(call)
    return None if found is None else found.times(float(call.gathered) ** 2)


def padded(call: Call) -> Spread:
    """Zeros around what is read: the share of the entries that are none."""
    x, share = call.spreads[0], min(1 / call.enlarged, 1.0)
    pairs = (x.positions * share**2, x.across * share**2)
    return Spread(x.square * share, x.mean * share, x.samples * share, *pairs)


def joined(call: Call) -> Spread:
    r"""Several tensors in one: the average of their moments, by their sizes."""
    sizes = [prod(shape) for shape in call.shapes]
    total = sum(sizes) or 1
    parts = [
        Spread(*(part * (n / total) for part in (s.square, s.mean, s.samples, s.positions, s.across)))
        for s, n in zip(call.spreads, sizes, strict=True)
    ]
    fields = zip(*((p.square, p.mean, p.samples, p.positions, p.across) for p in parts), strict=True)
    return Spread(*(_sum(field) for field in fields))


def softmaxed(call: Call) -> Spread:
    r"""Weights of a softmax over n entries: mean square $\mathbb{E}\sum a^2 / n$, for a causal mask its mean over t."""
    x, n = call.spreads[0], max(call.gathered, 1)
    variance = float((x.square - x.mean.square()).mean())
    visible = call.bins if call.causal else Bins((n,), causal=False)
    sums = [softmax_sums(variance, float(t))[0] for t in visible.seen]
    alone = visible.average(torch.tensor(sums, dtype=torch.float64))
    return uniform(alone / n, 1 / n, 1 / n**2, 1 / n**2)


def softmaxed_back(call: Call) -> Spread:
    r"""$a_i (g_i - \sum_j a_j g_j)$: the mean square of the weights times the gradient's."""
    return uniform(float(softmaxed(call).square[0]) * call.gradient.square, 0.0)


def contracted(call: Call) -> Spread | None:
    r"""$\sum_k a_k b_k$ of d independent terms: $q' = d\, q_a q_b + d (d - 1) \mu_a^2 \mu_b^2$.

    Behind a softmax it is an average of b, as in `attended`.
    """
    if len(call.spreads) != 2:
        return None
    a, b = call.spreads
    d = call.depth
    if any(call.averages):
        weights, v = (a, b) if call.averages[0] else (b, a)
        alone = (weights.square * d).clamp_max(1.0)
        shares = call.bins.shares if call.causal else _flat(len(v.square))
        if len(shares) != len(v.square):
            shares = _flat(len(v.square))
        return _mean_of(v, shares, alone.mean().expand(len(shares)), 1 / _count(call, shares))
    mean = a.mean * b.mean
    return uniform(call.scale**2 * (d * a.square * b.square + d * (d - 1) * mean.square()), call.scale * d * mean)


def contracted_back(call: Call) -> Spread:
    r"""Each entry of a meets m gradients: $g' = m\, g\, q_b$, of independent terms."""
    return uniform(call.scale**2 * call.used * call.gradient.square * call.spreads[1 - call.to].square)


def attended(call: Call) -> Spread | None:
    r"""Attention $o_t = \sum_j a_{tj} v_j$: $q'_t = \bar p_t + A_t\, (q_v - p_v)$.

    $\bar p_t$ is the mean product of two of the values that t sees, A that of `softmax_sums` for logits of variance
    $s^2 d\, q_q (q_k - p_k)$. Two positions t < u share keys: $\bar p_{tu} + (q_v - p_v) / u$.
    """
    q, k, v = call.spreads[:3]
    size = _size(call, q, k, v)
    seen, shares, alone, _ = _attention(call, q, k, size)
    return _mean_of(_wide(v, size), shares, alone, 1 / seen)


def attended_back(call: Call) -> Spread | None:
    r"""To the values $\sum_t a_{tj} g_t$; to queries and keys through the softmax.

    Values: all pairs of queries that see j, and of every query its own part times $a_{tj}^2$. Queries:
    $s^2 d\, g \sum_{jk} \mathbb{E}[a_j a_k]\, C^v_{jk} C^k_{jk}$ with C the products of values and of keys around the
    means of what a query sees, since the gradients of its logits add up to 0; of a position's own part `softmax_sums`
    has the weight, B. Keys alike, summed over the queries that see them.
    """
    q, k, v = call.spreads[:3]
    g = call.gradient
    size = _size(call, q, k, v, g)
    seen, shares, alone, bent = _attention(call, q, k, size)
    g = _wide(g, size)
    own_bins = len(call.bins.ends) == size
    counts = call.bins.counts if own_bins else torch.full((size,), call.gathered / size, dtype=torch.float64)
    takes = shares.T * counts / counts[:, None]  # [k, i]: what a key of bin k is given by all queries of bin i
    if call.to == 2:
        own, pair = g.square - g.positions.diagonal(), takes @ g.positions @ takes.T
        square = pair.diagonal() + takes @ (alone * own)
        each = shares / counts  # the weight that a query of bin i gives one key of bin k
        shared = (each.T * (counts * own)) @ each
        across = takes @ g.across @ takes.T
        both = (each.T * (counts * (g.samples - g.across.diagonal()))) @ each
        found = Spread(square, 0 * square, across.diagonal() + both.diagonal(), pair + shared, across + both)
        return found.times(call.spread)
    v, k, q = (_wide(s, size) for s in (v, k, q))
    inner = call.scale**2 * call.depth
    far, own = _around(v, shares), v.square - v.positions.diagonal()
    if call.to == 0:
        apart, single = _around(k, shares), k.square - k.positions.diagonal()
        pair = torch.einsum("ik,il,ikl,ikl->i", shares, shares, far, apart)
        at = far.diagonal(dim1=1, dim2=2) * single + apart.diagonal(dim1=1, dim2=2) * own + own * single
        each = (shares * at).sum(1)
        square = inner * g.square * (pair + bent * each)
        later = torch.maximum(seen[:, None], seen)
        pairs = inner * g.positions * ((pair[:, None] * pair).clamp_min(0).sqrt() + _earlier(each) / later)
        return Spread(square.clamp_min(0), 0 * square, 0 * square, pairs, 0 * pairs).times(call.spread)
    off = (own + far.diagonal(dim1=1, dim2=2)).clamp_min(0)  # [i, k]: of a value of bin k, from what i sees
    given = takes.T * (bent * g.square * q.square)[:, None] * off
    together = torch.einsum("ki,kj,ij,ik,jk->k", takes, takes, g.positions * q.positions, off.sqrt(), off.sqrt())
    return uniform((inner * (given.sum(0) + together)).clamp_min(0)).times(call.spread)


def _around(x: Spread, shares: Tensor) -> Tensor:
    """The products of two positions, each less the mean of what a query sees; `[queries, bins, bins]`."""
    rows = shares @ x.positions
    middle = (rows * shares).sum(1)
    return x.positions - rows[:, :, None] - rows[:, None, :] + middle[:, None, None]


def _size(call: Call, *spreads: Spread) -> int:
    """How many bins a call is to be followed by."""
    return max(len(call.bins.ends) if call.causal else 1, *(len(s.square) for s in spreads))


def _attention(call: Call, q: Spread, k: Spread, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """By bins of queries: how many keys they see, the shares of the bins in these, and `softmax_sums`."""
    n = max(call.gathered, 1)
    by_bins = len(call.bins.ends) == size
    visible = call.bins if call.causal and by_bins else Bins((n,), causal=False)
    if call.causal and by_bins:
        shares, seen = visible.shares, visible.seen
    elif by_bins:
        shares, seen = (call.bins.counts / call.bins.counts.sum()).expand(size, size), torch.full((size,), float(n))
    else:
        shares, seen = _flat(size), torch.full((size,), float(n))
    level = _wide(q, size).square * _varies(_wide(k, size), shares)
    logits = (call.scale**2 * call.depth * level).clamp_min(0).tolist()
    found = [softmax_sums(z, float(t)) for z, t in zip(logits, seen, strict=True)]
    alone, bent = (torch.tensor(column, dtype=torch.float64) for column in zip(*found, strict=True))
    return seen.double(), shares.double(), alone, bent


def _mean_of(v: Spread, shares: Tensor, alone: Tensor, shared: Tensor | float) -> Spread:
    """Weighted means of the values of all bins."""
    own = v.square - v.positions.diagonal()
    other = v.samples - v.across.diagonal()
    pair, across = shares @ v.positions @ shares.T, shares @ v.across @ shares.T
    last = shared if isinstance(shared, Tensor) else torch.full_like(alone, shared)
    least = torch.minimum(last[:, None], last)
    return Spread(
        (pair.diagonal() + alone * (shares @ own)).clamp_min(0),
        shares @ v.mean,
        across.diagonal() + last * (shares @ other),
        pair + least * _earlier(shares @ own),
        across + least * _earlier(shares @ other),
    )


def _earlier(x: Tensor) -> Tensor:
    """Of two bins, what the earlier one has."""
    index = torch.arange(len(x))
    return x[torch.minimum(index[:, None], index)]


def _varies(x: Spread, shares: Tensor) -> Tensor:
    """The variance over what a query sees."""
    return (shares @ x.square - (shares @ x.positions @ shares.T).diagonal()).clamp_min(0)


def _wide(x: Spread, size: int) -> Spread:
    """A spread of one bin, by as many as are asked."""
    if len(x.square) == size:
        return x
    single = (t.mean().expand(size) for t in (x.square, x.mean, x.samples))
    return Spread(*single, *(t.mean().expand(size, size) for t in (x.positions, x.across)))


def _flat(size: int) -> Tensor:
    return torch.full((size, size), 1 / size, dtype=torch.float64)


def _count(call: Call, shares: Tensor) -> Tensor | float:
    return call.bins.seen if call.causal and len(call.bins.ends) == len(shares) else float(call.depth)


def _sum(parts: tuple[Tensor, ...]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


AVERAGED: dict[str, Mixing] = {"spread": averaged, "returns": averaged_back}
SUMMED: dict[str, Mixing] = {"spread": summed, "returns": summed_back}
CONTRACTED: dict[str, Mixing] = {"spread": contracted, "returns": contracted_back}
SOFTMAXED: dict[str, Mixing] = {"spread": softmaxed, "returns": softmaxed_back}
ATTENDED: dict[str, Mixing] = {"spread": attended, "returns": attended_back}

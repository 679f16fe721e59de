"""How likely a count of dropped entries is."""

from scipy.stats import binom


def plausible(dropped: int, drawn: int, p: float, *, failure: float = 1e-12) -> bool:
    """Whether a Binomial(drawn, p) lies at `dropped` or further out with at least this probability on either side."""
    return min(binom.cdf(dropped, drawn, p), binom.sf(dropped - 1, drawn, p)) >= failure

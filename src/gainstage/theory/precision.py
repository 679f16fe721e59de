r"""Which share of normal values a number format cannot hold: too small, and too large.

Of $x \sim \mathcal N(0, \sigma^2)$ a format with smallest number t and largest M loses
$\operatorname{erf}(t / (2 \sqrt 2 \sigma))$ below (rounded to 0) and $\operatorname{erfc}(M / (\sqrt 2 \sigma))$ above.
A scale, of the tensor or of a block of n values, brings the largest one, about $\sigma \sqrt{2 \ln n}$, to M.
"""

from dataclasses import dataclass
from math import erf, erfc, floor, log, log2, sqrt


@dataclass(frozen=True)
class Format:
    """A number format.

    Attributes:
        smallest: the smallest number above 0, subnormal ones included.
        largest: the largest finite number.
        block: how many values share a scale: 0 for none, -1 for all of the tensor.
        power: the scale is a power of 2.
    """

    smallest: float
    largest: float
    block: int = 0
    power: bool = False


FORMATS = {
    "fp16": Format(2.0**-24, 65504.0),
    "bf16": Format(2.0**-133, 3.3895313892515355e38),
    "fp8 e4m3": Format(2.0**-9, 448.0),
    "fp8 e5m2": Format(2.0**-16, 57344.0),
    "fp8 e4m3, scaled": Format(2.0**-9, 448.0, -1),
    "fp8 e5m2, scaled": Format(2.0**-16, 57344.0, -1),
    "mxfp4": Format(0.5, 6.0, 32, True),
}


def outside(rms: float, count: int, form: Format) -> tuple[float, float]:
    """The shares of normal values of this root mean square that a format rounds to 0, and that are beyond it.

    Example:
        >>> below, above = outside(1e-7, 4096, FORMATS["fp16"])
        >>> round(below, 2), above
        (0.23, 0.0)
    """
    if not rms > 0:
        return 0.0, 0.0
    n = count if form.block < 0 else form.block
    scale = 1.0
    if form.block and n > 1:
        scale = rms * sqrt(2 * log(n)) / form.largest
        if form.power:  # of a block of values: the exponent of the largest less that of the format's largest
            scale = 2.0 ** (floor(log2(rms * sqrt(2 * log(n)))) - floor(log2(form.largest)))
    sigma = rms / scale
    return erf(form.smallest / 2 / sigma / sqrt(2)), erfc(form.largest / sigma / sqrt(2))

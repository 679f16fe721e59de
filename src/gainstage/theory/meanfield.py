r"""What a wide network with random weights does to a signal, computed and not measured: mean-field theory.

A layer $h = W \phi(h') + b$ with independent weights of variance $\sigma_w^2 / \text{fan\_in}$ and biases of variance
$\sigma_b^2$ maps the mean square $q$ of a signal, and the correlation $c$ of two signals, by integrals over a normal
distribution. Their fixed points, slopes and depth scales say how deep a signal and a gradient reach.

>>> tanh = MeanField("tanh", weight_variance=1.76, bias_variance=0.05)
>>> round(tanh.slope(), 2)  # on the critical line: neither gradients nor correlations explode or die
1.0
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, inf, log, pi, sqrt

import torch
from torch import Tensor

from gainstage.errors import GainstageError
from gainstage.init import activation, gaussian_mean, gaussian_product_mean
from gainstage.theory.activation import Function, derivative

_SMALLEST, _LARGEST = 1e-16, 1e12  # a mean square beyond these has vanished or exploded


@dataclass(frozen=True)
class MeanField:
    r"""A wide fully connected or convolutional network of one activation, weight variance and bias variance.

    Args:
        phi: a name (`"tanh"`) or any elementwise function of a tensor.
        weight_variance: $\sigma_w^2$, the variance of a weight times its fan in, above 0.
        bias_variance: $\sigma_b^2$, at least 0.

    Raises:
        GainstageError: a variance that is negative or not finite.

    Example:
        >>> he = MeanField("relu", weight_variance=2.0)
        >>> round(he.variance(1.0), 9), round(he.slope(), 9)
        (1.0, 1.0)

    References:
        Poole et al., *Exponential expressivity in deep neural networks through transient chaos*, NeurIPS 2016.
        Schoenholz et al., *Deep Information Propagation*, ICLR 2017.
        Xiao et al., *Dynamical Isometry and a Mean Field Theory of CNNs*, ICML 2018.
    """

    phi: str | Function
    weight_variance: float
    bias_variance: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.weight_variance < inf and 0 <= self.bias_variance < inf):
            raise GainstageError(
                "MeanField needs weight_variance above 0 and bias_variance of at least 0 (the variance of "
                f"a weight times its fan in); got {self.weight_variance!r} and {self.bias_variance!r}."
            )

    def variance(self, q: float) -> float:
        r"""The mean square one layer later: $V(q) = \sigma_w^2\, \mathbb{E}[\phi(\sqrt q z)^2] + \sigma_b^2$."""
        f = self._function
        return self.weight_variance * gaussian_mean(lambda z: f(z).square(), q) + self.bias_variance

    def fixed_point(self) -> float:
        r"""$q^* = V(q^*)$: where the mean square of a signal that starts at 1 settles.

        Returns:
            $q^*$; 0 if the signal vanishes, infinity if it explodes. If every $q$ is a fixed point (He's ReLU), 1.
        """
        here = 1.0
        step = self.variance(here) - here
        if abs(step) < 1e-12:
            return here
        factor = 2.0 if step > 0 else 0.5
        while True:  # the map flows one way until the first fixed point in that direction
            there = here * factor
            if not _SMALLEST < there < _LARGEST:
                return 0.0 if factor < 1 else inf
            if (self.variance(there) - there) * step <= 0:
                break
            here = there
        return _root(lambda q: (self.variance(q) - q) * step, here, there)

    def slope(self, q: float | None = None) -> float:
        r"""$\chi_1 = \sigma_w^2\, \mathbb{E}[\phi'(\sqrt q z)^2]$: growth of the gradient's mean square per layer.

        Also the slope of the correlation map at $c = 1$: below 1 nearby inputs become equal (order), above 1 they
        part (chaos), and at 1 signals travel deepest.

        Args:
            q: the mean square of the signal; default: the fixed point.
        """
        derivative = self._derivative
        return self.weight_variance * gaussian_mean(lambda z: derivative(z).square(), self._at(q))

    def variance_slope(self, q: float | None = None) -> float:
        r"""$V'(q) = \sigma_w^2\, \mathbb{E}[h\, \phi(h)\, \phi'(h)] / q$, $h = \sqrt q z$: growth of errors in $q$."""
        f, derivative, q = self._function, self._derivative, self._at(q)
        return self.weight_variance * gaussian_mean(lambda h: h * f(h) * derivative(h), q) / q

    def correlation(self, c: float, q: float | None = None) -> float:
        r"""The correlation of two signals one layer later.

        $$ C(c) = \frac{\sigma_w^2\, \mathbb{E}[\phi(u)\phi(v)] + \sigma_b^2}{V(q)}, \qquad
           \operatorname{Var} u = \operatorname{Var} v = q, \ \operatorname{corr}(u, v) = c $$

        Args:
            c: from -1 to 1.
            q: the mean square of both; default: the fixed point.
        """
        f, q = self._function, self._at(q)
        return (self.weight_variance * gaussian_product_mean(f, f, q, q, c) + self.bias_variance) / self.variance(q)

    def correlation_slope(self, c: float, q: float | None = None) -> float:
        r"""$C'(c) = \sigma_w^2\, \mathbb{E}[\phi'(u)\phi'(v)]\, q / V(q)$: the slope of the correlation map at `c`."""
        derivative, q = self._derivative, self._at(q)
        return self.weight_variance * gaussian_product_mean(derivative, derivative, q, q, c) * q / self.variance(q)

    def correlation_fixed_point(self) -> float:
        r"""$c^* = C(c^*)$: the correlation that any two inputs end at; 1 in the ordered phase and on its edge."""
        q = self._at(None)
        if self.slope(q) <= 1 + 1e-9:
            return 1.0
        below = 1 - 1e-6
        if self.correlation(below, q) >= below:
            return 1.0
        low = -1.0 if self.correlation(-1.0, q) > -1.0 else -1 + 1e-6
        return _root(lambda c: self.correlation(c, q) - c, low, below)

    def depth_scale_q(self) -> float:
        r"""$\xi_q = -1 / \log |V'(q^*)|$: layers in which a disturbance of the mean square falls to 1/e."""
        return _depth(self.variance_slope())

    def depth_scale_c(self) -> float:
        r"""$\xi_c = -1 / \log \chi_{c^*}$: layers in which what distinguishes two inputs falls to 1/e.

        A network much deeper than about $6\, \xi_c$ does not train (Schoenholz et al.); on the critical line $\xi_c$ is
        infinite.
        """
        c = self.correlation_fixed_point()
        return _depth(self.slope() if c == 1.0 else self.correlation_slope(c))

    def mode_depth_scales(self, size: int, taps: Sequence[float]) -> list[float]:
        r"""A convolution along one circular axis: the depth scale of every spatial frequency.

        $$ \xi_k = -1 / \log(\chi_{c^*} \lambda_k), \qquad \lambda_k = \sum_\beta v_\beta \cos(2 \pi k \beta / n) $$

        The mean over space ($k = 0$) travels as in a fully connected network, finer patterns die sooner; a
        delta-orthogonal kernel has one tap, and all of them travel alike.

        Args:
            size: $n$, the positions along the axis.
            taps: $v_\beta$, the share of the weight variance at each tap, centre in the middle; made to sum to 1.

        Returns:
            A list of $\lfloor n / 2 \rfloor + 1$ depth scales, in layers.
        """
        if not taps or min(taps) < 0 or sum(taps) <= 0:
            raise GainstageError(f"taps are the shares of variance at each tap, none negative; got {list(taps)!r}.")
        c = self.correlation_fixed_point()
        chi, whole, middle = (self.slope() if c == 1.0 else self.correlation_slope(c)), sum(taps), len(taps) // 2
        return [
            _depth(chi * sum(v / whole * cos(2 * pi * k * (b - middle) / size) for b, v in enumerate(taps)))
            for k in range(size // 2 + 1)
        ]

    def convolved(self, covariance: Tensor, taps: Sequence[float]) -> Tensor:
        r"""The covariance between positions one layer later, in a wide convolution along one circular axis.

        $$ \Sigma'_{ij} = \sigma_b^2 + \sigma_w^2 \sum_\beta v_\beta\,
           \mathbb{E}[\phi(h_{i+\beta})\, \phi(h_{j+\beta})] $$

        Args:
            covariance: `[n, n]`, of one channel at the $n$ positions.
            taps: as for `mode_depth_scales`.

        Returns:
            `[n, n]`, float64.
        """
        f, n, s = self._function, len(covariance), covariance.double().cpu()
        products = torch.empty(n, n, dtype=torch.float64, device="cpu")
        for i in range(n):
            for j in range(i + 1):
                a, b = float(s[i, i]), float(s[j, j])
                c = float(s[i, j]) / sqrt(a * b) if a * b else 0.0
                products[i, j] = products[j, i] = gaussian_product_mean(f, f, a, b, c)
        mixed = sum((v / sum(taps)) * products.roll((len(taps) // 2 - b,) * 2, (0, 1)) for b, v in enumerate(taps))
        return self.weight_variance * torch.as_tensor(mixed) + self.bias_variance

    @property
    def _function(self) -> Function:
        return activation(self.phi) if isinstance(self.phi, str) else self.phi

    @property
    def _derivative(self) -> Function:
        return derivative(self._function)

    def _at(self, q: float | None) -> float:
        q = self.fixed_point() if q is None else q
        if q == inf:
            raise GainstageError(
                f"the signal of {self} explodes, so it has no fixed point. Lower weight_variance, or pass q."
            )
        return max(q, _SMALLEST)


def critical_line(phi: str | Function, bias_variance: float) -> MeanField:
    r"""The weight variance at which $\chi_1 = 1$ for this bias variance: where signals travel deepest.

    $$ \sigma_w^2 = \frac{1}{\mathbb{E}[\phi'(\sqrt q z)^2]}, \qquad
       \sigma_b^2 = q - \sigma_w^2\, \mathbb{E}[\phi(\sqrt q z)^2] $$

    is a curve with parameter $q$; this finds the $q$ that belongs to `bias_variance`.

    Args:
        phi: a name or an elementwise function.
        bias_variance: $\sigma_b^2 \ge 0$.

    Returns:
        The critical `MeanField`.

    Raises:
        GainstageError: no weight variance is critical. ReLU and its kin have one critical point only, at
            `bias_variance=0`.

    Example:
        >>> round(critical_line("tanh", bias_variance=0.05).weight_variance, 2)
        1.76

    References:
        Schoenholz et al., *Deep Information Propagation*, ICLR 2017, figure 1.
    """

    def at(q: float) -> tuple[float, float]:
        w = 1 / MeanField(phi, 1.0).slope(q)
        return w, q - w * MeanField(phi, 1.0).variance(q)

    low, high = _SMALLEST, 1.0
    if bias_variance == 0.0 and abs(at(high)[1]) < 1e-12:
        return MeanField(phi, at(high)[0])  # homogeneous: every q will do
    if bias_variance == 0.0:  # the line starts where the signal has vanished
        return MeanField(phi, at(low)[0])
    while at(high)[1] < bias_variance:
        high *= 2
        if high > 1e6:
            raise GainstageError(
                f"no weight variance is critical for {phi!r} with bias_variance={bias_variance:g}: its signal explodes "
                "first. Write bias_variance=0."
            )
    q = _root(lambda q: bias_variance - at(q)[1], low, high)
    return MeanField(phi, at(q)[0], bias_variance)


def _root(f: Callable[[float], float], start: float, stop: float) -> float:
    """The place between `start` (where f > 0) and `stop` (where f <= 0) at which f is 0, by the Illinois method."""
    a, b, at_a, at_b = start, stop, f(start), f(stop)
    for _ in range(100):
        if at_b == 0 or at_a == at_b:
            break
        c = b - at_b * (b - a) / (at_b - at_a)
        at_c, step = f(c), abs(c - b)
        if at_c * at_b < 0:
            a, at_a = b, at_b
        else:
            at_a /= 2  # the other end has stood still: pull it in
        b, at_b = c, at_c
        if step <= 1e-13 * abs(b):
            break
    return b


def _depth(slope: float) -> float:
    """Layers in which a factor of `slope` per layer comes to 1/e; infinite at or above 1, 0 if it is gone at once."""
    size = abs(slope)
    return 0.0 if size == 0 else inf if size >= 1 - 1e-12 else -1 / log(size)

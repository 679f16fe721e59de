"""Variance scaling and the classical names: the variance of an entry is a constant over a fan."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from math import sqrt
from typing import Any

from ._errors import UnknownLaw
from ._fans import Fans
from ._gain import gain as exact_gain
from ._law import Law, Shape, kind, named, number, usable_fans
from ._pointwise import Normal, TruncatedNormal, Uniform

_MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
_DISTRIBUTIONS = ("normal", "uniform", "truncated_normal")


@kind("variance_scaling")
@dataclass(frozen=True)
class VarianceScaling(Law):
    """Entries of mean 0 and variance `scale / fan`."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    label: str = field(default="variance_scaling", compare=False)

    def __post_init__(self) -> None:
        number(f"the scale of {self.label}()", self.scale, low=0)
        _one_of("mode", self.mode, _MODES)
        _one_of("distribution", self.distribution, _DISTRIBUTIONS)

    @property
    def name(self) -> str:
        return self.label

    def check(self, shape: Shape, fans: Fans | None = None) -> None:
        super().check(shape, fans)
        usable_fans(self, shape, fans)

    def std(self, shape: Shape, fans: Fans | None = None) -> float:
        """The standard deviation of an entry."""
        fan_in, fan_out = usable_fans(self, shape, fans)
        fan = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": sqrt(fan_in * fan_out),
        }[self.mode]
        return sqrt(self.scale / fan)

    def concrete(self, shape: Shape, fans: Fans | None = None) -> Law:
        std = self.std(shape, fans)
        if self.distribution == "normal":
            return Normal(0.0, std)
        if self.distribution == "uniform":
            return Uniform(-sqrt(3) * std, sqrt(3) * std)
        return TruncatedNormal(0.0, std)

    def scaled(self, factor: float) -> Law:
        factor = number(f"{self.label}.scaled(factor)", factor)
        if factor < 0:
            return super().scaled(factor)
        return VarianceScaling(self.scale * factor * factor, self.mode, self.distribution, self.label)

    def __str__(self) -> str:
        if self.label == "variance_scaling":
            return f"variance_scaling({self.scale:.3g}, {self.mode}, {self.distribution})"
        return f"{self.label}(scale={self.scale:.3g}, {self.mode})"


def _one_of(what: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        near = get_close_matches(str(value).lower(), known, n=1)
        raise UnknownLaw(
            f"variance_scaling knows the {what}s {', '.join(known)}; got {value!r}."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )


def _he(a: float, mode: str, nonlinearity: str, distribution: str, label: str) -> Law:
    squared = 2.0 / (1.0 + a * a) if nonlinearity in ("relu", "leaky_relu") else exact_gain(nonlinearity) ** 2
    if nonlinearity == "relu":
        squared = 2.0
    return VarianceScaling(squared, mode, distribution, label)


@named
def variance_scaling(scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal") -> Law:
    r"""Entries of mean 0 and variance `scale / fan`: the family that holds all classical names.

    $$ \operatorname{Var}[w] = \frac{s}{n}, \qquad n \in \{ f_\text{in},\ f_\text{out},\
       \tfrac12 (f_\text{in} + f_\text{out}),\ \sqrt{f_\text{in} f_\text{out}} \} $$

    Args:
        scale: $s \ge 0$. The square of a gain.
        mode: `"fan_in"`, `"fan_out"`, `"fan_avg"` or `"fan_geo_avg"`, in this order of $n$.
        distribution: `"normal"`, `"uniform"` or `"truncated_normal"` (at 2 sigma of the parent). All three have the
            variance of the formula.

    Returns:
        The law.

    Raises:
        UnknownLaw: a mode or distribution of another name.
        CannotFill: a negative scale.

    Example:
        >>> str(variance_scaling(2.0, "fan_in", "normal").concrete((64, 32)))
        'normal(std=0.25)'

    References:
        Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks*, AISTATS 2010.
    """
    return VarianceScaling(number("scale", scale), mode, distribution)


@named
def xavier_normal(gain: float = 1.0) -> Law:
    r"""Normal of variance $2 g^2 / (f_\text{in} + f_\text{out})$, as Glorot & Bengio derived it (eq. 12).

    The books disagree. This is "Xavier" in Glorot & Bengio, PyTorch, Keras (`GlorotNormal`, truncated there) and *Dive
    into Deep Learning*; Caffe's filler and Ng's *Deep Learning Specialization* mean $1 / f_\text{in}$: that is
    `caffe_xavier_normal`.

    Args:
        gain: $g$.

    Example:
        >>> str(xavier_normal().concrete((60, 140)))
        'normal(std=0.1)'

    References:
        Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks*, AISTATS 2010.
    """
    return VarianceScaling(number("gain", gain) ** 2, "fan_avg", "normal", "xavier_normal")


@named
def xavier_uniform(gain: float = 1.0) -> Law:
    r"""Uniform on $\pm g \sqrt{6 / (f_\text{in} + f_\text{out})}$ (Glorot & Bengio, eq. 16); Keras's default.

    Example:
        >>> str(xavier_uniform().concrete((3, 3)))
        'uniform(a=-1, b=1)'
    """
    return VarianceScaling(number("gain", gain) ** 2, "fan_avg", "uniform", "xavier_uniform")


@named
def caffe_xavier_normal(gain: float = 1.0) -> Law:
    r"""Normal of variance $g^2 / f_\text{in}$: "Xavier" in Caffe and in Ng's course; the same as `lecun_normal`.

    Example:
        >>> caffe_xavier_normal() == lecun_normal()
        True

    References:
        Jia et al., *Caffe*, 2014: `XavierFiller`, `variance_norm: FAN_IN` (which draws uniformly).
    """
    return VarianceScaling(number("gain", gain) ** 2, "fan_in", "normal", "caffe_xavier_normal")


@named
def caffe_xavier_uniform(gain: float = 1.0) -> Law:
    r"""Uniform on $\pm g \sqrt{3 / f_\text{in}}$: what Caffe's `xavier` filler draws.

    Example:
        >>> str(caffe_xavier_uniform().concrete((7, 3)))
        'uniform(a=-1, b=1)'
    """
    return VarianceScaling(number("gain", gain) ** 2, "fan_in", "uniform", "caffe_xavier_uniform")


@named
def he_normal(a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Law:
    r"""Normal of variance $g^2 / f$, with $g$ the exact gain of the activation behind which the weight stands.

    Args:
        a: negative slope of a leaky ReLU.
        mode: `"fan_in"` keeps the forward signal, `"fan_out"` the gradient.
        nonlinearity: any activation `gain` knows. (`kaiming_normal_`, the function, keeps torch's table.)

    Example:
        >>> str(he_normal().concrete((10, 50)))
        'normal(std=0.2)'

    References:
        He et al., *Delving Deep into Rectifiers*, ICCV 2015, eq. 10.
    """
    return _he(a, mode, nonlinearity, "normal", "he_normal")


@named
def he_uniform(a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Law:
    r"""Uniform on $\pm g \sqrt{3 / f}$; arguments as `he_normal`.

    Example:
        >>> str(he_uniform().concrete((10, 6)))
        'uniform(a=-1, b=1)'
    """
    return _he(a, mode, nonlinearity, "uniform", "he_uniform")


@named
def lecun_normal(gain: float = 1.0) -> Law:
    r"""Normal of variance $g^2 / f_\text{in}$: keeps the mean square of a linear map; the law for SELU.

    Example:
        >>> str(lecun_normal().concrete((10, 25)))
        'normal(std=0.2)'

    References:
        LeCun et al., *Efficient BackProp*, 1998, section 4.6.
        Klambauer et al., *Self-Normalizing Neural Networks*, NeurIPS 2017.
    """
    return VarianceScaling(number("gain", gain) ** 2, "fan_in", "normal", "lecun_normal")


@named
def lecun_uniform(gain: float = 1.0) -> Law:
    r"""Uniform on $\pm g \sqrt{3 / f_\text{in}}$.

    Example:
        >>> str(lecun_uniform().concrete((10, 3)))
        'uniform(a=-1, b=1)'
    """
    return VarianceScaling(number("gain", gain) ** 2, "fan_in", "uniform", "lecun_uniform")


@named
def torch_default() -> Law:
    r"""What `nn.Linear` and `nn.Conv*d` do to their weight: uniform on $\pm 1 / \sqrt{f_\text{in}}$.

    PyTorch writes it as `kaiming_uniform_(a=sqrt(5))`. Its variance, $1 / (3 f_\text{in})$, loses a factor of three of
    the signal's mean square per linear layer, and of six per ReLU layer.

    Example:
        >>> str(torch_default().concrete((10, 25)))
        'uniform(a=-0.2, b=0.2)'
    """
    return VarianceScaling(1 / 3, "fan_in", "uniform", "torch_default")


@named
def keras_default() -> Law:
    """What Keras does to the kernel of `Dense` and `Conv`: `xavier_uniform` (`GlorotUniform`).

    Example:
        >>> keras_default() == xavier_uniform()
        True
    """
    return VarianceScaling(1.0, "fan_avg", "uniform", "keras_default")


@named
def keras_glorot_normal() -> Law:
    """Keras's `GlorotNormal`: truncated at 2 sigma, of variance 2 / (fan_in + fan_out).

    Example:
        >>> keras_glorot_normal() == variance_scaling(1.0, "fan_avg", "truncated_normal")
        True
    """
    return VarianceScaling(1.0, "fan_avg", "truncated_normal", "keras_glorot_normal")


@named
def keras_he_normal() -> Law:
    """Keras's `HeNormal`: truncated at 2 sigma, of variance 2 / fan_in.

    Example:
        >>> keras_he_normal() == variance_scaling(2.0, "fan_in", "truncated_normal")
        True
    """
    return VarianceScaling(2.0, "fan_in", "truncated_normal", "keras_he_normal")


@named
def keras_lecun_normal() -> Law:
    """Keras's `LecunNormal`: truncated at 2 sigma, of variance 1 / fan_in.

    Example:
        >>> keras_lecun_normal() == variance_scaling(1.0, "fan_in", "truncated_normal")
        True
    """
    return VarianceScaling(1.0, "fan_in", "truncated_normal", "keras_lecun_normal")


@named
def small_normal(std: float = 0.02) -> Law:
    """Normal of standard deviation 0.02, as BERT and GPT-2 start all their matrices.

    Example:
        >>> str(small_normal())
        'normal(std=0.02)'

    References:
        Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019.
    """
    return Normal(0.0, number("std", std))


@named
def scaled_normal(n_layers: int, sigma: float = 0.02) -> Law:
    r"""Normal of standard deviation $\sigma / \sqrt{2 L}$, for the last weight of each of the $2L$ branches.

    Args:
        n_layers: $L$, the number of transformer blocks; each adds two branches to the stream.
        sigma: of the other weights.

    Example:
        >>> str(scaled_normal(8, sigma=0.02))
        'normal(std=0.005)'

    References:
        Shoeybi et al., *Megatron-LM*, 2019 (`scaled_init_method_normal`).
    """
    if n_layers < 1:
        raise UnknownLaw(f"scaled_normal(n_layers) counts transformer blocks, at least 1; got {n_layers!r}.")
    return Normal(0.0, number("sigma", sigma) / sqrt(2 * n_layers))


@named
def gpt2_residual(n_layers: int) -> Law:
    r"""Normal of standard deviation $0.02 / \sqrt{2 L}$, for the output projections of attention and MLP in GPT-2.

    Args:
        n_layers: $L$, the number of transformer blocks.

    Example:
        >>> str(gpt2_residual(8))
        'normal(std=0.005)'

    References:
        Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019, section 2.3.
    """
    return scaled_normal(n_layers, 0.02)


@named
def fixup(n_branches: int, n_weights: int = 2) -> Law:
    r"""He, times $L^{-1/(2m-2)}$: the weights inside a residual branch of a network without normalization.

    The last weight of each branch and the classifier start at zero instead: `zeros()`.

    Args:
        n_branches: $L$, the number of residual branches.
        n_weights: $m \ge 2$, the weight layers in a branch.

    Example:
        >>> fixup(16, 2) == he_normal().scaled(0.25)
        True

    References:
        Zhang, Dauphin & Ma, *Fixup Initialization*, ICLR 2019, section 3.
    """
    if n_branches < 1 or n_weights < 2:
        raise UnknownLaw(f"fixup needs n_branches >= 1 and n_weights >= 2; got {n_branches!r} and {n_weights!r}.")
    return he_normal().scaled(n_branches ** (-1 / (2 * n_weights - 2)))


kaiming_normal, kaiming_uniform, glorot_normal, glorot_uniform = he_normal, he_uniform, xavier_normal, xavier_uniform
for _name in ("kaiming_normal", "kaiming_uniform", "glorot_normal", "glorot_uniform"):
    named(globals()[_name], _name)

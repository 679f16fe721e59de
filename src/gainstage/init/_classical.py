"""The classical names: Xavier, He, LeCun."""

from ._gain import gain as exact_gain
from ._law import Law, named
from ._numbers import number
from ._scaling import VarianceScaling


def _he(a: float, mode: str, nonlinearity: str, distribution: str, label: str) -> Law:
    a = number(f"the slope a of {label}()", a)
    squared = 2.0 / (1.0 + a * a) if nonlinearity in ("relu", "leaky_relu") else exact_gain(nonlinearity) ** 2
    if nonlinearity == "relu":
        squared = 2.0
    return VarianceScaling(squared, mode, distribution, label)


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


kaiming_normal, kaiming_uniform, glorot_normal, glorot_uniform = he_normal, he_uniform, xavier_normal, xavier_uniform
for _name in ("kaiming_normal", "kaiming_uniform", "glorot_normal", "glorot_uniform"):
    named(globals()[_name], _name)

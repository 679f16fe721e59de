"""What other frameworks do, and what they mean by a name."""

from ._law import Law, named
from ._numbers import number
from ._scaling import VarianceScaling


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
        >>> from gainstage import init
        >>> keras_default() == init.xavier_uniform()
        True
    """
    return VarianceScaling(1.0, "fan_avg", "uniform", "keras_default")


@named
def keras_glorot_normal() -> Law:
    """Keras's `GlorotNormal`: truncated at 2 sigma, of variance 2 / (fan_in + fan_out).

    Example:
        >>> from gainstage import init
        >>> keras_glorot_normal() == init.variance_scaling(1.0, "fan_avg", "truncated_normal")
        True
    """
    return VarianceScaling(1.0, "fan_avg", "truncated_normal", "keras_glorot_normal")


@named
def keras_he_normal() -> Law:
    """Keras's `HeNormal`: truncated at 2 sigma, of variance 2 / fan_in.

    Example:
        >>> from gainstage import init
        >>> keras_he_normal() == init.variance_scaling(2.0, "fan_in", "truncated_normal")
        True
    """
    return VarianceScaling(2.0, "fan_in", "truncated_normal", "keras_he_normal")


@named
def keras_lecun_normal() -> Law:
    """Keras's `LecunNormal`: truncated at 2 sigma, of variance 1 / fan_in.

    Example:
        >>> from gainstage import init
        >>> keras_lecun_normal() == init.variance_scaling(1.0, "fan_in", "truncated_normal")
        True
    """
    return VarianceScaling(1.0, "fan_in", "truncated_normal", "keras_lecun_normal")


@named
def caffe_xavier_normal(gain: float = 1.0) -> Law:
    r"""Normal of variance $g^2 / f_\text{in}$: "Xavier" in Caffe and in Ng's course; the same as `lecun_normal`.

    Example:
        >>> from gainstage import init
        >>> caffe_xavier_normal() == init.lecun_normal()
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

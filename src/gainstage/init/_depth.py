"""Laws of deep residual networks: a fixed small scale, made smaller by the number of branches."""

from math import sqrt

from ._classical import he_normal
from ._law import Law, named
from ._numbers import number
from ._pointwise import Normal


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
    layers = number("n_layers, the number of transformer blocks,", n_layers, low=1)
    return Normal(0.0, number("sigma", sigma) / sqrt(2 * layers))


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
    branches = number("n_branches, the number of residual branches of fixup(),", n_branches, low=1)
    weights = number("n_weights, the weight layers in a branch of fixup(),", n_weights, low=2)
    return he_normal().scaled(branches ** (-1 / (2 * weights - 2)))

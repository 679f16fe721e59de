"""Layers whose weight is divided by its largest singular value, or split into a length and a direction."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn._errors import LayerError
from gainstage.nn.norm._axes import upcast
from gainstage.nn.norm._weight import Reweighted

_WARM_UP = 15  # iterations for a new layer, as in torch


class SpectralNorm(Reweighted):
    r"""A convolution or linear layer of Lipschitz constant about 1: its weight over its largest singular value.

    $$ \hat W = \frac{W}{\sigma(W)}, \qquad \sigma(W) = u^\top W v, \qquad
       u \leftarrow \frac{W v}{\lVert W v \rVert}, \quad v \leftarrow \frac{W^\top u}{\lVert W^\top u \rVert} $$

    $W$ is the weight as a matrix, an output channel a row. $u$ and $v$ are buffers; each training pass improves them by
    power iterations, which take no gradient. `torch.nn.utils.parametrizations.spectral_norm` as a module that can be
    copied, pickled and traced; for a convolution it bounds the matrix, not the map over the image.

    Args:
        layer: `nn.Linear`, `nn.Conv*d`, `nn.ConvTranspose*d`.
        n_power_iterations: for each training pass.
        eps: the least length that is divided by.

    Raises:
        LayerError: `layer` is another module, or `n_power_iterations` is below 1.

    Example:
        >>> layer = SpectralNorm(nn.Linear(8, 4), n_power_iterations=50)
        >>> _ = layer(torch.randn(2, 8))
        >>> round(torch.linalg.matrix_norm(layer.weight(), 2).item(), 3)
        1.0

    References:
        Miyato, Kataoka, Koyama, Yoshida, *Spectral Normalization for Generative Adversarial Networks*, ICLR 2018.
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Module, n_power_iterations: int = 1, eps: float = 1e-12) -> None:
        super().__init__(layer)
        if n_power_iterations < 1:
            raise LayerError(f"n_power_iterations is {n_power_iterations}, expected 1 or more for each training pass")
        self.n_power_iterations, self.eps = n_power_iterations, eps
        rows, columns = self._matrix().shape
        self.register_buffer("u", self.layer.weight.detach().new_empty(rows))
        self.register_buffer("v", self.layer.weight.detach().new_empty(columns))
        self._start()

    def reset_parameters(self) -> None:
        """Those of the layer, and `u` and `v` for them."""
        self.layer.reset_parameters()
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        """What `layer` takes and gives; while training, `u` and `v` are improved first."""
        if self.training:
            self._iterate(self.n_power_iterations)
        return super().forward(x)

    def weight(self) -> Tensor:
        """The weight that is used."""
        w, u, v = (upcast(t) for t in (self._matrix(), self.u.clone(), self.v.clone()))
        sigma = torch.dot(u, torch.mv(w, v))
        return (upcast(self.layer.weight) / sigma).to(self.layer.weight.dtype)

    def _matrix(self) -> Tensor:
        return self.layer.weight.movedim(self._output_axis(), 0).flatten(1)

    def _start(self) -> None:
        generator = torch.Generator().manual_seed(0)
        for vector in (self.u, self.v):
            vector.copy_(F.normalize(torch.randn(len(vector), generator=generator, device="cpu"), dim=0))
        self._iterate(_WARM_UP)

    @torch.no_grad()
    def _iterate(self, times: int) -> None:
        w = upcast(self._matrix())
        u, v = upcast(self.u), upcast(self.v)
        for _ in range(times):
            u = F.normalize(torch.mv(w, v), dim=0, eps=self.eps)
            v = F.normalize(torch.mv(w.t(), u), dim=0, eps=self.eps)
        self.u.copy_(u)
        self.v.copy_(v)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"n_power_iterations={self.n_power_iterations}, eps={self.eps}"


class WeightNorm(Reweighted):
    r"""A convolution or linear layer whose weight is a length times a direction, one of each for an output channel.

    $$ \hat W_o = g_o\, \frac{W_o}{\lVert W_o \rVert_2} $$

    At the start $g$ is the length of the weight: nothing changes. `torch.nn.utils.parametrizations.weight_norm` as a
    module that can be copied, pickled and traced.

    Args:
        layer: `nn.Linear`, `nn.Conv*d`, `nn.ConvTranspose*d`.
        dim: the axis of the weight that has a length each, 0 as in torch: outputs, or inputs of a transposed layer;
            None: one length for the whole weight.

    Raises:
        LayerError: `layer` is another module.

    Example:
        >>> linear = nn.Linear(8, 4)
        >>> before = linear.weight.detach().clone()
        >>> torch.allclose(WeightNorm(linear).weight(), before)
        True

    References:
        Salimans & Kingma, *Weight Normalization*, NeurIPS 2016.
    """

    def __init__(self, layer: nn.Module, dim: int | None = 0) -> None:
        super().__init__(layer)
        self.dim = dim
        self.g = nn.Parameter(self._length().detach().clone())

    def reset_parameters(self) -> None:
        """Those of the layer, and their lengths."""
        self.layer.reset_parameters()
        with torch.no_grad():
            self.g.copy_(self._length())

    def weight(self) -> Tensor:
        """The weight that is used."""
        return (upcast(self.layer.weight) * (upcast(self.g) / upcast(self._length()))).to(self.layer.weight.dtype)

    def _length(self) -> Tensor:
        w = upcast(self.layer.weight)
        axes = [k for k in range(w.dim()) if self.dim is None or k != self.dim % w.dim()]
        length: Tensor = torch.linalg.vector_norm(w, dim=axes, keepdim=True)
        return length.to(self.layer.weight.dtype)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"dim={self.dim}"

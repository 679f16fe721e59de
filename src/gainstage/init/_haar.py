"""Orthogonal matrices drawn evenly (Haar), by drawing the Householder vectors of a QR factorization directly.

The QR factorization of a normal matrix has reflections whose vectors are again normal, one shorter each time, and
independent (Stewart 1980). So there is nothing to factorize: draw the vectors, and multiply the reflections out, a
block at a time, with matrix products.
"""

import numpy as np
import torch
from torch import Tensor

from ._reference import Recipe
from ._stream import Stream
from ._write import draw

_BLOCK = 128  # reflections multiplied out at a time


def haar(rows: int, columns: int, stream: Stream) -> Tensor:
    """A matrix with orthonormal columns (or rows, if it is wide), float32 on the CPU.

    Args:
        rows: at least 1.
        columns: at least 1.
        stream: the normals: element `i * min + j` of the stream is entry `(i, j)` of the tall matrix of vectors.

    References:
        Stewart, *The efficient generation of random orthogonal matrices*, SIAM J. Numer. Anal. 17, 1980.
        Schreiber & Van Loan, *A storage-efficient WY representation for products of Householder transformations*, 1989.
    """
    tall, short = max(rows, columns), min(rows, columns)
    vectors = draw(
        Recipe("normal", (0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -torch.inf, torch.inf)), stream, (tall, short)
    ).tril_()
    signs = _reflect_(vectors)
    q = _product(vectors).mul_(signs)
    return q if rows >= columns else q.t().contiguous()


def _reflect_(g: Tensor) -> Tensor:
    """Turn each column g_j into v_j with (I - v v') g_j = -sign(g_jj) |g_j| e_j, in place; return these signs."""
    squares = torch.from_numpy(np.einsum("ij,ij->j", g.numpy(), g.numpy(), dtype=np.float64))
    first = g.diagonal().double()
    signs = torch.where(first < 0, 1.0, -1.0)
    first = first - signs * squares.sqrt()  # g_jj + sign(g_jj) |g_j|: no cancellation
    length = (squares - g.diagonal().double().square() + first.square()).div(2).sqrt()
    g.diagonal().copy_(first)
    g.div_(length.float())
    return signs.float()


def _product(v: Tensor) -> Tensor:
    """The first columns of H_0 H_1 ... H_{k-1} with H_j = I - v_j v_j'."""
    tall, short = v.shape
    q = torch.zeros(tall, short, dtype=torch.float32, device="cpu")
    q.diagonal().fill_(1.0)
    for start in reversed(range(0, short, _BLOCK)):
        block = v[start:, start : start + _BLOCK]
        rest = q[start:, start:]
        gram = block.double().t() @ block.double()
        # H_a ... H_b = I - V T V' with T^-1 + T^-T = V'V; the diagonal undoes the rounding of the lengths
        t = torch.linalg.inv(gram.triu(1) + torch.diag(gram.diagonal() / 2)).float()
        rest.addmm_(block, t @ (block.t() @ rest), alpha=-1.0)
    return q

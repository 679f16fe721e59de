"""Orthogonal matrices drawn evenly (Haar), by drawing the Householder vectors of a QR factorization directly.

The QR factorization of a normal matrix has reflections whose vectors are again normal, one shorter each time, and
independent (Stewart 1980). So there is nothing to factorize: draw the vectors, and multiply the reflections out, a
block at a time, with matrix products whose every sum has a fixed order (`_haar_cpu.py`).
"""

import torch
from torch import Tensor

from gainstage._memory import array_over

from ._reference import Recipe
from ._write import draw
from .streams import Stream

_NORMAL = Recipe("normal", (0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -torch.inf, torch.inf))


def haar(rows: int, columns: int, stream: Stream) -> Tensor:
    """A matrix with orthonormal columns (or rows, if it is wide), on the CPU in the stream's dtype.

    Its bits are a function of the shape and the stream: they change neither with the processor, its instruction set
    or the number of threads, nor with torch's matrix precision or autocast. They are those of version 2; version 1,
    before this promise, drew the same normals and multiplied them out in a library, so that its matrices agree with
    these to about 1e-6. float64 has normals of its own and is orthogonal to 1e-14; it agrees with float32 to 1e-6.

    Args:
        rows: at least 1.
        columns: at least 1.
        stream: the normals: element `i * min + j` of the stream is entry `(i, j)` of the tall matrix of vectors.

    References:
        Stewart, *The efficient generation of random orthogonal matrices*, SIAM J. Numer. Anal. 17, 1980.
        Schreiber & Van Loan, *A storage-efficient WY representation for products of Householder transformations*, 1989.
    """
    if stream.wide:  # numba is loaded when the first matrix is made
        from ._haar_double_cpu import multiply_out
    else:
        from ._haar_cpu import multiply_out

    vectors = draw(_NORMAL, stream, (max(rows, columns), min(rows, columns)))
    q = torch.empty(rows, columns, dtype=stream.dtype, device="cpu")
    memory = array_over(q)
    multiply_out(array_over(vectors), memory if rows >= columns else memory.T)
    return q

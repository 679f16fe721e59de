"""The two halves of a matrix: its singular value decomposition, whatever the matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage.init._halves_cpu import halves


def agree(matrix, rank=None):
    """Product, lengths and right angles to float32, against NumPy in float64; relative to the largest value."""
    rank = rank or len(matrix)
    left, right = halves(matrix, rank)
    assert left.shape == (len(matrix), rank)
    assert right.shape == (rank, len(matrix))
    assert left.dtype == right.dtype == np.float32
    left, right = left.astype(np.float64), right.astype(np.float64)
    u, s, vt = np.linalg.svd(matrix.astype(np.float64))
    near = 1e-6 * max(s[0], 1e-30)
    np.testing.assert_allclose(left @ right, (u[:, :rank] * s[:rank]) @ vt[:rank], atol=near * 4)
    for gram in (left.T @ left, right @ right.T):
        np.testing.assert_allclose(gram, np.diag(s[:rank]), atol=near)


@given(st.integers(1, 40), st.integers(0, 1000), st.floats(0, 3), st.floats(-2, 2))
@settings(max_examples=60, deadline=None)
def test_halves_of_noise_and_identity(n, seed, alpha, beta):
    noise = np.random.default_rng(seed).standard_normal((n, n))
    agree((alpha * noise / n**0.5 + beta * np.eye(n)).astype(np.float32))


def test_more_than_one_strip_and_thread():
    noise = np.random.default_rng(0).standard_normal((300, 300))
    agree((0.7 * noise / 300**0.5 + 0.7 * np.eye(300)).astype(np.float32))
    agree((0.7 * noise / 300**0.5 + 0.7 * np.eye(300)).astype(np.float32), rank=75)


RNG = np.random.default_rng(1)
SPECIAL = {
    "zero": np.zeros((9, 9)),
    "one": np.ones((9, 9)),
    "identity": np.eye(9),
    "mirror": -np.eye(9)[::-1],
    "nearly the identity": np.eye(60) + 1e-7 * RNG.standard_normal((60, 60)),
    "of rank 3": RNG.standard_normal((40, 3)) @ RNG.standard_normal((3, 40)),
    "diagonal": np.diag(np.linspace(-3, 5, 33)),
    "graded": np.diag(10.0 ** -np.arange(30)),
    "tiny": 1e-30 * RNG.standard_normal((20, 20)),
    "huge": 1e30 * RNG.standard_normal((20, 20)),
    "one by one": np.array([[-2.5]]),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_halves_of_special_matrices(name):
    matrix = SPECIAL[name].astype(np.float32)
    if name in ("of rank 3", "one"):  # equal (zero) values have no directions of their own: the product alone
        left, right = halves(matrix, len(matrix))
        np.testing.assert_allclose(left @ right, matrix, atol=2e-6 * np.abs(matrix).max() * len(matrix) ** 0.5)
    else:
        agree(matrix)


def test_every_rank_of_a_matrix_is_its_best_approximation():
    noise = RNG.standard_normal((12, 12)).astype(np.float32)
    for rank in range(1, 13):
        agree(noise, rank)

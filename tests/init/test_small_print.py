"""Facts that no other test of this room would miss: each was a one-line fault that survived (benchmarks/mutants.py)."""

import pytest
import torch
import torch.nn.functional as F

from gainstage import init
from gainstage.init import Fans, fans, gain


def test_axes_that_are_neither_in_nor_out_nor_batch_are_a_kernel() -> None:
    """A sum over 3 x 3 places and 8 channels; every input is read at 9 places by 16 channels."""
    assert fans((3, 3, 8, 16), in_axes=2, out_axes=3) == Fans(72, 144)
    assert fans((5, 3, 8, 16), in_axes=2, out_axes=3, batch_axes=0) == Fans(24, 48)


def test_prelu_starts_with_the_slope_that_torch_gives_it() -> None:
    """E[phi^2] = (1 + a^2) / 2 with a = 1/4."""
    assert torch.nn.PReLU().weight.item() == 0.25
    assert gain("prelu") == pytest.approx((2 / (1 + 0.25**2)) ** 0.5)
    assert gain("prelu") == pytest.approx(gain(lambda z: F.leaky_relu(z, 0.25)))


@pytest.mark.parametrize("factor", [0.5, 3.0])
@pytest.mark.parametrize("scale", ["singular", "fan_in"])
def test_a_gain_multiplies_a_delta_orthogonal_kernel(factor: float, scale: str) -> None:
    one, other = (
        init.fill_(torch.empty(16, 8, 3, 3), init.delta_orthogonal(g, scale=scale), name="w") for g in (1.0, factor)
    )
    torch.testing.assert_close(other, factor * one)
    centre = other[:, :, 1, 1]
    wanted = factor**2 * (2.0 if scale == "fan_in" else 1.0)
    torch.testing.assert_close(centre.T @ centre, wanted * torch.eye(8), atol=1e-5, rtol=1e-5)

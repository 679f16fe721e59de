"""Noise, patches, coupled channels and unscaled paths: distributions and refusals."""

import pytest
import torch

from gainstage.nn import LayerError
from gainstage.nn.drop import (
    DropPath,
    GaussianDropout,
    GaussianNoise,
    PatchDropout,
    drop_block,
    gaussian_dropout,
    patch_dropout,
)


def test_coupled_channels_share_their_blocks_at_the_asked_rate() -> None:
    generator = torch.Generator().manual_seed(0)
    y = drop_block(torch.ones(300, 4, 10, 10), 0.3, 3, couple_channels=True, generator=generator)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert abs((y == 0).float().mean() - 0.3) < 0.02
    ones = drop_block(torch.ones(300, 4, 2, 2), 0.3, 1, couple_channels=True, generator=generator)
    assert torch.equal(ones, ones[:, :1].expand_as(ones))


def test_a_path_that_is_not_scaled_is_kept_as_it_is() -> None:
    x = torch.randn(100, 3)
    y = DropPath(0.4, scale_by_keep=False, generator=torch.Generator().manual_seed(0))(x)
    kept = (y != 0).all(1)
    assert torch.equal(y[kept], x[kept])
    assert 40 < int(kept.sum()) < 80


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_gaussian_dropout_has_the_moments_of_dropout(p: float) -> None:
    """Mean 1 and variance p / (1 - p), as Keras has it; of 1e5 draws within 5 standard errors."""
    y = gaussian_dropout(torch.ones(100_000, dtype=torch.float64), p, generator=torch.Generator().manual_seed(0))
    variance = p / (1 - p)
    assert abs(y.mean() - 1) < 5 * (variance / 1e5) ** 0.5
    assert abs(y.var() / variance - 1) < 5 * (2 / 1e5) ** 0.5
    assert abs(((y - 1) ** 3).mean()) < 5 * (15 * variance**3 / 1e5) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_has_the_asked_standard_deviation(dtype: torch.dtype) -> None:
    layer = GaussianNoise(0.5, generator=torch.Generator().manual_seed(0))
    noise = layer(torch.full((100_000,), 2.0, dtype=dtype))
    assert noise.dtype == dtype
    assert abs(noise.double().mean() - 2) < 0.01
    assert abs(noise.double().std() - 0.5) < 0.01
    x = torch.ones(3)
    assert GaussianNoise(0.0)(x) is x


def test_what_noise_refuses() -> None:
    for make in (lambda: GaussianNoise(-1.0), lambda: GaussianNoise(float("inf")), lambda: GaussianDropout(1.0)):
        with pytest.raises(LayerError, match=r"expected a finite|p below 1"):
            make()


@pytest.mark.parametrize("ordered", [False, True])
def test_patch_dropout_keeps_the_prefix_and_every_token_equally_often(ordered: bool) -> None:
    x = torch.arange(12.0).expand(4000, 12)
    y = patch_dropout(x, 0.6, 2, ordered, generator=torch.Generator().manual_seed(0))
    assert y.shape == (4000, 2 + 4)
    assert torch.equal(y[:, :2], x[:, :2])
    assert all(len(set(row)) == 4 for row in y[:50, 2:].tolist())
    counts = torch.stack([(y[:, 2:] == token).sum() for token in range(2, 12)])
    assert ((counts - 1600).abs() < 5 * (4000 * 0.4 * 0.6) ** 0.5).all()
    assert torch.equal(y, y.sort(1).values) == ordered
    assert patch_dropout(x, 0.999, 2).shape == (4000, 3)


def test_what_patch_dropout_refuses() -> None:
    with pytest.raises(LayerError, match="no token would be left"):
        PatchDropout(1.0)
    with pytest.raises(LayerError, match="how many tokens always stay"):
        PatchDropout(0.5, -1)
    with pytest.raises(LayerError, match="more than 1"):
        PatchDropout(0.5)(torch.ones(2, 1, 3))

"""Orthogonal laws: exactly orthogonal, evenly distributed, isometric where they promise it."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gainstage import init


def fill(law, *shape, seed=0, name="w"):
    return init.fill_(torch.empty(shape), law, seed=seed, name=name).double()


def identity_error(w):
    gram = w.t() @ w if w.shape[0] >= w.shape[1] else w @ w.t()
    return float((gram - torch.eye(len(gram))).abs().max())


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (300, 300), (400, 130), (130, 400), (1, 7), (7, 1), (129, 128)])
def test_rows_or_columns_are_orthonormal(shape):
    assert identity_error(fill(init.orthogonal(), *shape)) < 2e-6


def test_as_orthogonal_as_torch():
    ours = torch.linalg.matrix_norm(fill(init.orthogonal(), 512, 512).t() @ fill(init.orthogonal(), 512, 512)
                                    - torch.eye(512))  # fmt: skip
    torchs = nn.init.orthogonal_(torch.empty(512, 512), generator=torch.Generator().manual_seed(0)).double()
    assert ours <= 1.05 * torch.linalg.matrix_norm(torchs.t() @ torchs - torch.eye(512))


def test_the_distribution_is_haar():
    """1000 matrices of SO(5) and its mirror image: E w^2 = 1/5, E w^4 = 3/35, both signs of the determinant.

    Thresholds are 6 standard errors; entries of one position over matrices are independent.
    """
    q = torch.stack([fill(init.orthogonal(), 5, 5, seed=s) for s in range(1000)])
    for power, expected in ((1, 0.0), (2, 1 / 5), (4, 3 / 35)):
        spread = (q**power).std(0) / 1000**0.5
        assert bool((((q**power).mean(0) - expected).abs() < 6 * spread).all())
    assert abs(float((torch.linalg.det(q) > 0).double().mean()) - 0.5) < 6 * 0.5 / 1000**0.5
    trace = q.diagonal(dim1=1, dim2=2).sum(1)  # E tr = 0, E tr^2 = 1
    assert abs(float(trace.square().mean()) - 1) < 6 * float(trace.square().std()) / 1000**0.5


@pytest.mark.parametrize("shape", [(64, 256), (256, 64), (100, 100), (32, 16, 3, 3)])
def test_scale_fan_in_keeps_the_mean_square(shape):
    w = fill(init.orthogonal(1.7, scale="fan_in"), *shape)
    assert float(w.square().mean()) == pytest.approx(1.7**2 / math.prod(shape[1:]), rel=1e-5)


def test_heads_are_independent_orthogonal_blocks():
    w = fill(init.orthogonal(heads=4), 32, 32)
    blocks = w.chunk(4)
    assert all(identity_error(b) < 1e-6 for b in blocks)
    assert torch.equal(blocks[2].float(), fill(init.orthogonal(), 8, 32, name="w[2]").float())


CONVOLUTIONS = [
    (nn.Conv1d(6, 9, 3, padding=1), (4, 6, 11)),
    (nn.Conv2d(8, 8, 5, padding=2), (4, 8, 9, 9)),
    (nn.Conv2d(8, 12, 3, padding=1, groups=4), (4, 8, 9, 9)),
    (nn.Conv3d(4, 4, 3, padding=1), (2, 4, 5, 5, 5)),
]


@pytest.mark.parametrize(("conv", "shape"), CONVOLUTIONS, ids=lambda x: type(x).__name__)
def test_delta_orthogonal_keeps_every_pixels_norm(conv, shape):
    init.fill_(conv.weight, init.delta_orthogonal(groups=conv.groups), name="w")
    nn.init.zeros_(conv.bias)
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(conv(x).square().sum(1), x.square().sum(1), rtol=1e-4, atol=1e-4)


def test_delta_orthogonal_with_a_stride_and_with_more_inputs():
    x = torch.randn(4, 8, 10, 10)
    strided = fill(init.delta_orthogonal(), 8, 8, 3, 3).float()
    y = F.conv2d(x, strided, stride=2, padding=1)
    torch.testing.assert_close(y.square().sum(1), x[:, :, ::2, ::2].square().sum(1), rtol=1e-4, atol=1e-4)
    narrow = fill(init.delta_orthogonal(), 5, 8, 3, 3)[:, :, 1, 1]
    assert identity_error(narrow) < 1e-6
    scaled = fill(init.delta_orthogonal(scale="fan_in"), 12, 5, 3, 3)[:, :, 1, 1]
    assert float(scaled.square().mean()) == pytest.approx(1 / 5, rel=1e-5)


ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_mirrored_network_is_a_linear_isometry(name):
    phi = ACTIVATIONS[name]
    layers = [fill(init.mirrored(columns=False), 64, 32, name="first")]
    layers += [fill(init.mirrored(), 64, 64, name=f"hidden{i}") for i in range(12)]
    last = fill(init.mirrored(rows=False), 32, 64, name="last")

    def network(x):
        for w in layers:
            x = phi(x @ w.t())
        return x @ last.t()

    x, y = torch.randn(2, 20, 32, dtype=torch.float64)
    torch.testing.assert_close(network(x).square().sum(1), x.square().sum(1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(network(2 * x - y), 2 * network(x) - network(y), rtol=1e-5, atol=1e-5)


def test_mirrored_hidden_layers_are_their_half():
    w = fill(init.mirrored(), 12, 8)
    half = w[:6, :4]
    assert torch.equal(w, torch.cat([torch.cat([half, -half], 1), torch.cat([-half, half], 1)]))
    z = torch.randn(5, 4, dtype=torch.float64)
    out = F.relu(torch.cat([z, -z], 1)) @ w.t()
    torch.testing.assert_close(out, torch.cat([z @ half.t(), -z @ half.t()], 1))


def test_mirrored_rectangles_keep_the_mean_square():
    """White noise of 50,000 samples: the mean square is known to 0.3 % at 3 sigma; 3 % is beyond 20."""
    z = torch.randn(50_000, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for rows, columns in ((80, 40), (20, 40), (40, 40)):
        w = fill(init.mirrored(), rows, columns)
        out = F.relu(torch.cat([z, -z], 1)) @ w.t()
        assert float(out.square().mean()) == pytest.approx(1, rel=0.03)
    for rows in (60, 10):
        assert float((z @ fill(init.mirrored(columns=False), rows, 20).t()).square().mean()) == pytest.approx(
            1, rel=0.03
        )


def test_mirrored_convolutions():
    first, last = fill(init.mirrored(columns=False), 16, 8, 3, 3), fill(init.mirrored(rows=False), 8, 16, 3, 3)
    hidden = fill(init.mirrored(), 16, 16, 3, 3, name="h")
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    y = F.conv2d(F.relu(F.conv2d(x, first, padding=1)), hidden, padding=1)
    y = F.conv2d(F.relu(y), last, padding=1)
    torch.testing.assert_close(y.square().sum(1), x.square().sum(1), rtol=1e-5, atol=1e-6)


def test_identity_and_dirac_are_torchs():
    assert torch.equal(fill(init.identity(), 5, 3), torch.eye(5, 3).double())
    for shape, groups in (((6, 4, 3), 1), ((6, 2, 5, 4), 3), ((4, 4, 3, 3, 3), 2)):
        expected = nn.init.dirac_(torch.empty(shape), groups)
        assert torch.equal(fill(init.dirac(groups), *shape).float(), expected)


CENTRED = [init.delta_orthogonal(), init.identity(), init.mirrored(rows=False), init.zero()]


@pytest.mark.parametrize("law", CENTRED, ids=str)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 6])
def test_the_middle_tap_reads_the_place_that_torchs_same_padding_centres(law, kernel):
    w = fill(law, 4, 4, kernel)
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    mixed = torch.einsum("oi,nip->nop", w.sum(-1), x)
    torch.testing.assert_close(F.conv1d(x, w, padding="same"), mixed)


def test_zero_is_the_papers_algorithm():
    assert torch.equal(fill(init.zero(), 4, 6), torch.eye(4, 6).double())
    w = fill(init.zero(), 8, 4)
    assert bool((w.abs() == 2 ** (-(3 - 1) / 2)).all())
    assert identity_error(w / w.norm(dim=0)) < 1e-6
    assert torch.linalg.matrix_rank(fill(init.zero(), 13, 7)) == 7
    assert torch.equal(fill(init.zero(), 6, 6, 3, 3)[:, :, 1, 1], torch.eye(6).double())


def test_sparse_has_its_zeros_in_every_column():
    w = fill(init.sparse(0.9, std=0.5), 100, 400)
    assert bool(((w == 0).sum(0) == 90).all())
    assert float(w[w != 0].std()) == pytest.approx(0.5, rel=0.06)
    assert float((w == 0).double().mean(1).std()) < 6 * (0.09 / 400) ** 0.5  # rows are hit evenly


def test_mimetic_products():
    """The paper's targets, alpha Z + beta I: the mean of the diagonal to 6 standard errors."""
    d = 128
    parts = {p: fill(init.mimetic(p, pair="attn"), d, d, name=p) for p in "qkvo"}
    qk, vo = parts["q"].t() @ parts["k"], parts["o"] @ parts["v"]
    for product, alpha, beta in ((qk, 0.7, 0.7), (vo, 0.4, -0.4)):
        assert abs(float(product.diagonal().mean()) - beta) < 6 * alpha / d
        off = product - torch.diag(product.diagonal())
        assert float(off.norm()) == pytest.approx(alpha * d**0.5, rel=0.05)
    heads = [fill(init.mimetic(p, 4, pair="attn"), d, d, name=p) for p in "qk"]
    assert float((heads[0][:32].t() @ heads[1][:32]).diagonal().mean()) > 0.3
    assert not torch.equal(parts["q"], fill(init.mimetic("q", pair="other"), d, d, name="q"))

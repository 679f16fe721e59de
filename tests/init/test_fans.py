"""Fans: the measured output variance on white input is what the law promises, for every kind of weight."""

import pytest
import torch
from torch import nn

from gainstage import init
from gainstage.init import Fans


def test_closed_forms():
    cases = {
        Fans(5, 3): nn.Linear(5, 3),
        Fans(4 * 9, 6 * 9): nn.Conv2d(4, 6, 3),
        Fans(2 * 9, 3 * 9): nn.Conv2d(4, 6, 3, groups=2),
        Fans(9, 9): nn.Conv2d(8, 8, 3, groups=8),
        Fans(4 * 16, 6 * 4): nn.Conv2d(4, 6, 4, stride=2),
        Fans(4 * 4, 6 * 16): nn.ConvTranspose2d(4, 6, 4, stride=2),
        Fans(4 * 1.5, 6 * 3): nn.ConvTranspose1d(4, 6, 3, stride=2),
        Fans(2 * 4, 3 * 16): nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2),
        Fans(35, 3): nn.Bilinear(5, 7, 3),
        Fans(1, 16): nn.Embedding(100, 16),
        Fans(32, 32): nn.MultiheadAttention(32, 4),
        Fans(20, 20): nn.LSTM(10, 20),
        Fans(21, 21): nn.GRUCell(10, 21),
    }
    for expected, module in cases.items():
        assert init.fans(module) == expected, module


def test_the_default_is_torchs_for_plain_weights():
    for shape in ((7, 5), (7, 5, 3), (7, 5, 3, 2), (7, 5, 3, 2, 4)):
        assert tuple(init.fans(shape)) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


CONVOLUTIONS = [
    (nn.Conv2d(48, 64, 3, groups=4), (8, 48, 24, 24)),
    (nn.Conv2d(256, 256, 3, groups=256), (8, 256, 24, 24)),
    (nn.Conv2d(32, 64, 4, stride=2, dilation=2), (8, 32, 40, 40)),
    (nn.Conv1d(64, 96, 5, dilation=3), (16, 64, 128)),
    (nn.Conv3d(16, 48, 3), (4, 16, 12, 12, 12)),
    (nn.ConvTranspose2d(64, 256, 4, stride=2, padding=3), (4, 64, 16, 16)),
    (nn.ConvTranspose2d(64, 128, 3, stride=2, padding=2), (8, 64, 33, 33)),
    (nn.ConvTranspose1d(64, 256, 4, stride=4), (16, 64, 64)),
    (nn.ConvTranspose2d(64, 64, 5, stride=2, groups=4, padding=4), (8, 64, 33, 33)),
    (nn.ConvTranspose2d(256, 256, 4, stride=2, groups=256, padding=3), (8, 256, 16, 16)),
    (nn.Linear(512, 1024), (256, 512)),
]


@pytest.mark.parametrize(("module", "shape"), CONVOLUTIONS, ids=lambda x: repr(x).split("(")[0] if x else "")
def test_output_variance_of_modules(module, shape):
    """1/fan_in keeps the mean square of white noise: within 3 %, the spread over seeds being below 0.6 % (5 sigma)."""
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    out = []
    for seed in range(4):
        init.fill_(module.weight, init.lecun_normal(), seed=seed, name="w", fans=init.fans(module))
        y = module(x).detach()
        inner = tuple(slice(2, n - 2) if n > 8 else slice(None) for n in y.shape[2:])
        out.append(float(y[(slice(None), slice(None), *inner)].square().mean()))
    assert sum(out) / len(out) == pytest.approx(1.0, rel=0.03)


def test_output_variance_of_bilinear():
    layer = nn.Bilinear(40, 50, 300, bias=False).requires_grad_(False)
    init.fill_(layer.weight, init.lecun_normal(), name="w", fans=init.fans(layer))
    a, b = torch.randn(2, 1000, 50, generator=torch.Generator().manual_seed(0))
    assert float(layer(a[:, :40], b).square().mean()) == pytest.approx(1.0, rel=0.03)


def test_output_variance_of_an_embedding():
    layer = nn.Embedding(2000, 256).requires_grad_(False)
    init.fill_(layer.weight, init.lecun_normal(), name="w", fans=init.fans(layer))
    assert float(layer(torch.arange(2000)).square().mean()) == pytest.approx(1.0, rel=0.03)


def test_packed_and_separate_projections_agree():
    """Torch's own Xavier makes a packed projection 0.7 times as wide as three separate ones."""
    d, law = 256, init.xavier_normal()
    packed = init.fill_(torch.empty(3 * d, d), init.blocks((law,) * 3), name="in_proj_weight")
    separate = init.fill_(torch.empty(d, d), law, name="q_proj_weight")
    assert float(packed.std()) == pytest.approx(float(separate.std()), rel=0.03)
    per_block = init.fill_(torch.empty(3 * d, d), law, name="w", fans=init.fans(nn.MultiheadAttention(d, 8)))
    assert float(per_block.std()) == pytest.approx(float(separate.std()), rel=0.03)


def test_rnn_gates():
    lstm = nn.LSTM(64, 64)
    init.fill_(lstm.weight_hh_l0, init.blocks((init.orthogonal(),) * 4), name="weight_hh_l0")
    h = torch.randn(1000, 64, generator=torch.Generator().manual_seed(0))
    for gate in lstm.weight_hh_l0.detach().chunk(4):
        assert float((h @ gate.t()).square().mean()) == pytest.approx(float(h.square().mean()), rel=1e-5)
        assert float(gate.std()) == pytest.approx(init.fans(lstm).fan_in ** -0.5, rel=0.01)


EINSUMS = [
    ("bd,hdk->bhk", (8, 512, 64), {"in_axes": 1, "out_axes": (0, 2)}, (256, 512)),
    ("bhk,hkd->bd", (8, 64, 512), {"in_axes": (0, 1), "out_axes": 2}, (512, 8, 64)),
    ("ebd,edf->ebf", (16, 128, 256), {"in_axes": 1, "out_axes": 2, "batch_axes": 0}, (16, 64, 128)),
    ("bhd,hde->bhe", (8, 64, 64), {"in_axes": -2, "out_axes": -1, "batch_axes": 0}, (512, 8, 64)),
]


@pytest.mark.parametrize(
    ("equation", "shape", "axes", "x_shape"), EINSUMS, ids=lambda x: x if isinstance(x, str) else ""
)
def test_output_variance_of_einsum_weights(equation, shape, axes, x_shape):
    w = init.fill_(torch.empty(shape), init.lecun_normal(), name="w", fans=init.fans(shape, **axes))
    x = torch.randn(x_shape, generator=torch.Generator().manual_seed(0))
    assert float(torch.einsum(equation, x, w).square().mean()) == pytest.approx(1.0, rel=0.03)


def test_fan_out_keeps_the_gradient():
    for module, shape in CONVOLUTIONS[:1] + CONVOLUTIONS[4:6]:
        weight = init.fill_(module.weight.detach().clone(), init.variance_scaling(1, "fan_out"), name="w",
                            fans=init.fans(module))  # fmt: skip
        copy = type(module)(module.in_channels, module.out_channels, module.kernel_size, module.stride,
                            groups=module.groups, bias=False)  # fmt: skip
        copy.weight.data = weight
        x = torch.randn(shape, requires_grad=True)
        y = copy(x)
        (g,) = torch.autograd.grad(y, x, torch.randn(y.shape, generator=torch.Generator().manual_seed(0)))
        inner = tuple(slice(3, n - 3) if n > 8 else slice(None) for n in g.shape[2:])
        assert float(g[(slice(None), slice(None), *inner)].square().mean()) == pytest.approx(1.0, rel=0.03)


def test_conv_weights_by_shape():
    weight = nn.ConvTranspose2d(64, 256, 4, stride=2).weight
    assert init.fans(weight, stride=2, transposed=True) == init.fans(nn.ConvTranspose2d(64, 256, 4, stride=2))
    assert init.fans(nn.Conv2d(8, 16, 3, groups=4).weight, groups=4) == init.fans(nn.Conv2d(8, 16, 3, groups=4))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: init.fans((5,)), "init.zeros()"),
        (lambda: init.fans(nn.ReLU()), "in_axes="),
        (lambda: init.fans((5, 4), in_axes=0, out_axes=0), "different axes"),
        (lambda: init.fans((5, 4), in_axes=7, out_axes=0), "no axis 7"),
        (lambda: init.fans((5, 4), in_axes=1), "different axes"),
    ],
)
def test_errors_say_what_to_write(call, words):
    with pytest.raises(init.CannotFill) as error:
        call()
    assert words in str(error.value)


def test_dilation_does_not_change_the_fans():
    assert init.fans(nn.Conv2d(4, 6, 3, dilation=2)) == init.fans(nn.Conv2d(4, 6, 3))

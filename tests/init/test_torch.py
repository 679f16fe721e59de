"""A drop-in superset of `torch.nn.init`: same names, same signatures, same numbers."""

import inspect
import warnings

import pytest
import torch
from torch import nn

from gainstage import init

NAMES = [n for n in nn.init.__all__ if n.endswith("_")]
CALLS = {
    "uniform_": ((6, 5), (-1.0, 2.0)),
    "normal_": ((6, 5), (0.5, 2.0)),
    "trunc_normal_": ((6, 5), (0.5, 2.0, -1.0, 1.0)),
    "constant_": ((6, 5), (0.3,)),
    "ones_": ((6, 5), ()),
    "zeros_": ((6, 5), ()),
    "eye_": ((6, 5), ()),
    "dirac_": ((6, 2, 3), (2,)),
    "xavier_uniform_": ((6, 5), (2.0,)),
    "xavier_normal_": ((6, 5), (2.0,)),
    "kaiming_uniform_": ((6, 5), (0.1, "fan_out", "tanh")),
    "kaiming_normal_": ((6, 5), (0.1, "fan_in", "leaky_relu")),
    "orthogonal_": ((6, 5), (2.0,)),
    "sparse_": ((6, 5), (0.5,)),
}


def test_every_name_is_covered():
    assert set(NAMES) == set(CALLS)
    assert hasattr(init, "calculate_gain")


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_begins_with_torchs(name):
    theirs = list(inspect.signature(getattr(nn.init, name)).parameters.values())
    ours = list(inspect.signature(getattr(init, name)).parameters.values())
    assert [(p.name, p.default, p.kind) for p in theirs] == [(p.name, p.default, p.kind) for p in ours[: len(theirs)]]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])


@pytest.mark.parametrize("name", NAMES)
def test_the_same_manual_seed_gives_the_same_numbers(name):
    shape, arguments = CALLS[name]
    drawn = []
    for module in (nn.init, init):
        torch.manual_seed(3)
        w = torch.empty(shape)
        assert getattr(module, name)(w, *arguments) is w
        drawn.append((w, torch.rand(3)))  # and the generator ends in the same state
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])


@pytest.mark.parametrize("name", [n for n in NAMES if "generator" in inspect.signature(getattr(nn.init, n)).parameters])
def test_the_same_generator_gives_the_same_numbers(name):
    shape, arguments = CALLS[name]
    drawn = []
    for module in (nn.init, init):
        torch.manual_seed(0)  # sparse_ permutes with the global generator
        generator = torch.Generator().manual_seed(5)
        drawn.append(getattr(module, name)(torch.empty(shape), *arguments, generator=generator))
    assert torch.equal(*drawn)


def test_aliases():
    assert init.he_normal_ is init.kaiming_normal_
    assert init.he_uniform_ is init.kaiming_uniform_
    assert init.glorot_normal_ is init.xavier_normal_
    assert init.glorot_uniform_ is init.xavier_uniform_


def test_zero_size_stays_a_no_op_with_torchs_warning():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        init.kaiming_normal_(torch.empty(0, 4))
    assert caught


@pytest.mark.parametrize("nonlinearity", ["gelu", "silu", "mish", "elu", "hardswish", "prelu"])
def test_kaiming_for_what_torch_refuses(nonlinearity):
    with pytest.raises(ValueError, match="Unsupported"):
        nn.init.kaiming_normal_(torch.empty(4, 4), nonlinearity=nonlinearity)
    for function in (init.kaiming_normal_, init.kaiming_uniform_):
        for mode, fan in (("fan_in", 400), ("fan_out", 600)):
            torch.manual_seed(0)
            w = function(torch.empty(600, 400), mode=mode, nonlinearity=nonlinearity)
            assert float(w.std()) == pytest.approx(init.gain(nonlinearity) / fan**0.5, rel=0.02)
    with pytest.raises(ValueError, match="fan_in"):
        init.kaiming_normal_(torch.empty(4, 4), mode="fan", nonlinearity="gelu")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_orthogonal_in_half_precision(dtype):
    w = init.orthogonal_(torch.empty(64, 32, dtype=dtype), gain=2.0).float()
    assert float((w.t() @ w - 4 * torch.eye(32)).abs().max()) < 0.1


OURS = [
    ("lecun_normal_", (64, 32), ()),
    ("lecun_uniform_", (64, 32), ()),
    ("variance_scaling_", (64, 32), (2.0, "fan_avg", "uniform")),
    ("truncated_normal_", (64, 32), (0.0, 0.02)),
    ("small_normal_", (64, 32), ()),
    ("scaled_normal_", (64, 32), (12,)),
    ("gpt2_residual_", (64, 32), (12,)),
    ("fixup_", (64, 32), (16,)),
    ("orthogonal_", (64, 32), ()),
    ("delta_orthogonal_", (64, 32, 3, 3), ()),
    ("mirrored_", (64, 32), ()),
    ("identity_", (64, 32), (0.5,)),
    ("zero_", (64, 32), ()),
]


@pytest.mark.parametrize(("name", "shape", "arguments"), OURS)
def test_what_torch_lacks_draws_from_torchs_generator(name, shape, arguments):
    function = getattr(init, name)
    torch.manual_seed(1)
    first, second = (function(torch.empty(shape, dtype=torch.bfloat16), *arguments) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(first, function(torch.empty(shape, dtype=torch.bfloat16), *arguments))
    assert torch.equal(first, second) == (name in ("identity_", "zero_"))
    if "generator" in inspect.signature(function).parameters:
        a, b = (function(torch.empty(shape), *arguments, generator=torch.Generator().manual_seed(9)) for _ in range(2))
        assert torch.equal(a, b)


def test_mimetic_fills_the_projections_of_one_layer():
    q, k, v, o = (torch.empty(32, 32) for _ in range(4))
    init.mimetic_(q, k, v, o, heads=2)
    assert float((o @ v).diagonal().mean()) < -0.2
    assert float((q.t() @ k).diagonal().mean()) > 0.2

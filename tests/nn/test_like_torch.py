"""Layers that share a name with torch's compute, keep, report and refuse what torch's do.

The inputs are those of torch's own `test_modules`, and further ones for what it leaves out.
"""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.testing._internal.common_modules import module_db

import gainstage.nn as gs_nn

DTYPES = [torch.float64, torch.float32]
SHARED = {info.module_cls.__name__: info for info in module_db if hasattr(gs_nn, info.module_cls.__name__)}
ASKED = [
    pytest.param(name, training, dtype, id=f"{name}-{'train' if training else 'eval'}-{dtype}")
    for name in SHARED
    for training in (True, False)
    for dtype in DTYPES
]


def pair(name: str, *args: object, **kwargs: object) -> tuple[nn.Module, nn.Module]:
    """Ours and torch's, with the parameters of torch's, moved away from where they start."""
    theirs = getattr(nn, name)(*args, **kwargs)
    with torch.no_grad():
        for tensor in [*theirs.parameters(), *theirs.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)))
    mine = getattr(gs_nn, name)(*args, **kwargs)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def outcome(layer: nn.Module, *args: Tensor, **kwargs: object) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Output, gradients and buffers of one call."""
    args = tuple(arg.detach().clone().requires_grad_() for arg in args)
    output = layer(*args, **kwargs)
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    gradients = torch.autograd.grad((output * weight).sum(), [*args, *layer.parameters()])
    return output, list(gradients), list(layer.buffers())


@pytest.mark.parametrize(("name", "training", "dtype"), ASKED)
def test_the_inputs_of_torchs_battery_give_what_torch_gives(name: str, training: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    info = SHARED[name]
    inputs = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)
    assert len(inputs) >= 2
    for each in inputs:
        how = each.constructor_input
        mine, theirs = (
            pair(name, *how.args, **how.kwargs, dtype=dtype) if "Local" not in name else pair(name, *how.args)
        )
        assert repr(mine) == repr(theirs)
        assert list(mine.state_dict()) == list(theirs.state_dict())
        mine.train(training)
        theirs.train(training)
        got = outcome(mine, *each.forward_input.args, **each.forward_input.kwargs)
        expected = outcome(theirs, *each.forward_input.args, **each.forward_input.kwargs)
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", [name for name, info in SHARED.items() if info.module_error_inputs_func])
def test_the_errors_of_torchs_battery_are_raised_here_too(name: str) -> None:
    info = SHARED[name]
    given = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": True}
    for each in info.module_error_inputs_func(info, **given):
        how, asked = each.module_error_input.constructor_input, each.module_error_input.forward_input
        with pytest.raises(each.error_type):
            getattr(gs_nn, name)(*how.args, **how.kwargs)(*asked.args, **asked.kwargs)


WRONG = {
    "BatchNorm1d": [((4,), (2, 4, 3, 3)), ((4,), (2, 3)), ((4,), (1, 4))],
    "BatchNorm2d": [((4,), (2, 4, 3)), ((4,), (2, 3, 2, 2)), ((4,), (1, 4, 1, 1))],
    "BatchNorm3d": [((4,), (2, 4, 3, 3)), ((4,), (2, 3, 2, 2, 2))],
    "InstanceNorm1d": [((4,), (2, 4, 3, 3)), ((4,), (2, 4, 1))],
    "InstanceNorm2d": [((4,), (2, 4)), ((4,), (2, 4, 1, 1))],
    "GroupNorm": [((3, 4), (2, 4, 3)), ((2, 4), (2, 6, 3)), ((4, 4), (1, 4)), (("2", 4), (2, 4))],
    "RMSNorm": [((4,), (2, 5))],
    "LayerNorm": [((4,), (2, 5))],
    "Dropout": [((-0.1,), (2,)), ((1.1,), (2,)), (("0.5",), (2,)), ((None,), (2,))],
    "Dropout1d": [((0.5,), (2,)), ((0.5,), (2, 3, 4, 5)), ((2,), (2, 3, 4))],
    "AlphaDropout": [((-0.1,), (2,))],
    "FeatureAlphaDropout": [((0.5,), (2,)), ((1.5,), (2, 3))],
}


@pytest.mark.parametrize("name", WRONG)
def test_where_torch_refuses_the_error_is_one_of_ours_and_of_torchs_kind(name: str) -> None:
    for args, shape in WRONG[name]:
        with pytest.raises((ValueError, TypeError, RuntimeError)) as theirs:
            getattr(nn, name)(*args)(torch.randn(shape))
        with pytest.raises(type(theirs.value)):
            getattr(gs_nn, name)(*args)(torch.randn(shape))


CHANNELWISE = {"Dropout1d": (40, 50, 3), "Dropout2d": (40, 50, 2, 2), "Dropout3d": (40, 50, 2, 2, 2)}
DROPOUTS = {"Dropout": (40, 50), "AlphaDropout": (40, 50), "FeatureAlphaDropout": (40, 50, 3)} | CHANNELWISE


@pytest.mark.parametrize("name", DROPOUTS)
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("generator", [False, True])
def test_a_dropout_in_place_is_the_one_that_is_not(name: str, p: float, generator: bool) -> None:
    x = torch.randn(DROPOUTS[name], generator=torch.Generator().manual_seed(0))
    outputs = []
    for inplace in (False, True):
        torch.manual_seed(3)
        given = torch.Generator().manual_seed(4) if generator else None
        layer, own = getattr(gs_nn, name)(p, inplace, generator=given), x.clone()
        output = layer(own)
        assert (output is own) == (inplace or p == 0)
        assert repr(getattr(gs_nn, name)(p, inplace)) == f"{name}(p={p:g}{', inplace=True' * inplace})"
        outputs.append(output)
    torch.testing.assert_close(*outputs)
    if p == 1:
        assert not outputs[0].any()


@pytest.mark.parametrize("name", DROPOUTS)
def test_a_dropout_in_place_passes_the_gradient(name: str) -> None:
    leaf = torch.randn(DROPOUTS[name], requires_grad=True)
    output = getattr(gs_nn, name)(0.5, True, generator=torch.Generator().manual_seed(0))(leaf * 1.0)
    plain = getattr(gs_nn, name)(0.5, False, generator=torch.Generator().manual_seed(0))(leaf * 1.0)
    torch.testing.assert_close(*(torch.autograd.grad(y.sum(), leaf)[0] for y in (output, plain)))


@pytest.mark.parametrize("name", CHANNELWISE)
def test_channels_are_dropped_where_torch_drops_them(name: str) -> None:
    """Also for the shapes without a batch, and for three axes in `Dropout2d`."""
    for shape in (CHANNELWISE[name], CHANNELWISE[name][:3] if name == "Dropout2d" else CHANNELWISE[name][1:]):
        with pytest.warns() if (name, len(shape)) == ("Dropout2d", 3) else pytest.MonkeyPatch.context():
            theirs = getattr(nn, name)(0.5)(torch.ones(shape))
        mine = getattr(gs_nn, name)(0.5)(torch.ones(shape))
        for axis in range(len(shape)):
            assert alike_along(mine, axis) == alike_along(theirs, axis)


def alike_along(x: Tensor, axis: int) -> bool:
    return bool((x == x.narrow(axis, 0, 1)).all())


def test_a_channel_of_feature_alpha_dropout_is_dropped_whole_and_the_moments_stay() -> None:
    x = torch.randn(200, 100, 4, generator=torch.Generator().manual_seed(0))
    y = gs_nn.FeatureAlphaDropout(0.3, generator=torch.Generator().manual_seed(1))(x)
    dropped = y == y.flatten().mode().values  # the one value that occurs again
    assert torch.equal(dropped.all(-1), dropped.any(-1))
    assert abs(dropped.all(-1).float().mean() - 0.3) < 0.02
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.03


def test_a_group_norm_without_bias_learns_its_weight_alone() -> None:
    mine, theirs = pair("GroupNorm", 2, 6, bias=False)
    assert mine.bias is None
    x = torch.randn(3, 6, 4).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(mine(x), theirs(x))


MAKES = [lambda: nn.Linear(6, 4), lambda: nn.Conv2d(3, 4, 2), lambda: nn.ConvTranspose1d(3, 4, 2)]


@pytest.mark.parametrize("make", MAKES)
def test_spectral_and_weight_normalization_are_torchs_parametrizations(make) -> None:
    torch.manual_seed(0)
    layer = make().double()
    shape = (5, 6) if isinstance(layer, nn.Linear) else (2, 3, *[5] * (layer.weight.dim() - 2))
    x = torch.randn(shape, dtype=torch.float64)
    theirs = parametrizations.spectral_norm(copy.deepcopy(layer), n_power_iterations=2)
    mine = gs_nn.SpectralNorm(copy.deepcopy(layer), n_power_iterations=2)
    inside = theirs.parametrizations.weight[0]
    mine.u.copy_(inside._u)
    mine.v.copy_(inside._v)
    for _ in range(3):
        torch.testing.assert_close(mine(x), theirs(x))
    got, expected = (
        torch.autograd.grad(m(x).square().sum(), w)[0]
        for m, w in ((mine, mine.layer.weight), (theirs, theirs.parametrizations.weight.original))
    )
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(mine.eval()(x), theirs.eval()(x))

    for dim in (0, 1, None):
        theirs, mine = parametrizations.weight_norm(copy.deepcopy(layer), dim=dim), gs_nn.WeightNorm(layer, dim)
        with torch.no_grad():
            theirs.parametrizations.weight.original0.mul_(1.5)
            mine.g.mul_(1.5)
        torch.testing.assert_close(mine(x), theirs(x))


def test_a_new_spectral_normalization_divides_by_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    layer = gs_nn.SpectralNorm(nn.Linear(20, 10)).eval()
    assert abs(torch.linalg.matrix_norm(layer.weight(), 2).item() - 1) < 0.15
    state = copy.deepcopy(layer.state_dict())
    layer.reset_parameters()
    assert abs(torch.linalg.matrix_norm(layer.weight(), 2).item() - 1) < 0.15
    assert not torch.equal(layer.layer.weight, state["layer.weight"])


def test_a_reset_weight_normalization_is_the_layer_again() -> None:
    layer = gs_nn.WeightNorm(nn.Linear(20, 10))
    layer.reset_parameters()
    torch.testing.assert_close(layer.weight(), layer.layer.weight)

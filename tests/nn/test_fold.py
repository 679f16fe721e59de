import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gainstage.nn import (
    AccumulatedBatchNorm,
    BatchNorm,
    BatchRenorm,
    FrozenBatchNorm,
    GhostBatchNorm,
    LayerError,
    fold_batchnorm,
    fold_conv_bn,
)


def lived(norm: nn.Module, seed: int = 0) -> nn.Module:
    """A normalization whose every number is its own, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, low in (("weight", -1.5), ("bias", -1.0), ("running_mean", -2.0), ("running_var", 0.1)):
            tensor = getattr(norm, name)
            if tensor is not None:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 3 + low)
    return norm.eval()


CONVS = {
    1: (nn.Conv1d, nn.ConvTranspose1d, nn.BatchNorm1d),
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d),
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.sampled_from([1, 2, 3]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_any_convolution_gives_the_output_of_the_pair(dims, transposed, groups, bias, affine, stride, wider) -> None:
    torch.manual_seed(0)
    straight, transpose, norm_class = CONVS[dims]
    made = (transpose if transposed else straight)(6, 6 * wider, 3, stride, padding=1, groups=groups, bias=bias)
    conv, norm = made.double(), lived(norm_class(6 * wider, affine=affine)).double()
    x = torch.randn(2, 6, *[5, 4, 3][:dims], dtype=torch.float64)
    before = copy.deepcopy((conv.state_dict(), norm.state_dict()))
    folded = fold_conv_bn(conv, norm)
    assert torch.allclose(folded(x), norm(conv(x)), rtol=1e-10, atol=1e-10)
    assert type(folded) is type(conv)
    for old, module in zip(before, (conv, norm), strict=True):
        assert all(torch.equal(value, old[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("kind", [BatchNorm, GhostBatchNorm, BatchRenorm, FrozenBatchNorm, nn.SyncBatchNorm])
def test_a_linear_layer_and_every_kind_of_batch_normalization(kind) -> None:
    linear, norm = nn.Linear(5, 4), lived(kind(4))
    x = torch.randn(7, 5)
    assert torch.allclose(fold_conv_bn(linear, norm)(x), norm(linear(x)), atol=1e-5)
    accumulated = lived(AccumulatedBatchNorm(4, micro_batches=2))
    assert torch.allclose(fold_conv_bn(linear, accumulated)(x), accumulated(linear(x)), atol=1e-5)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "circular", "replicate"])
def test_padding_comes_before_and_stays(padding_mode) -> None:
    conv, norm = nn.Conv2d(3, 4, 3, padding=1, padding_mode=padding_mode, dilation=1), lived(nn.BatchNorm2d(4))
    x = torch.randn(2, 3, 6, 6)
    assert torch.allclose(fold_conv_bn(conv, norm)(x), norm(conv(x)), atol=1e-5)


def test_the_weight_keeps_dtype_and_is_rounded_once() -> None:
    conv, norm = nn.Conv2d(3, 4, 3).bfloat16(), lived(nn.BatchNorm2d(4))
    folded = fold_conv_bn(conv, norm)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).double()
    exact = conv.weight.double() * scale.reshape(-1, 1, 1, 1)
    assert folded.weight.dtype == folded.bias.dtype == torch.bfloat16
    assert torch.equal(folded.weight, exact.bfloat16())


@pytest.mark.parametrize(
    ("conv", "norm", "says"),
    [
        (nn.Embedding(3, 4), nn.BatchNorm1d(4), "got Embedding"),
        (nn.Conv1d(3, 4, 1), nn.LayerNorm(4), "got LayerNorm"),
        (nn.Conv1d(3, 4, 1), nn.InstanceNorm1d(4, track_running_stats=True), "got InstanceNorm1d"),
        (nn.Conv1d(3, 4, 1), nn.BatchNorm1d(5), "gives 4 channels and the normalization takes 5"),
        (nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4, track_running_stats=False), "no running statistics"),
        (nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 1)), nn.BatchNorm1d(4), "ParametrizedConv1d"),
        (nn.utils.spectral_norm(nn.Conv1d(3, 4, 1)), nn.BatchNorm1d(4), "hooks"),
    ],
)
def test_what_cannot_be_folded_says_why(conv, norm, says) -> None:
    with pytest.raises(LayerError, match=says):
        fold_conv_bn(conv, norm)


class Block(nn.Module):
    """Pairs in the order of execution, not of registration; a skip; a head without normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.BatchNorm2d(4)])
        self.b, self.a = nn.ConvTranspose2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.head = nn.Linear(4, 2)
        self.last = nn.BatchNorm1d(2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        h = F.relu_(self.norms[2](self.a(x)))
        h = h + self.norms[0](self.b(F.relu(self.norms[1](h))))
        return {"y": self.last(self.head(h.mean((2, 3))))}


def test_a_model_is_folded_by_how_it_runs() -> None:
    torch.manual_seed(0)
    model = Block()
    for i, module in enumerate([*model.norms, model.last]):
        lived(module, seed=i)
    x = torch.randn(4, 3, 6, 6)
    model.train()
    before = copy.deepcopy(model.state_dict())
    folded = fold_batchnorm(model, x)
    assert [type(m).__name__ for m in folded.norms] == ["Identity", "BatchNorm2d", "Identity"]
    assert type(folded.last) is nn.Identity
    assert not folded.training
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    other = torch.randn(9, 3, 6, 6)
    assert torch.allclose(folded(other)["y"], model.eval()(other)["y"], atol=1e-5)


class Read(nn.Module):
    """The output of a layer is read beside its normalization, or changed in between, or the layer is used twice."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.conv, self.norm, self.other = how, nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.how == "three axes":  # the channels of a linear layer are the last axis then, not the second
            return self.norm(self.conv(x[:, None].expand(-1, 3, -1)))
        h = self.conv(x)
        if self.how == "beside, by almost nothing":
            return self.norm(h) + 1e-12 * h
        if self.how == "in place":
            return self.norm(h.relu_())
        if self.how == "by two":
            return self.norm(h) + self.other(self.conv(x + 1))
        if self.how == "returned":
            return self.norm(h), h
        if self.how == "a view":
            return self.norm(h.view_as(h))
        return self.norm(self.norm(h))


@pytest.mark.parametrize(
    "how", ["beside, by almost nothing", "in place", "by two", "returned", "a view", "three axes", "normalized twice"]
)
def test_pairs_that_are_none_are_not_folded(how) -> None:
    model = Read(how)
    lived(model.norm)
    with pytest.raises(LayerError, match="nothing to fold"):
        fold_batchnorm(model, torch.randn(6, 3))


def test_a_shape_that_is_looked_at_is_not_read() -> None:
    class Looks(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self[0](x)
            return self[1](h) * h.shape[1] * h.size(0)

    assert type(fold_batchnorm(Looks(nn.Linear(3, 3), nn.BatchNorm1d(3)), torch.randn(6, 3))[1]) is nn.Identity


def test_a_model_that_reads_the_weights_themselves_is_refused() -> None:
    class Peeks(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[1](self[0](x)) * self[0].weight.norm()

    with pytest.raises(LayerError, match="folding '1' into '0' changes the output"):
        fold_batchnorm(Peeks(nn.Linear(3, 3), lived(nn.BatchNorm1d(3))), torch.randn(6, 3))


def test_preactivation_blocks_fold_only_where_the_skip_reads_nothing() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.n1, self.c1, self.n2, self.c2 = (
                lived(nn.BatchNorm1d(4)), nn.Conv1d(4, 4, 1), lived(nn.BatchNorm1d(4)), nn.Conv1d(4, 4, 1)
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.c2(self.n2(self.c1(self.n1(x).relu())).relu())

    model, x = nn.Sequential(nn.Conv1d(2, 4, 1), Block(), Block()), torch.randn(5, 2, 3)
    folded = fold_batchnorm(model, x)
    kinds = [type(m).__name__ for m in folded.modules()]
    assert (kinds.count("Identity"), kinds.count("BatchNorm1d")) == (2, 2)
    assert torch.allclose(folded(x), model.eval()(x), atol=1e-5)


def test_a_model_of_half_precision_is_compared_in_full() -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 1), lived(nn.BatchNorm1d(4))).bfloat16()
    x = torch.randn(5, 2, 3, dtype=torch.bfloat16)
    folded = fold_batchnorm(model, x)
    assert folded[0].weight.dtype == torch.bfloat16
    assert torch.allclose(folded(x), model.eval()(x), rtol=0.05, atol=0.05)


def test_a_pair_that_is_used_twice_is_folded_and_ties_are_broken_for_it_alone() -> None:
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Linear(3, 3), lived(nn.BatchNorm1d(3)))
    model = nn.Sequential(pair, nn.Tanh(), pair, nn.Linear(3, 3))
    model[3].weight = pair[0].weight
    x = torch.randn(5, 3)
    folded = fold_batchnorm(model, x)
    assert folded[0][0] is folded[2][0]
    assert type(folded[0][1]) is nn.Identity
    assert torch.equal(folded[3].weight, model[3].weight)
    assert torch.allclose(folded(x), model.eval()(x), atol=1e-5)


def test_inputs_may_be_a_tuple_or_a_dict() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv1d(2, 3, 1), lived(nn.BatchNorm1d(3))

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(a - b))

    a, b = torch.randn(2, 2, 4), torch.randn(2, 2, 4)
    model = Two()
    for example in ((a, b), {"b": b, "a": a}):
        assert torch.allclose(fold_batchnorm(model, example)(a, b), model.eval()(a, b), atol=1e-6)

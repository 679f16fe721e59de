import copy
import pickle

import pytest
import torch
from torch import nn

from gainstage.nn import (
    BatchNorm,
    BatchRenorm,
    DyT,
    FrozenBatchNorm,
    GhostBatchNorm,
    GroupNorm,
    LayerError,
    RMSNorm,
    convert_norm,
)


def network(**how) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8, eps=1e-3, momentum=0.3, **how)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Conv2d(8, 8, 3), BatchNorm(8), norm)
    for _ in range(5):
        model(torch.randn(6, 3, 8, 8) * 2 + 1)
    if norm.affine:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
        norm.bias.requires_grad_(False)
    return model.eval()


X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("to", "kind"),
    [("frozen", FrozenBatchNorm), ("ghost", GhostBatchNorm), ("renorm", BatchRenorm), ("sync", nn.SyncBatchNorm)],
)
@pytest.mark.parametrize("affine", [True, False])
def test_in_evaluation_the_output_is_the_same(to, kind, affine) -> None:
    model = network(affine=affine)
    new = convert_norm(model, to)
    assert torch.allclose(new(X), model(X), rtol=1e-5, atol=1e-5)
    assert [type(new[i]) for i in (1, 4, 5)] == [kind] * 3
    assert type(model[1]) is nn.BatchNorm2d
    assert new[1] is new[5]
    assert not new[1].training
    assert new[1].eps == 1e-3
    pickle.loads(pickle.dumps(new))
    if to != "frozen":
        assert new[1].momentum == 0.3
        assert new[1].num_batches_tracked == model[1].num_batches_tracked


def test_nothing_is_shared_with_the_model() -> None:
    model = network()
    for to in ("frozen", "ghost", "group"):
        new = convert_norm(model, to, **({"num_groups": 2} if to == "group" else {}))
        ours = {t.data_ptr() for t in [*new.parameters(), *new.buffers()]}
        assert not ours & {t.data_ptr() for t in [*model.parameters(), *model.buffers()]}


def test_parameters_keep_values_names_ties_and_what_is_trained() -> None:
    model = network()
    model[4].weight = model[1].weight
    new = convert_norm(model, "group", num_groups=4)
    assert isinstance(new[1], GroupNorm)
    assert (new[1].num_groups, new[1].num_channels, new[1].eps) == (4, 8, 1e-3)
    assert new[4].weight is new[1].weight
    old = dict(model.named_parameters())
    assert [name for name, _ in new.named_parameters()] == list(old)
    for name, parameter in new.named_parameters():
        assert torch.equal(parameter, old[name])
        assert parameter.requires_grad == old[name].requires_grad


def test_a_group_of_one_channel_of_one_position_is_the_formula() -> None:
    norm = nn.BatchNorm1d(6)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = torch.randn(5, 6, 7)
    new = convert_norm(norm, "group", num_groups=3)
    parts = x.reshape(5, 3, 14)
    z = (parts - parts.mean(-1, keepdim=True)) / (parts.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    expected = z.reshape(5, 6, 7) * norm.weight[:, None] + norm.bias[:, None]
    assert torch.allclose(new(x), expected, atol=1e-5)


def test_frozen_is_constant_in_training_and_loads_the_state_of_the_old() -> None:
    model = network()
    new = convert_norm(model, "frozen")
    state = copy.deepcopy(new.state_dict())
    assert torch.allclose(new.train()(X), model(X), atol=1e-5)
    assert all(torch.equal(value, state[name]) for name, value in new.state_dict().items())
    other = convert_norm(network(), "frozen")
    for module in (other[1], other[4]):
        module.running_mean.zero_()
    other.load_state_dict(model.state_dict())  # num_batches_tracked included
    assert torch.allclose(other(X), model(X), atol=1e-5)


def test_renorm_goes_on_training_where_the_batches_are_as_before() -> None:
    """With wide limits, training computes what evaluation computes."""
    model = network()
    new = convert_norm(model, "renorm", r_max=1e6, d_max=1e6, warmup=0, r_steps=1, d_steps=1).train()
    assert torch.allclose(new[1](model[0](X)), model[1](model[0](X)), atol=1e-4)


def test_rms_and_dyt_keep_weight_and_dtype() -> None:
    norm = nn.LayerNorm(6, eps=1e-3, dtype=torch.float64)
    nn.init.uniform_(norm.weight, 0.5, 2)
    x = torch.randn(5, 6, dtype=torch.float64)
    x -= x.mean(-1, keepdim=True)
    rms = convert_norm(nn.Sequential(norm), "rms")[0]
    assert isinstance(rms, RMSNorm)
    assert torch.allclose(rms(x), norm(x), atol=1e-10)  # equal where the mean is 0
    nn.init.uniform_(norm.bias)
    dyt = convert_norm(nn.Sequential(norm), "dyt", alpha_init=0.7)[0]
    assert isinstance(dyt, DyT)
    assert dyt.alpha.dtype == torch.float64
    assert torch.allclose(dyt(x), torch.tanh(0.7 * x) * norm.weight + norm.bias)
    plain = convert_norm(nn.LayerNorm(6, elementwise_affine=False), "dyt")
    assert [name for name, p in plain.named_parameters() if p.requires_grad] == ["alpha"]
    assert torch.allclose(plain(x.float()), torch.tanh(0.5 * x.float()))


def hooked() -> nn.Module:
    norm = nn.BatchNorm1d(4)
    norm.register_forward_hook(lambda *_: None)
    return norm


def biased() -> nn.LayerNorm:
    norm = nn.LayerNorm(4)
    nn.init.ones_(norm.bias)
    return norm


REFUSED = [
    ("batch", {}, nn.BatchNorm1d(4), "'frozen', 'ghost'"),
    ("group", {"num_groups": 3}, nn.BatchNorm1d(8), "'0' .BatchNorm1d. has 8 channels.*1, 2, 4, 8"),
    ("group", {}, nn.BatchNorm1d(8), "num_groups"),
    ("frozen", {"num_groups": 3}, nn.BatchNorm1d(8), "num_groups"),
    ("frozen", {}, nn.LayerNorm(8), "no BatchNorm is in this Sequential"),
    ("frozen", {}, nn.LazyBatchNorm1d(), "no size yet"),
    ("frozen", {}, nn.BatchNorm1d(4, track_running_stats=False), "no running statistics"),
    ("renorm", {}, nn.BatchNorm1d(4, momentum=None), "momentum"),
    ("ghost", {}, hooked(), "hooks"),
    ("rms", {}, biased(), "drop_bias=True"),
    ("dyt", {}, nn.LayerNorm((3, 4)), "last 2 axes"),
    ("rms", {}, nn.TransformerEncoderLayer(8, 2), "fast path"),
]


@pytest.mark.parametrize(("to", "settings", "layer", "says"), REFUSED)
def test_what_cannot_be_converted_is_refused_with_the_reason(to, settings, layer, says) -> None:
    with pytest.raises(LayerError, match=says):
        convert_norm(nn.Sequential(layer), to, **settings)


def test_dropping_the_bias_is_a_choice() -> None:
    assert not hasattr(convert_norm(biased(), "rms", drop_bias=True), "bias")


def test_inside_torchs_decoder_layer_it_runs() -> None:
    layer = nn.TransformerDecoderLayer(8, 2, batch_first=True)
    new = convert_norm(layer, "rms").eval()
    x = torch.randn(2, 5, 8)
    assert isinstance(new.norm1, RMSNorm)
    assert not torch.allclose(new(x, x), layer.eval()(x, x))

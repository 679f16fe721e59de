"""Monte Carlo dropout: what draws, what stays, and that nothing is left behind."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.nn.drop import AlphaDropout, DropConnect, Dropout, DropPath, LockedDropout, mc_dropout


class Functional(nn.Module):
    """Draws by a function that is told not to."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


class ByFlag(nn.Module):
    """Chooses the rate by its own flag, as attention in transformers does."""

    dropout = 0.5

    def forward(self, x: Tensor) -> Tensor:
        q = x[:, None]
        return F.scaled_dot_product_attention(q, q, q, dropout_p=self.dropout if self.training else 0.0)[:, 0]


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(8, 8, num_layers=2, dropout=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


def attention_function(x: Tensor) -> Tensor:
    eye = torch.eye(8)
    return F.multi_head_attention_forward(
        x, x, x, 8, 2, eye.repeat(3, 1), None, None, None, False, 0.5, eye, None, training=False
    )[0]


STOCHASTIC: dict[str, Callable[[], nn.Module]] = {
    "ours": lambda: Dropout(0.5),
    "ours-alpha": lambda: AlphaDropout(0.5),
    "ours-path": lambda: DropPath(0.5),
    "ours-locked": lambda: LockedDropout(0.5),
    "ours-connect": lambda: DropConnect(nn.Linear(8, 8), 0.5),
    "torch": lambda: nn.Dropout(0.5),
    "torch-1d": lambda: nn.Dropout1d(0.5),
    "torch-alpha": lambda: nn.FeatureAlphaDropout(0.5),
    "F.dropout": lambda: Functional(lambda x: F.dropout(x, 0.5, training=False)),
    "F.dropout-positional": lambda: Functional(lambda x: F.dropout(x, 0.5, False)),
    "F.dropout1d": lambda: Functional(lambda x: F.dropout1d(x, 0.5, training=False)),
    "F.alpha_dropout": lambda: Functional(lambda x: F.alpha_dropout(x, 0.5)),
    "torch.dropout": lambda: Functional(lambda x: torch.dropout(x, 0.5, False)),
    "torch.dropout-keyword": lambda: Functional(lambda x: torch.dropout(x, p=0.5, train=False)),
    "torch.alpha_dropout": lambda: Functional(lambda x: torch.alpha_dropout(x, p=0.5, train=False)),
    "scaled_dot_product_attention": lambda: Functional(
        lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)
    ),
    "multi_head_attention_forward": lambda: Functional(attention_function),
    "by-flag": ByFlag,
    "attention": SelfAttention,
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True), 2, enable_nested_tensor=False
    ),
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "rnn": lambda: Recurrent(nn.RNN),
}


@pytest.mark.parametrize("make", STOCHASTIC.values(), ids=STOCHASTIC)
@pytest.mark.parametrize("flag", [False, True])
def test_dropout_draws_whatever_the_flags_said(make: Callable[[], nn.Module], flag: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), make()).train(flag)
    x = torch.randn(6, 4, 8)
    with torch.no_grad(), mc_dropout(model) as same:
        assert same is model
        samples = torch.stack([model(x) for _ in range(8)])
    assert len({tuple(s.flatten().tolist()) for s in samples}) > 1
    assert all(module.training == flag for module in model.modules())
    if not flag and make is not STOCHASTIC["scaled_dot_product_attention"]:  # which always draws
        with torch.no_grad():
            assert torch.equal(model(x), model(x))


class Detector(nn.Module):
    """Returns something else in training."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x.sum()
        return self.drop(x)


def test_normalization_stays_in_evaluation_and_its_buffers_as_they_are() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True))
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(3, 1, 5, 5)
    with mc_dropout(model):
        first, second = model(x), model(x)
    assert torch.equal(first, second)
    assert torch.equal(first, model.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_functional_normalization_beside_functional_dropout_stays_in_evaluation() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((4,), 3.0))
            self.register_buffer("var", torch.full((4,), 4.0))

        def forward(self, x: Tensor) -> Tensor:
            y = F.batch_norm(x, self.mean, self.var, training=self.training)
            return y + 0 * F.dropout(y, 0.5, self.training)

    model, x = Both().train(), torch.randn(6, 4)
    with mc_dropout(model):
        y = model(x)
    assert torch.equal(y, model.eval()(x))
    assert torch.equal(model.mean, torch.full((4,), 3.0))


def test_a_compiled_model_draws_inside_and_no_more_afterwards() -> None:
    compiled = torch.compile(Functional(lambda x: F.dropout(x, 0.5, False)), backend="eager", fullgraph=True)
    x = torch.ones(50)
    assert torch.equal(compiled(x), x)
    with mc_dropout(compiled):
        assert not torch.equal(compiled(x), compiled(x))
    assert torch.equal(compiled(x), x)


def test_the_samples_scatter_around_the_prediction_as_dropout_does() -> None:
    x = torch.ones(1, 2000)
    with mc_dropout(nn.Dropout(0.25)) as model:
        y = torch.stack([model(x) for _ in range(50)])
    # 100,000 draws of 0 or 4/3: mean 1 with standard error 0.0018, variance 1/3 with 0.0013; 7 of them: < 1e-11
    assert abs(float(y.mean()) - 1) < 0.013
    assert abs(float(y.var()) - 1 / 3) < 0.01


def test_excluded_modules_stay_in_evaluation() -> None:
    x = torch.randn(3, 4)
    detector = Detector()
    with mc_dropout(detector, exclude=[Detector]):
        assert detector(x).shape == (3, 4)
        assert not torch.equal(detector(x), detector(x))
    kept = nn.Sequential(nn.Dropout(0.5), Dropout(0.5))
    with mc_dropout(kept, exclude=[kept[0], Dropout]):
        assert torch.equal(kept(x), x)


@pytest.mark.parametrize("flag", [False, True])
def test_everything_is_restored_after_an_exception(flag: bool) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), Functional(lambda x: F.dropout(x, 0.5, False)), nn.Dropout()).train(flag)
    model[0].train(not flag)
    flags = [m.training for m in model.modules()]
    state = torch.get_rng_state()

    def fail() -> None:
        with mc_dropout(model, exclude=[nn.Dropout], generator=torch.Generator().manual_seed(0)):
            model(torch.randn(3, 4))
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fail()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert [m.training for m in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.ones(3, 4)
    assert torch.equal(F.dropout(x, 0.5, False), x)


@pytest.mark.parametrize("make", STOCHASTIC.values(), ids=STOCHASTIC)
def test_a_generator_makes_the_block_reproducible_and_leaves_the_global_state(make: Callable[[], nn.Module]) -> None:
    model, x = nn.Sequential(nn.Linear(8, 8), make()).eval(), torch.randn(6, 4, 8)

    def drawn(generator: torch.Generator) -> Tensor:
        with torch.no_grad(), mc_dropout(model, generator=generator):
            return torch.stack([model(x) for _ in range(4)])

    generator = torch.Generator().manual_seed(3)
    first, second = drawn(generator), drawn(generator)
    torch.manual_seed(8)
    state = torch.get_rng_state()
    assert torch.equal(drawn(torch.Generator().manual_seed(3)), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, second)


def test_a_huggingface_model_draws_in_its_attention_too() -> None:
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=16, n_positions=8, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.5
    )
    model = GPT2Model(config).eval()
    ids = torch.arange(8)[None]
    with torch.no_grad(), mc_dropout(model):
        samples = [model(ids).last_hidden_state for _ in range(4)]
    assert not all(torch.equal(s, samples[0]) for s in samples)

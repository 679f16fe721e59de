"""`record` sees every operation once, in order, and leaves no trace."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import gainstage as gs
from gainstage.errors import ForwardError


def names(tape: gs.Tape) -> list[str]:
    return [site.name for site in tape]


class Calls(nn.Module):
    """A model whose forward pass is a function of (self, x)."""

    def __init__(self, forward, **children: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, child in children.items():
            setattr(self, name, child)
        self.body = forward

    def forward(self, *args, **kwargs):
        return self.body(self, *args, **kwargs)


def test_a_module_called_three_times_has_three_sites() -> None:
    model = Calls(lambda m, x: m.fc(m.fc(m.fc(x))), fc=nn.Linear(4, 4))
    assert names(gs.record(model, torch.randn(2, 4))) == ["fc/linear#0", "fc/linear#1", "fc/linear#2"]


def test_functional_operators_and_in_place_operations_are_seen_under_one_name() -> None:
    def forward(m, x: Tensor) -> Tensor:
        y = F.silu(x @ m.w)
        y += x
        y.mul_(2.0)
        return torch.einsum("bi,io->bo", torch.tanh(y), m.w)

    model = Calls(forward, w=nn.Parameter(torch.randn(4, 4)))
    tape = gs.record(model, torch.randn(3, 4))
    assert [site.op for site in tape] == ["matmul", "silu", "add", "mul", "tanh", "einsum"]
    assert tape["w"].kind == "parameter"
    assert tape.consumers()[tape["w"].index] == [tape["matmul#0"].index, tape["einsum#0"].index]


def test_provenance_goes_through_views_and_in_place_writes() -> None:
    def forward(m, x: Tensor) -> Tensor:
        y = m.fc(x)
        y.view(-1)[:4].add_(1.0)  # writes to y through a view of a view
        return y.tanh()

    tape = gs.record(Calls(forward, fc=nn.Linear(4, 4)), torch.randn(2, 4))
    tanh = tape["tanh#0"]
    assert tape.sites[tanh.inputs[0].site].op == "add"


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_and_packed_sequences(cell: type[nn.RNNBase]) -> None:
    def forward(m, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
        y, _ = m.rnn(packed)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True)
        return m.rnn2(y)[0]

    model = Calls(forward, rnn=cell(3, 4, batch_first=True), rnn2=cell(4, 4, batch_first=True))
    tape = gs.record(model, torch.randn(2, 5, 3))
    sites = [site for site in tape if site.path in ("rnn", "rnn2")]
    assert len(sites) == 2
    assert all(site.backward is not None and site.backward.rms > 0 for site in sites)
    assert {f"rnn.{n}" for n, _ in model.rnn.named_parameters()} <= {s.path for s in tape.sites}


def test_attention_is_seen_from_inside() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    model = Calls(lambda m, x: m.attn(x, x, x)[0], attn=attention)
    ops = [site.op for site in gs.record(model, torch.randn(2, 5, 8))]
    assert ops.count("linear") == 2
    assert "bmm" in ops or "baddbmm" in ops or "scaled_dot_product_attention" in ops


def test_an_encoder_in_eval_mode_does_not_take_the_closed_fast_path() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    tape = gs.record(layer.eval(), torch.randn(2, 5, 8), backward=False)
    assert sum(site.op == "layer_norm" for site in tape) == 2


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_segments_are_counted_once_and_have_gradients(reentrant: bool) -> None:
    fc = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(m, x: Tensor) -> Tensor:
        return m.out(checkpoint(m.fc, m.stem(x), use_reentrant=reentrant))

    model = Calls(forward, stem=nn.Linear(4, 4), fc=fc, out=nn.Linear(4, 2))
    plain = Calls(lambda m, x: m.out(m.fc(m.stem(x))), stem=model.stem, fc=fc, out=model.out)
    x = torch.randn(8, 4)
    tape, expected = gs.record(model, x), gs.record(plain, x)
    assert names(tape) == names(expected)
    for site in tape:
        assert site.backward.mean_square == pytest.approx(expected[site.name].backward.mean_square, rel=1e-4)
    assert all(p.grad is None for p in model.parameters())


@dataclass
class Answer:
    hidden: Tensor
    scores: dict[str, Tensor]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: {"a": y, "b": [y * 2]},
        lambda y: (y, (y + 1, None)),
        lambda y: Answer(y, {"s": y.exp()}),
    ],
)
def test_any_output_structure_gets_gradients(wrap) -> None:
    model = Calls(lambda m, x: wrap(m.fc(x)), fc=nn.Linear(4, 4))
    tape = gs.record(model, torch.randn(2, 4))
    assert tape.surrogate
    assert len(tape.outputs) == 2
    assert tape["fc"].backward.rms > 0


def test_keyword_tuple_and_tensor_examples() -> None:
    model = Calls(lambda m, x, scale=1.0: m.fc(x) * scale, fc=nn.Linear(4, 4))
    x = torch.randn(2, 4)
    for example in (x, (x,), {"x": x, "scale": torch.tensor(2.0)}, (x, torch.tensor(2.0))):
        assert names(gs.record(model, example))[0] == "fc/linear#0"


def test_low_precision_complex_embedding_and_integers() -> None:
    def forward(m, ids: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(m.table(ids).float(), dim=1)
        return m.fc((spectrum.real + spectrum.imag).bfloat16())

    model = Calls(forward, table=nn.Embedding(10, 4).bfloat16(), fc=nn.Linear(4, 2).bfloat16())
    tape = gs.record(model, torch.randint(0, 10, (3, 6)))
    fft = tape["fft_rfft#0"]
    assert fft.dtype == "complex64"
    assert fft.forward.count == 2 * fft.shape[0] * fft.shape[1] * fft.shape[2]
    assert tape["fc"].forward.rms > 0
    assert tape["table"].backward.rms > 0


def test_models_on_the_meta_device_give_structure_without_moments() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    tape = gs.record(model, torch.randn(3, 4))
    assert names(tape) == ["0/linear#0", "1/relu#0", "2/linear#0"]
    assert all(site.forward is None for site in tape)


def test_ties_and_unused_parameters_are_named() -> None:
    a, b, c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    tape = gs.record(Calls(lambda m, x: m.b(m.a(x)), a=a, b=b, c=c), torch.randn(2, 4))
    assert tape.ties == {"b.weight": "a.weight"}
    assert tape.unused == ("c.weight", "c.bias")
    assert tape.parameter("b.weight") is tape.parameter("a.weight")


def test_the_models_own_loss_is_used() -> None:
    model = Calls(lambda m, x: {"loss": m.fc(x).square().mean(), "logits": m.fc(x)}, fc=nn.Linear(4, 4))
    x = torch.randn(2, 4)
    tape = gs.record(model, x)
    assert not tape.surrogate
    assert tape.loss == pytest.approx(float(model(x)["loss"]))


def test_gradients_are_those_of_autograd() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.BatchNorm1d(8), nn.Linear(8, 3))
    x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
    tape = gs.record(model, x, target=y, loss=F.cross_entropy)
    F.cross_entropy(model(x), y).backward()
    for name, parameter in model.named_parameters():
        assert tape[name].backward.mean_square == pytest.approx(float(parameter.grad.square().mean()), rel=1e-4)


class Unruly(nn.Module):
    """Changes everything that a forward pass can change."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(()))
        self.count = 0
        self.cache = None

    def forward(self, x: Tensor, fail: bool = False) -> Tensor:
        self.count += 1
        self.calls = self.calls + 1
        with torch.no_grad():
            self.fc.weight.clamp_(-0.1, 0.1)
        self.cache = self.drop(self.norm(self.fc(x))) + random.random() + float(np.random.rand())
        if fail:
            raise RuntimeError("broken on purpose")
        return self.cache


def state(model: nn.Module) -> dict[str, object]:
    return {
        "tensors": [t.detach().clone() for t in model.state_dict().values()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "flags": [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "requires": [p.requires_grad for p in model.parameters()],
        "attributes": (model.count, model.cache),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state(),
    }


def equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(i, j) for i, j in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("fail", [False, True])
def test_no_trace_is_left(fail: bool) -> None:
    model = Unruly()
    model.fc.bias.requires_grad_(False)
    model.fc.weight.grad = torch.ones(4, 4)
    before = state(model)
    example = {"x": torch.randn(8, 4), "fail": fail}
    before["torch"] = torch.get_rng_state()
    if fail:
        with pytest.raises(ForwardError, match=r"Unruly.*RuntimeError: broken on purpose"):
            gs.record(model, example)
    else:
        gs.record(model, example)
    assert equal(before, state(model))


def test_an_error_names_the_site() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(9, 2))
    with pytest.raises(ForwardError, match=r"float32 2x4 raised at 2/linear#0: RuntimeError"):
        gs.record(model, torch.randn(2, 4))


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(gs.GainstageError, match=r"scalar tensor, it returned a tensor of shape \(2, 4\).*mean"):
        gs.record(nn.Linear(4, 4), torch.randn(2, 4), loss=lambda y, t: y)


def test_the_same_call_gives_the_same_tape() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    x = torch.randn(8, 4)
    first = gs.record(model, x)
    torch.rand(7)
    assert repr(gs.record(model, x)) == repr(first)


def test_the_step_after_a_record_is_the_step_without_it() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    x = torch.randn(8, 4)
    torch.manual_seed(3)
    expected = model(x)
    model[1].reset_running_stats()
    torch.manual_seed(3)
    gs.record(model, x)
    assert torch.equal(model(x), expected)


def test_a_compiled_submodule_is_seen_from_inside() -> None:
    model = Calls(lambda m, x: m.fc(x), fc=torch.compile(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), backend="eager"))
    assert [site.op for site in gs.record(model, torch.randn(2, 4))] == ["linear", "tanh"]


def test_operations_under_vmap_are_measured_over_all_samples() -> None:
    model = Calls(lambda m, x: torch.func.vmap(lambda row: m.fc(row).tanh())(x), fc=nn.Linear(4, 4))
    x = torch.randn(8, 4)
    tape = gs.record(model, x)
    assert [site.op for site in tape if site.path in ("fc", "")][:2] == ["linear", "tanh"]
    assert tape["fc"].forward.mean_square == pytest.approx(float(model.fc(x).square().mean()), rel=1e-4)


def test_a_view_of_a_buffer_that_is_written_to_is_recorded() -> None:
    class Banded(nn.Module):  # the scores of a sliding window attention
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            scores = x.new_zeros(4, 8)
            scores[:, :4] = self.fc(x)
            turned = scores.view(2, 2, 8).transpose(0, 1)
            turned[:, :1] = torch.full_like(turned[:, :1], -1.0)
            return turned

    tape = gs.record(Banded(), torch.randn(4, 8))
    assert tape.parameter("fc.weight").backward.mean_square > 0


def test_a_hook_that_the_model_installs_in_its_first_pass_is_taken_out_again() -> None:
    class Lazy(nn.Module):  # as Hugging Face models do
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.ready = nn.Linear(4, 4), False

        def forward(self, x: Tensor) -> Tensor:
            if not self.ready:
                self.fc.register_forward_hook(lambda module, args, out: 2 * out)
                self.ready = True
            return self.fc(x)

    model, x = Lazy(), torch.randn(3, 4)
    gs.record(model, x)
    assert not model.fc._forward_hooks
    assert torch.equal(model(x), 2 * nn.functional.linear(x, model.fc.weight, model.fc.bias))

"""Ordinary layers: linear, convolutions, norms, attention, recurrence, embeddings."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fuzz.registry import part


class Reshaped(nn.Module):
    """Gives a layer the shape that it wants, and the result the shape that came."""

    def __init__(self, layer: nn.Module, *shape: int) -> None:
        super().__init__()
        self.layer, self.shape = layer, shape

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.reshape(-1, *self.shape)).reshape(len(x), -1)


def plain(family: str, name: str, make: object, **kwargs: bool) -> None:
    """Register a layer that takes (batch, width) as it is."""

    def made(width: int) -> nn.Module:
        return make(width)  # type: ignore[operator]

    made.__name__, made.makes = name, make  # type: ignore[attr-defined]
    part(family, **kwargs)(made)


for _name, _make in {
    "linear": lambda w: nn.Linear(w, w),
    "linear_no_bias": lambda w: nn.Linear(w, w, bias=False),
    "wide": lambda w: nn.Sequential(nn.Linear(w, 3 * w), nn.GELU(), nn.Linear(3 * w, w)),
    "deep": lambda w: nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(w, w), nn.ReLU())]),
    "relu_inplace": lambda w: nn.Sequential(nn.Linear(w, w), nn.ReLU(inplace=True)),
    "tanh": lambda w: nn.Sequential(nn.Linear(w, w), nn.Tanh(), nn.Linear(w, w), nn.Softplus()),
    "glu": lambda w: nn.Sequential(nn.Linear(w, 2 * w), nn.GLU()),
    "prelu": lambda w: nn.Sequential(nn.Linear(w, w), nn.PReLU()),
    "silu_inplace": lambda w: nn.Sequential(nn.Linear(w, w), nn.SiLU(inplace=True), nn.Hardswish(inplace=True)),
    "conv1d": lambda w: Reshaped(nn.Conv1d(4, 4, 3, padding=1), 4, w // 4),
    "conv1d_circular": lambda w: Reshaped(nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"), 4, w // 4),
    "conv2d": lambda w: Reshaped(nn.Conv2d(w // 4, w // 4, 3, padding="same"), w // 4, 2, 2),
    "conv2d_depthwise": lambda w: Reshaped(nn.Conv2d(w // 4, w // 4, 1, groups=w // 4), w // 4, 2, 2),
    "conv3d": lambda w: Reshaped(nn.Conv3d(1, 1, (3, 1, 1), padding=(1, 0, 0)), 1, w // 4, 2, 2),
    "conv_transpose": lambda w: Reshaped(nn.ConvTranspose1d(4, 4, 3, padding=1), 4, w // 4),
    "pixel_shuffle": lambda w: Reshaped(nn.Sequential(nn.Conv2d(4, 4, 1), nn.PixelShuffle(2)), 4, w // 4, 1),
    "max_pool": lambda w: Reshaped(nn.Sequential(nn.MaxPool1d(2), nn.Upsample(scale_factor=2)), 1, w),
    "batch_norm": lambda w: nn.Sequential(nn.Linear(w, w), nn.BatchNorm1d(w), nn.ReLU()),
    "batch_norm_cumulative": lambda w: nn.BatchNorm1d(w, momentum=None, affine=False),
    "batch_norm_no_stats": lambda w: nn.BatchNorm1d(w, track_running_stats=False),
    "batch_norm_2d": lambda w: Reshaped(nn.BatchNorm2d(w // 4), w // 4, 2, 2),
    "sync_batch_norm": lambda w: nn.SyncBatchNorm(w).eval(),
    "layer_norm": lambda w: nn.Sequential(nn.LayerNorm(w), nn.Linear(w, w)),
    "group_norm": lambda w: Reshaped(nn.GroupNorm(2, 4), 4, w // 4),
    "instance_norm": lambda w: Reshaped(nn.InstanceNorm1d(2, affine=True, track_running_stats=True), 2, w // 2),
    "rms_norm": lambda w: nn.Sequential(nn.Linear(w, w), nn.RMSNorm(w)),
    "local_response": lambda w: Reshaped(nn.LocalResponseNorm(2), 4, w // 4),
    "spectral_old": lambda w: nn.utils.spectral_norm(nn.Linear(w, w)),
    "spectral_new": lambda w: parametrizations.spectral_norm(nn.Linear(w, w)),
    "spectral_conv": lambda w: Reshaped(parametrizations.spectral_norm(nn.Conv1d(4, 4, 3, padding=1)), 4, w // 4),
    "weight_norm_old": lambda w: nn.utils.weight_norm(nn.Linear(w, w)),
    "weight_norm_new": lambda w: parametrizations.weight_norm(nn.Linear(w, w)),
    "orthogonal": lambda w: parametrizations.orthogonal(nn.Linear(w, w)),
    "transformer": lambda w: Reshaped(nn.TransformerEncoderLayer(4, 2, w, batch_first=True), w // 4, 4),
    "transformer_eval": lambda w: Reshaped(
        nn.TransformerEncoderLayer(4, 2, w, dropout=0.1, batch_first=True, norm_first=True).eval(), w // 4, 4
    ),
    "softmax": lambda w: nn.Sequential(nn.Linear(w, w), nn.Softmax(-1), nn.LayerNorm(w)),
    "identity": lambda w: nn.Identity(),
    "empty": lambda w: nn.Sequential(),
    "fold": lambda w: Reshaped(nn.Sequential(nn.Unfold((2, 2)), nn.Flatten(1)), w // 4, 2, 2),
    "flat_unflat": lambda w: nn.Sequential(nn.Unflatten(1, (4, w // 4)), nn.Flatten(1), nn.Linear(w, w)),
}.items():
    plain("layer", _name, _make)


@part("layer")
class bilinear(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Bilinear(width, width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x, x.tanh())


@part("sequence")
class attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True, add_bias_kv=width == 12)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(len(x), -1, 4)
        return self.attention(tokens, tokens, tokens, need_weights=x.shape[1] == 8)[0].reshape(x.shape)


@part("sequence")
class packed_attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x.reshape(len(x), -1, 4)).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1)).reshape(x.shape)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module], width: int, **kwargs: object) -> None:
        super().__init__()
        self.net = kind(4, 4 // (1 + bool(kwargs.get("bidirectional"))), batch_first=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.reshape(len(x), -1, 4))[0].reshape(x.shape)


plain("sequence", "rnn", partial(Recurrent, nn.RNN))
plain("sequence", "lstm", partial(Recurrent, nn.LSTM, num_layers=2, dropout=0.2))
plain("sequence", "lstm_projected", partial(Recurrent, nn.LSTM, bidirectional=True))
plain("sequence", "gru", partial(Recurrent, nn.GRU, bidirectional=True))


@part("sequence")
class packed_sequence(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        sequence = x.reshape(len(x), -1, 4)
        lengths = torch.full((len(x),), sequence.shape[1])
        packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.net(packed)[0], batch_first=True)[0].reshape(x.shape)


@part("sequence")
class cells(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.cell, self.gate = nn.LSTMCell(4, 4), nn.GRUCell(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = c = g = torch.zeros(len(x), 4, dtype=x.dtype)
        seen = []
        for step in x.reshape(len(x), -1, 4).unbind(1):
            h, c = self.cell(step, (h, c))
            g = self.gate(h, g)
            seen.append(g)
        return torch.cat(seen, 1)


class Lookup(nn.Module):
    """Looks ids up that are made of the input's signs, and adds what it finds."""

    def __init__(self, table: nn.Module, offsets: bool = False) -> None:
        super().__init__()
        self.table = table
        self.offsets = offsets

    def forward(self, x: Tensor) -> Tensor:
        ids = (x.detach().float().abs() * 4).long().clamp(0, 9)[:, :3]
        if isinstance(self.table, nn.EmbeddingBag):
            return x + self.table(ids).to(x.dtype)
        return x + self.table(ids).mean(1).to(x.dtype)


for _name, _make in {
    "embedding": lambda w: Lookup(nn.Embedding(10, w)),
    "embedding_padded": lambda w: Lookup(nn.Embedding(10, w, padding_idx=0)),
    "embedding_max_norm": lambda w: Lookup(nn.Embedding(10, w, max_norm=0.5)),
    "embedding_sparse": lambda w: Lookup(nn.Embedding(10, w, sparse=True)),
    "embedding_by_frequency": lambda w: Lookup(nn.Embedding(10, w, scale_grad_by_freq=True)),
    "embedding_frozen": lambda w: Lookup(nn.Embedding.from_pretrained(torch.randn(10, w))),
    "bag": lambda w: Lookup(nn.EmbeddingBag(10, w)),
    "bag_max_norm": lambda w: Lookup(nn.EmbeddingBag(10, w, max_norm=0.5, mode="max")),
}.items():
    plain("embedding", _name, _make)

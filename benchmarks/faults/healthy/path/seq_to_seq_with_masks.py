"""An encoder and a causal decoder reverse sequences of unequal length; padding is hidden and its labels are ignored."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, bags, batches, plain_step, predicted


class Reverse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(8, 32), nn.Parameter(torch.randn(12, 32) / 2)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, **options)
        self.decoder, self.head = nn.TransformerDecoderLayer(32, 4, 64, **options), nn.Linear(32, 8)

    def forward(self, ids: Tensor, shifted: Tensor, real: Tensor) -> Tensor:
        memory = self.encoder(self.token(ids) + self.place, src_key_padding_mask=~real)
        future = torch.ones(12, 12, dtype=torch.bool).triu(1)
        h = self.token(shifted) + self.place
        h = self.decoder(h, memory, tgt_mask=future, tgt_key_padding_mask=~real, memory_key_padding_mask=~real)
        return self.head(h)


def loss(out: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(out.flatten(0, 1), y.flatten(), ignore_index=-100)


def build() -> Program:
    ids, real, _ = bags()
    size = real.sum(1, keepdim=True)
    place = torch.arange(12)
    back = ids.gather(1, (size - 1 - place).clamp(min=0))
    y = back.masked_fill(~real, -100)
    shifted = torch.cat([torch.zeros(len(ids), 1, dtype=torch.long), back[:, :-1]], 1)
    model, n = Reverse(), 2400
    optimizer = adam(model)
    step = plain_step(model, loss, optimizer, batches(ids[:n], shifted[:n], real[:n], y[:n]))

    def error() -> float:
        out = predicted(model, ids[n:], shifted[n:], real[n:]).argmax(-1)
        return float((out != y[n:])[real[n:]].float().mean())

    return Program(model, (ids[:64], shifted[:64], real[:64]), y[:64], loss, optimizer, step, error, 250)

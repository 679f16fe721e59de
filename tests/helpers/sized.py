"""Networks of any width and depth, the usual families, with a batch; and the same with one thing forgotten."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.run import Subject

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(4, 3, 6, 6, generator=GENERATOR)
LABELS = torch.randint(0, 10, (4,), generator=GENERATOR)
IDS = torch.randint(0, 32, (4, 4), generator=GENERATOR)
ROWS = torch.randn(16, 16, generator=GENERATOR)
CLASSES = torch.randint(0, 4, (16,), generator=GENERATOR)


def next_token(output: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(output[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def mlp(width: int, depth: int = 1) -> Subject:
    hidden = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
    model = nn.Sequential(nn.Linear(16, width), nn.ReLU(), *hidden, nn.Linear(width, 4))
    return Subject(model, ROWS, CLASSES, F.cross_entropy)


def cnn(width: int) -> Subject:
    model = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(2 * width, 10),
    )  # fmt: skip
    return Subject(model, IMAGES, LABELS, F.cross_entropy)


class Residual(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.a, self.norm_a = nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.b, self.norm_b = nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        self.skip = nn.Conv2d(into, out, 1, bias=False) if into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.norm_b(self.b(F.relu(self.norm_a(self.a(x))))))


def resnet(width: int, depth: int = 1) -> Subject:
    blocks = [Residual(width, width) for _ in range(depth)]
    model = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), *blocks,
        Residual(width, 2 * width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )  # fmt: skip
    return Subject(model, IMAGES, LABELS, F.cross_entropy)


class Block(nn.Module):
    """A pre-LN block; `scale` of attention is 1 / sqrt(d) if not given."""

    def __init__(self, width: int, heads: int, scale: float | None = None) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm_1(x)
        q, k, v = (f(z).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale)
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Transformer(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, scale: float | None = None) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(32, width), nn.Parameter(0.1 * torch.randn(4, width))
        self.blocks = nn.ModuleList(Block(width, heads, scale) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 32, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def transformer(width: int, depth: int = 1, heads: int = 2) -> Subject:
    return Subject(Transformer(width, depth, heads), IDS, IDS, next_token)


class StateSpace(nn.Module):
    """Mamba's block in its plainest form: depthwise convolution, input-dependent step, B and C, gate."""

    def __init__(self, width: int, states: int = 4) -> None:
        super().__init__()
        self.norm, self.into = nn.RMSNorm(width), nn.Linear(width, 2 * width, bias=False)
        self.conv = nn.Conv1d(width, width, 2, groups=width, padding=1)
        self.step, self.bc = nn.Linear(width, width), nn.Linear(width, 2 * states, bias=False)
        self.decay = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(width, 1))
        self.skip, self.out = nn.Parameter(torch.ones(width)), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.into(self.norm(x)).chunk(2, -1)
        u = F.silu(self.conv(u.transpose(1, 2))[..., :-1].transpose(1, 2))
        dt, (b, c) = F.softplus(self.step(u)), self.bc(u).chunk(2, -1)
        a, state, outputs = -self.decay.exp(), torch.zeros(*u[:, 0].shape, self.decay.shape[1]), []
        for t in range(u.shape[1]):
            state = (dt[:, t, :, None] * a).exp() * state + (dt * u)[:, t, :, None] * b[:, t, None, :]
            outputs.append((state * c[:, t, None, :]).sum(-1))
        return x + self.out((torch.stack(outputs, 1) + self.skip * u) * F.silu(gate))


def mamba(width: int, depth: int = 1) -> Subject:
    blocks = [StateSpace(width) for _ in range(depth)]
    model = nn.Sequential(nn.Embedding(32, width), *blocks, nn.RMSNorm(width), nn.Linear(width, 32, bias=False))
    return Subject(model, IDS, IDS, next_token)


def gpt2(width: int, depth: int = 1) -> Subject:
    from transformers import GPT2Config, GPT2LMHeadModel

    off = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(n_embd=width, n_layer=depth, n_head=2, n_positions=8, vocab_size=32, **off)
    return Subject(GPT2LMHeadModel(config), {"input_ids": IDS, "labels": IDS})


def llama(width: int, depth: int = 1) -> Subject:
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = {"num_attention_heads": width // 16, "num_key_value_heads": width // 32}
    config = LlamaConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=depth, vocab_size=32, **heads,
        max_position_embeddings=8,
    )  # fmt: skip
    return Subject(LlamaForCausalLM(config), {"input_ids": IDS, "labels": IDS})


FAMILIES: dict[str, Callable[..., Any]] = {
    "mlp": mlp, "cnn": cnn, "resnet": resnet, "transformer": transformer, "gpt2": gpt2, "llama": llama, "mamba": mamba,
}  # fmt: skip

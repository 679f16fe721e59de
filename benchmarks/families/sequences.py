"""Networks on sequences: recurrent, state-space, and transformers of several kinds."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families._family import Task, classify_digits, family, read_text
from networks import Transformer


class Rows(nn.Module):
    """A recurrent layer that reads a digit row by row and then blank rows, and answers after the last."""

    def __init__(self, cell: type[nn.RNNBase], blank: int, width: int = 48) -> None:
        super().__init__()
        self.blank = blank
        self.cell, self.head = cell(8, width, batch_first=True), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.cell(F.pad(x.view(-1, 8, 8), (0, 0, 0, self.blank)))
        return self.head(y[:, -1])


@family("LSTM over 60 steps", tuned=True)
def lstm() -> Task:
    return classify_digits(Rows(nn.LSTM, 52), 32)


@family("GRU over 60 steps", tuned=True)
def gru() -> Task:
    return classify_digits(Rows(nn.GRU, 52), 32)


class StateSpace(nn.Module):
    """Selective diagonal state spaces as in Mamba: A = -1..n, steps drawn in [0.001, 0.1] through softplus."""

    def __init__(self, width: int = 32, state: int = 8, layers: int = 2) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(256, width), nn.Linear(width, 256)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.into = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(layers))
        self.select = nn.ModuleList(nn.Linear(width, 2 * state, bias=False) for _ in range(layers))
        self.step = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        decay = torch.arange(1, state + 1).float().log().repeat(width, 1)
        self.decay = nn.ParameterList(nn.Parameter(decay.clone()) for _ in range(layers))
        self.skip = nn.ParameterList(nn.Parameter(torch.ones(width)) for _ in range(layers))
        for layer in self.step:
            dt = torch.exp(torch.rand(width) * math.log(100) + math.log(0.001))
            layer.bias.data = dt + torch.log(-torch.expm1(-dt))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for i, norm in enumerate(self.norms):
            u, gate = self.into[i](norm(x)).chunk(2, -1)
            u = F.silu(u)
            write, read = self.select[i](u).chunk(2, -1)
            dt = F.softplus(self.step[i](u))
            decay = torch.exp(-dt[..., None] * self.decay[i].exp())
            added = (dt * u)[..., None] * write[:, :, None]
            state, out = torch.zeros_like(added[:, 0]), []
            for t in range(ids.shape[1]):
                state = decay[:, t] * state + added[:, t]
                out.append((state * read[:, t, None]).sum(-1))
            x = x + self.out[i]((torch.stack(out, 1) + self.skip[i] * u) * F.silu(gate))
        return self.head(x)


@family("state-space model, 2 layers", steps=80)
def state_space() -> Task:
    return read_text(StateSpace(), 24, 16)


@family("pre-LN transformer, 8 blocks", tuned=True, steps=80, rates=(3e-4, 1e-3, 3e-3, 1e-2))
def pre_ln() -> Task:
    return classify_digits(Transformer(8), 32)


@family("post-LN transformer, 8 blocks", steps=80, rates=(1e-4, 3e-4, 1e-3, 3e-3))
def post_ln() -> Task:
    return classify_digits(Transformer(8, norm_first=False), 32)


class Sandwich(nn.Module):
    """A block that normalizes before and after each branch, with a gated feed-forward net, as Gemma does."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(4))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.qkv(self.norms[0](x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.norms[1](self.out(y))
        y = self.norms[2](x)
        return x + self.norms[3](self.down(F.gelu(self.gate(y)) * self.up(y)))


class Language(nn.Module):
    """Tokens and places, a stack of blocks, a norm and a head; tied and scaled as in Gemma if asked."""

    def __init__(self, blocks: list[nn.Module], width: int, tied: bool = False) -> None:
        super().__init__()
        self.scale = math.sqrt(width) if tied else 1.0
        self.token, self.place = nn.Embedding(256, width), nn.Embedding(64, width)
        self.blocks, self.norm = nn.Sequential(*blocks), nn.LayerNorm(width)
        self.head = nn.Linear(width, 256, bias=False)
        for table in (self.token, self.place):
            nn.init.normal_(table.weight, std=0.02)
        if tied:
            self.head.weight = self.token.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.scale * self.token(ids) + self.place(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


@family("Gemma-like transformer, 4 blocks", steps=80, rates=(1e-3, 3e-3, 1e-2, 3e-2))
def gemma_like() -> Task:
    return read_text(Language([Sandwich(32) for _ in range(4)], 32, tied=True))


class Causal(nn.Module):
    """A pre-norm block with causal attention; its feed-forward net may be given."""

    def __init__(self, width: int, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = inner or nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.inner(self.norm2(x))


class Experts(nn.Module):
    """The two best of four small networks, weighed by a router."""

    def __init__(self, width: int, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)) for _ in range(experts)
        )

    def forward(self, x: Tensor) -> Tensor:
        scores = self.router(x).softmax(-1)
        best = scores >= scores.topk(2, -1).values[..., 1:]
        share = scores * best
        share = share / share.sum(-1, keepdim=True)
        return sum(share[..., i : i + 1] * expert(x) for i, expert in enumerate(self.experts))


@family("mixture of experts, 2 blocks", steps=80, rates=(1e-3, 3e-3, 1e-2, 3e-2))
def moe() -> Task:
    return read_text(Language([Causal(32, Experts(32)) for _ in range(2)], 32))


class HyperConnected(nn.Module):
    """Four streams mixed before and after each branch (Zhu et al., ICLR 2025): mixing starts at the identity."""

    def __init__(self, blocks: int = 4, width: int = 32, streams: int = 4) -> None:
        super().__init__()
        self.streams = streams
        self.embed, self.head, self.norm = nn.Linear(8, width), nn.Linear(width, 10), nn.LayerNorm(width)
        self.place = nn.Parameter(torch.randn(8, width) * 0.02)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(blocks)
        )
        self.mix = nn.ParameterList(nn.Parameter(torch.eye(streams)) for _ in range(blocks))
        self.read = nn.ParameterList(nn.Parameter(torch.eye(streams)[i % streams].clone()) for i in range(blocks))
        self.write = nn.ParameterList(nn.Parameter(torch.ones(streams)) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = (self.embed(x.view(-1, 8, 8)) + self.place)[..., None].expand(-1, -1, -1, self.streams)
        for i, branch in enumerate(self.branches):
            h = h @ self.mix[i] + branch(h @ self.read[i])[..., None] * self.write[i]
        return self.head(self.norm(h.sum(-1)).mean(1))


@family("hyper-connections, 4 blocks", tuned=True, steps=80)
def hyper_connections() -> Task:
    return classify_digits(HyperConnected(), 32)


class Lora(nn.Module):
    """A frozen linear layer with a trainable correction of rank 4 that starts at 0 (Hu et al., ICLR 2022)."""

    def __init__(self, inputs: int, outputs: int, rank: int = 4) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2 * (x @ self.a.T @ self.b.T)


@family("LoRA on a frozen MLP", tuned=True, rates=(3e-3, 1e-2, 3e-2, 1e-1))
def lora() -> Task:
    net = nn.Sequential(Lora(64, 64), nn.ReLU(), Lora(64, 64), nn.ReLU(), Lora(64, 10))
    return classify_digits(net)


@family("GPT-2 of Hugging Face, bytes", tuned=True, steps=100, rates=(1e-3, 3e-3, 1e-2, 3e-2))
def hf_gpt2() -> Task:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": 256, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 4}
    config = GPT2Config(**sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, use_cache=False)
    return read_text(GPT2LMHeadModel(config))


@family("Llama of Hugging Face, bytes", steps=100, rates=(1e-3, 3e-3, 1e-2, 3e-2))
def hf_llama() -> Task:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    return read_text(LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, use_cache=False)))

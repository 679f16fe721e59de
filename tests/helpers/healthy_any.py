"""Architectures of every kind at their usual start, with their natural losses and optimizers."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from healthy import HEALTHY, healthy, labels, tokens
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, RMSprop
from torch.utils.checkpoint import checkpoint

from gainstage.run import Subject

N = 32


def dense(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), act())]
    return nn.Sequential(*layers[:-1])


def trained(
    model: nn.Module, example: Any, target: Any, loss: Callable[[Any, Any], Tensor], make: Any = Adam, **options: Any
) -> Subject:
    """With an optimizer over everything trainable, by default Adam at 1e-3."""
    optimizer = make([p for p in model.parameters() if p.requires_grad], **(options or {"lr": 1e-3}))
    return Subject(model, example, target, loss, optimizer)


def pictures(model: nn.Module, size: int = 16, n: int = 16, classes: int = 10, **options: Any) -> Subject:
    given = options or {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
    make = given.pop("make", SGD)
    return trained(model, torch.randn(n, 3, size, size), labels(classes, n), F.cross_entropy, make, **given)


def pooled(features: int, classes: int = 10) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes)]


def conv(a: int, b: int, kernel: int = 3, stride: int = 1, **options: Any) -> nn.Sequential:
    layer = nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False, **options)
    return nn.Sequential(layer, nn.BatchNorm2d(b), nn.ReLU(inplace=True))


# --- images ----------------------------------------------------------------------------------------------------------


@healthy
def densenet() -> Subject:
    class Block(nn.Module):
        def __init__(self, width: int, layers: int, growth: int = 8) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(
                    nn.BatchNorm2d(width + i * growth), nn.ReLU(),
                    nn.Conv2d(width + i * growth, 4 * growth, 1, bias=False), nn.BatchNorm2d(4 * growth), nn.ReLU(),
                    nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                )
                for i in range(layers)
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = torch.cat([x, layer(x)], 1)
            return x

    parts: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), Block(16, 4)]
    parts += [nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 24, 1, bias=False), nn.AvgPool2d(2), Block(24, 4)]
    model = nn.Sequential(*parts, nn.BatchNorm2d(56), nn.ReLU(), *pooled(56))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return pictures(model)


@healthy
def inception_with_auxiliary_head() -> Subject:
    class Mixed(nn.Module):
        def __init__(self, a: int) -> None:
            super().__init__()
            self.one, self.three = conv(a, 8, 1), nn.Sequential(conv(a, 8, 1), conv(8, 16))
            self.five, self.pool = nn.Sequential(conv(a, 4, 1), conv(4, 8, 5)), conv(a, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            pool = self.pool(F.max_pool2d(x, 3, 1, 1))
            return torch.cat([self.one(x), self.three(x), self.five(x), pool], 1)

    class Inception(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b, self.c = conv(3, 16), Mixed(16), Mixed(40), Mixed(40)
            self.aux, self.head = nn.Sequential(*pooled(40)), nn.Sequential(*pooled(40))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.b(F.max_pool2d(self.a(self.stem(x)), 2))
            return self.head(self.c(x)), self.aux(x)

    def loss(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return F.cross_entropy(output[0], target) + 0.3 * F.cross_entropy(output[1], target)

    return trained(Inception(), torch.randn(16, 3, 16, 16), labels(10, 16), loss, RMSprop, lr=1e-3)


@healthy
def inverted_bottlenecks() -> Subject:
    class Inverted(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.up, self.mix = conv(width, 4 * width, 1), conv(4 * width, 4 * width, 3, groups=4 * width)
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, width, 1), nn.SiLU())
            self.open = nn.Conv2d(width, 4 * width, 1)
            self.down = nn.Sequential(nn.Conv2d(4 * width, width, 1, bias=False), nn.BatchNorm2d(width))

        def forward(self, x: Tensor) -> Tensor:
            h = self.mix(self.up(x))
            return x + self.down(h * torch.sigmoid(self.open(self.gate(h))))

    model = nn.Sequential(conv(3, 12, 3, 2), *(Inverted(12) for _ in range(4)), conv(12, 48, 1), *pooled(48))
    return pictures(model, make=AdamW, lr=1e-3)


@healthy
def normalizer_free_network() -> Subject:
    """Scaled weight standardization, SkipInit scalars at zero, analytic level of each block."""

    class Standardized(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            w = self.weight
            w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-4)
            w = w / math.sqrt(w[0].numel())
            return F.conv2d(x, w, self.bias, self.stride, self.padding)

    class Block(nn.Module):
        def __init__(self, width: int, beta: float) -> None:
            super().__init__()
            self.a, self.b = (Standardized(width, width, 3, padding=1) for _ in range(2))
            self.beta, self.skip = beta, nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            h = self.a(1.7 * F.gelu(x) / self.beta)
            return x + 0.2 * self.skip * self.b(1.7 * F.gelu(h))

    blocks = [Block(16, math.sqrt(1 + 0.04 * i)) for i in range(6)]
    return pictures(nn.Sequential(Standardized(3, 16, 3, padding=1), *blocks, nn.GELU(), *pooled(16)))


class Layered(nn.Module):
    """A transformer with LayerScale whose class token enters in the last two layers (CaiT)."""

    def __init__(self, width: int = 32, depth: int = 4, scale: float = 1e-5) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.position, self.token = nn.Parameter(torch.empty(1, 16, width)), nn.Parameter(torch.empty(1, 1, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.attention = nn.ModuleList(nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(depth))
        self.mlps = nn.ModuleList(dense(width, 4 * width, width, act=nn.GELU) for _ in range(depth))
        self.scales = nn.ParameterList(nn.Parameter(scale * torch.ones(width)) for _ in range(2 * depth))
        self.head = nn.Linear(width, 10)
        for p in (self.position, self.token, self.head.weight):
            nn.init.trunc_normal_(p, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        token = self.token.expand(len(x), -1, -1)
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlps, strict=True)):
            late = i >= len(self.mlps) - 2
            whole = self.norms[2 * i](torch.cat([token, x], 1) if late else x)
            here = token if late else x
            query = whole[:, :1] if late else whole
            here = here + self.scales[2 * i] * attention(query, whole, whole, need_weights=False)[0]
            here = here + self.scales[2 * i + 1] * mlp(self.norms[2 * i + 1](here))
            token, x = (here, x) if late else (token, here)
        return self.head(self.norms[-1](token)[:, 0])


HEALTHY["class_attention_with_layer_scale"] = lambda: pictures(Layered(), make=AdamW, lr=5e-4, weight_decay=0.05)


@healthy
def video_of_3d_convolutions() -> Subject:
    layers = [nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 5))
    return trained(model, torch.randn(16, 3, 6, 12, 12), labels(5, 16), F.cross_entropy)


@healthy
def pyramid_of_features() -> Subject:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList(conv(a, b, 3, 2) for a, b in ((3, 16), (16, 32), (32, 64)))
            self.side = nn.ModuleList(nn.Conv2d(a, 16, 1) for a in (16, 32, 64))
            self.classes, self.boxes = nn.Conv2d(16, 5, 3, padding=1), nn.Conv2d(16, 4, 3, padding=1)
            nn.init.normal_(self.classes.weight, std=0.01)
            nn.init.constant_(self.classes.bias, -math.log(99))  # RetinaNet: foreground is rare

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            maps = [x := down(x) for down in self.down]
            top = None
            levels = []
            for side, features in zip(reversed(self.side), reversed(maps), strict=True):
                top = side(features) if top is None else side(features) + F.interpolate(top, scale_factor=2)
                levels.append(top)
            return {
                "classes": torch.cat([self.classes(m).flatten(2) for m in levels], 2),
                "boxes": torch.cat([self.boxes(m).flatten(2) for m in levels], 2),
            }

    def loss(output: dict[str, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        hit, boxes = target
        p = output["classes"].sigmoid()
        focal = F.binary_cross_entropy_with_logits(output["classes"], hit, reduction="none")
        focal = (focal * (hit - p).abs() ** 2).sum() / hit.sum()
        found = hit.amax(1, keepdim=True)
        return focal + (F.smooth_l1_loss(output["boxes"], boxes, reduction="none") * found).sum() / found.sum()

    places = 64 + 16 + 4
    target = ((torch.rand(8, 5, places) < 0.02).float(), torch.randn(8, 4, places))
    return trained(Pyramid(), torch.randn(8, 3, 16, 16), target, loss, SGD, lr=0.01, momentum=0.9)


@healthy
def convolutional_vae() -> Subject:
    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(conv(1, 16, 3, 2), conv(16, 32, 3, 2), nn.Flatten(), nn.Linear(512, 16))
            self.into = nn.Linear(8, 512)
            self.decode = nn.Sequential(
                nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1)
            )

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, log = self.encode(x).chunk(2, 1)
            z = mean + torch.randn_like(mean) * (log / 2).exp()
            return self.decode(F.relu(self.into(z)).view(-1, 32, 4, 4)), mean, log

    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        logits, mean, log = output
        picture = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3)).mean()
        return picture - 0.5 * (1 + log - mean.square() - log.exp()).sum(1).mean()

    x = torch.rand(N, 1, 16, 16)
    return trained(VAE(), x, x, loss)


@healthy
def unet_that_predicts_noise() -> Subject:
    class Block(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.GroupNorm(4, a), nn.SiLU(), nn.Conv2d(a, b, 3, padding=1))
            self.time = nn.Linear(32, b)
            self.last = nn.Sequential(nn.GroupNorm(4, b), nn.SiLU(), nn.Conv2d(b, b, 3, padding=1))
            self.skip = nn.Conv2d(a, b, 1)
            nn.init.zeros_(self.last[2].weight)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return self.skip(x) + self.last(self.first(x) + self.time(F.silu(t))[:, :, None, None])

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time = dense(16, 32, 32, act=nn.SiLU)
            self.stem, self.out = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 3, 3, padding=1)
            self.a, self.b, self.mid = Block(16, 16), Block(16, 32), Block(32, 32)
            self.attention, self.norm = nn.MultiheadAttention(32, 4, batch_first=True), nn.GroupNorm(4, 32)
            self.c, self.d = Block(64, 16), Block(32, 16)

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            angle = t[:, None] * torch.logspace(0, -3, 8)
            t = self.time(torch.cat([angle.sin(), angle.cos()], 1))
            a = self.a(self.stem(x), t)
            b = self.b(F.avg_pool2d(a, 2), t)
            h = self.norm(b).flatten(2).transpose(1, 2)
            h = b + self.attention(h, h, h, need_weights=False)[0].transpose(1, 2).view_as(b)
            h = self.c(torch.cat([self.mid(h, t), b], 1), t)
            return self.out(F.silu(self.d(torch.cat([F.interpolate(h, scale_factor=2), a], 1), t)))

    x = torch.randn(8, 3, 16, 16)
    return trained(Net(), (x, torch.rand(8) * 1000), torch.randn_like(x), F.mse_loss, AdamW, lr=2e-4)


@healthy
def segmentation_with_ignored_pixels() -> Subject:
    model = nn.Sequential(
        conv(3, 16), conv(16, 16, 3, 2), conv(16, 32), nn.Conv2d(32, 4, 1), nn.Upsample(scale_factor=2)
    )
    mask = torch.randint(0, 4, (8, 16, 16))
    mask[:, :, :5] = 255
    return trained(
        model, torch.randn(8, 3, 16, 16), mask, lambda o, t: F.cross_entropy(o, t, ignore_index=255), SGD, lr=0.01
    )


@healthy
def masked_autoencoder() -> Subject:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.position = nn.Linear(48, 32), nn.Parameter(0.02 * torch.randn(1, 16, 32))
            self.token = nn.Parameter(0.02 * torch.randn(1, 1, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", norm_first=True, batch_first=True)
            self.encode = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.decode = nn.TransformerEncoder(layer, 1, norm=nn.LayerNorm(32), enable_nested_tensor=False)
            self.out = nn.Linear(32, 48)

        def forward(self, x: Tensor) -> Tensor:
            seen = self.encode((self.embed(x) + self.position)[:, ::4])
            whole = self.token.expand(len(x), 16, -1).clone()
            whole[:, ::4] = seen
            return self.out(self.decode(whole + self.position))

    x = torch.randn(N, 16, 48)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        hidden = torch.arange(16) % 4 != 0
        return (output - target)[:, hidden].square().mean()

    return trained(Masked(), x, x, loss, AdamW, lr=1.5e-4, weight_decay=0.05)


# --- sequences -------------------------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """GPT: learned positions, pre-norm, packed q, k, v, weights of 0.02, scaled residual ends, tied head."""

    def __init__(self, width: int = 32, depth: int = 4, words: int = 200) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(words, width), nn.Embedding(64, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.pack = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.join = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.apply(self._start)
        for layer in (*self.join, *self.down):
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * depth))

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def block(self, i: int, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = (h.view(n, t, 4, -1).transpose(1, 2) for h in self.pack[i](self.norms[2 * i](x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.join[i](mixed.transpose(1, 2).reshape(n, t, c))
        return x + self.down[i](F.gelu(self.up[i](self.norms[2 * i + 1](x))))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.position(torch.arange(ids.shape[1]))
        for i in range(len(self.pack)):
            x = self.block(i, x)
        return F.linear(self.norms[-1](x), self.embed.weight)


def next_word(model: nn.Module, n: int = 8) -> Subject:
    ids = tokens(n, 17)
    return trained(
        model, ids[:, :-1], ids[:, 1:], lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten()),
        AdamW, lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1,
    )  # fmt: skip


HEALTHY["decoder_language_model"] = lambda: next_word(Decoder())
HEALTHY["decoder_on_a_batch_of_two"] = lambda: next_word(Decoder(), 2)


class Checkpointed(Decoder):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def block(self, i: int, x: Tensor) -> Tensor:
        return checkpoint(super().block, i, x, use_reentrant=self.reentrant)


HEALTHY["checkpointed"] = lambda: next_word(Checkpointed(False))
HEALTHY["checkpointed_reentrant"] = lambda: next_word(Checkpointed(True))


class Autocast(Decoder):
    def forward(self, ids: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(ids).float()


HEALTHY["autocast_to_bfloat16"] = lambda: next_word(Autocast())


@healthy
def compiled_submodule() -> Subject:
    body = torch.compile(dense(64, 64, 64), backend="eager")
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), body, nn.ReLU(), nn.Linear(64, 10))
    return trained(model, torch.randn(N, 20), labels(), F.cross_entropy)


@healthy
def on_the_meta_device() -> Subject:
    with torch.device("meta"):
        model = Decoder()
    return Subject(model, tokens(8, 16))


@healthy
def translation_with_padding() -> Subject:
    class Translate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.into = nn.Embedding(90, 32, padding_idx=0), nn.Embedding(90, 32, padding_idx=0)
            self.body, self.out = nn.Transformer(32, 4, 2, 2, 64, batch_first=True), nn.Linear(32, 90)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            causal = nn.Transformer.generate_square_subsequent_mask(b.shape[1])
            mixed = self.body(
                self.source(a) * 32**0.5, self.into(b) * 32**0.5, tgt_mask=causal, src_key_padding_mask=a == 0,
                memory_key_padding_mask=a == 0, tgt_is_causal=True,
            )  # fmt: skip
            return self.out(mixed)

    a, b = torch.randint(1, 90, (16, 9)), torch.randint(1, 90, (16, 8))
    a[::2, 6:], b[::3, 5:] = 0, 0

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output.transpose(1, 2), target, ignore_index=0, label_smoothing=0.1)

    return trained(Translate(), (a, b[:, :-1]), b[:, 1:], loss, Adam, lr=1e-4, betas=(0.9, 0.98), eps=1e-9)


@healthy
def dilated_causal_convolutions() -> Subject:
    class Wave(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv1d(1, 16, 1), nn.Sequential(nn.ReLU(), nn.Conv1d(16, 32, 1))
            self.gated = nn.ModuleList(nn.Conv1d(16, 32, 2, dilation=2**i) for i in range(5))
            self.back = nn.ModuleList(nn.Conv1d(16, 32, 1) for _ in range(5))

        def forward(self, x: Tensor) -> Tensor:
            x, skips = self.stem(x), 0
            for i, (gated, back) in enumerate(zip(self.gated, self.back, strict=True)):
                a, b = gated(F.pad(x, (2**i, 0))).chunk(2, 1)
                more, skip = back(torch.tanh(a) * torch.sigmoid(b)).chunk(2, 1)
                x, skips = x + more, skips + skip
            return self.head(skips)

    wave = torch.sin(torch.linspace(0, 30, 40) * (1 + torch.rand(N, 1)))[:, None]
    target = ((wave[:, 0] + 1) * 15.5).long().roll(-1, 1)
    return trained(Wave(), wave, target, F.cross_entropy)


@healthy
def diagonal_state_space() -> Subject:
    class Diagonal(nn.Module):
        def __init__(self, width: int, states: int = 8) -> None:
            super().__init__()
            self.log_rate = nn.Parameter(torch.log(0.5 * torch.ones(width, states)))
            self.turn = nn.Parameter(math.pi * torch.arange(states).float().repeat(width, 1))
            self.mix = nn.Parameter(torch.randn(width, states, 2) * 0.5**0.5)
            self.log_step = nn.Parameter(torch.rand(width) * 4.6 - 6.9)
            self.skip, self.norm, self.out = (
                nn.Parameter(torch.randn(width)),
                nn.LayerNorm(width),
                nn.Linear(width, width),
            )

        def forward(self, x: Tensor) -> Tensor:
            u, length = self.norm(x).transpose(1, 2), x.shape[1]
            a = torch.complex(-self.log_rate.exp(), self.turn) * self.log_step.exp()[:, None]
            c = torch.view_as_complex(self.mix) * (a.exp() - 1) / a * self.log_step.exp()[:, None]
            kernel = 2 * torch.einsum("hn,hnl->hl", c, (a[..., None] * torch.arange(length)).exp()).real
            y = torch.fft.irfft(torch.fft.rfft(kernel, 2 * length) * torch.fft.rfft(u, 2 * length), 2 * length)
            y = y[..., :length] + u * self.skip[:, None]
            return x + self.out(F.gelu(y.transpose(1, 2)))

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(2, 16), nn.Linear(16, 5)
            self.layers = nn.Sequential(*(Diagonal(16) for _ in range(3)))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layers(self.stem(x)).mean(1))

    return trained(Stack(), torch.randn(N, 24, 2), labels(5), F.cross_entropy, AdamW, lr=1e-3)


@healthy
def linear_attention_with_rotary_positions() -> Subject:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(100, 32), nn.Linear(32, 100)
            self.layers = nn.ModuleList(
                nn.ModuleList([nn.RMSNorm(32), nn.Linear(32, 96, bias=False)]) for _ in range(3)
            )
            self.ffn = nn.ModuleList(nn.ModuleList([nn.Linear(32, 128), nn.Linear(64, 32)]) for _ in range(3))

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embed(ids)
            angle = torch.arange(ids.shape[1])[:, None] * torch.logspace(0, -2, 16)
            for (norm, pack), (up, down) in zip(self.layers, self.ffn, strict=True):
                q, k, v = pack(norm(x)).chunk(3, -1)
                q, k = (torch.cat([h[..., :16] * angle.cos() - h[..., 16:] * angle.sin(), h[..., 16:] * angle.cos()
                                   + h[..., :16] * angle.sin()], -1) for h in (F.elu(q) + 1, F.elu(k) + 1))  # fmt: skip
                weights = (q @ k.transpose(1, 2)).tril()
                x = x + weights @ v / (weights.abs().sum(-1, keepdim=True) + 1)
                a, b = up(x).chunk(2, -1)
                x = x + down(F.silu(a) * b)
            return self.out(x)

    ids = tokens(16, 13, 100)
    return trained(
        Linear(), ids[:, :-1], ids[:, 1:], lambda o, t: F.cross_entropy(o.transpose(1, 2), t), AdamW, lr=5e-4
    )


@healthy
def words_by_negative_sampling() -> Subject:
    class SkipGram(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word, self.context = nn.Embedding(300, 32, sparse=False), nn.Embedding(300, 32)
            nn.init.uniform_(self.word.weight, -0.5 / 32, 0.5 / 32)
            nn.init.zeros_(self.context.weight)

        def forward(self, word: Tensor, around: Tensor) -> Tensor:
            return (self.context(around) @ self.word(word)[:, :, None]).squeeze(-1)

    truth = torch.zeros(64, 6)
    truth[:, 0] = 1
    example = (torch.randint(0, 300, (64,)), torch.randint(0, 300, (64, 6)))
    return trained(SkipGram(), example, truth, F.binary_cross_entropy_with_logits, SGD, lr=0.5)


# --- representations -------------------------------------------------------------------------------------------------


@healthy
def simclr() -> Subject:
    encoder = nn.Sequential(conv(3, 16, 3, 2), conv(16, 32, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(encoder, dense(32, 64, 16))
    x = torch.randn(16, 3, 16, 16)
    views = torch.cat([x + 0.3 * torch.randn_like(x), x + 0.3 * torch.randn_like(x)])

    def loss(z: Tensor, positive: Tensor) -> Tensor:
        z = F.normalize(z, dim=1)
        return F.cross_entropy((z @ z.T / 0.5).masked_fill(torch.eye(32, dtype=torch.bool), -1e9), positive)

    return trained(model, views, (torch.arange(32) + 16) % 32, loss)


@healthy
def barlow_twins() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
    x = torch.randn(N, 20)

    def loss(z: Tensor, _: Any) -> Tensor:
        a, b = ((h - h.mean(0)) / (h.std(0) + 1e-5) for h in z.chunk(2))
        c = a.T @ b / len(a)
        off = c - torch.diag(c.diagonal())
        return (1 - c.diagonal()).square().sum() + 5e-3 * off.square().sum()

    return trained(model, torch.cat([x, x + 0.2 * torch.randn_like(x)]), None, loss)


@healthy
def triplets() -> Subject:
    class Triple(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = dense(20, 64, 16)

        def forward(self, a: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.encode(h) for h in (a, p, n))

    a = torch.randn(N, 20)
    example = (a, a + 0.3 * torch.randn(N, 20), torch.randn(N, 20))
    return trained(Triple(), example, None, lambda o, _: F.triplet_margin_loss(*o))


@healthy
def pairs_with_a_margin() -> Subject:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = dense(20, 64, 2)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return F.pairwise_distance(self.encode(a), self.encode(b))

    def loss(distance: Tensor, same: Tensor) -> Tensor:
        return (same * distance**2 + (1 - same) * F.relu(1 - distance) ** 2).mean()

    return trained(Pair(), (torch.randn(N, 20), torch.randn(N, 20)), labels(2).float(), loss)


# --- densities, physics, control -------------------------------------------------------------------------------------


@healthy
def mixture_density() -> Subject:
    def loss(output: Tensor, y: Tensor) -> Tensor:
        weight, mean, log = output.chunk(3, 1)
        each = F.log_softmax(weight, 1) - 0.5 * ((y - mean) / log.exp()) ** 2 - log - 0.5 * math.log(2 * math.pi)
        return -torch.logsumexp(each, 1).mean()

    return trained(dense(1, 32, 15, act=nn.Tanh), torch.randn(64, 1), torch.randn(64, 1), loss)


@healthy
def coupling_flow() -> Subject:
    class Flow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nets = nn.ModuleList(dense(3, 32, 32, 6) for _ in range(4))
            for net in self.nets:
                nn.init.zeros_(net[-1].weight)
                nn.init.zeros_(net[-1].bias)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            total = x.new_zeros(len(x))
            for net in self.nets:
                a, b = x.chunk(2, 1)
                scale, shift = net(a).chunk(2, 1)
                scale = torch.tanh(scale)
                x, total = torch.cat([b * scale.exp() + shift, a], 1), total + scale.sum(1)
            return x, total

    x = torch.randn(64, 6) * 2 + 1
    return trained(Flow(), x, None, lambda o, _: (0.5 * o[0].square().sum(1) - o[1]).mean())


@healthy
def masked_autoregression() -> Subject:
    class Masked(nn.Linear):
        def __init__(self, a: Tensor, b: Tensor, strict: bool) -> None:
            super().__init__(len(a), len(b))
            self.register_buffer("mask", (b[:, None] > a if strict else b[:, None] >= a).float())

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.mask * self.weight, self.bias)

    order, hidden = torch.arange(12), torch.arange(48) % 11
    model = nn.Sequential(Masked(order, hidden, False), nn.ReLU(), Masked(hidden, order, True))
    x = (torch.rand(64, 12) < 0.4).float()
    return trained(model, x, x, F.binary_cross_entropy_with_logits)


@healthy
def second_derivatives_in_the_loss() -> Subject:
    class Solve(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = dense(1, 32, 32, 1, act=nn.Tanh)
            for layer in self.net[::2]:
                nn.init.xavier_normal_(layer.weight)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                u = self.net(x)
                first = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
                return u, torch.autograd.grad(first.sum(), x, create_graph=True)[0]

    def loss(output: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        u, second = output
        return (second + math.pi**2 * torch.sin(math.pi * x)).square().mean() + 10 * u[:2].square().mean()

    x = torch.cat([torch.tensor([[0.0], [1.0]]), torch.rand(62, 1)])
    return trained(Solve(), x, x, loss)


@healthy
def hamiltonian_dynamics() -> Subject:
    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = dense(2, 64, 64, 1, act=nn.Tanh)

        def forward(self, state: Tensor) -> Tensor:
            with torch.enable_grad():
                state = state.detach().requires_grad_()
                slope = torch.autograd.grad(self.net(state).sum(), state, create_graph=True)[0]
            return torch.stack([slope[:, 1], -slope[:, 0]], 1)

    state = torch.randn(64, 2)
    return trained(Energy(), state, torch.stack([state[:, 1], -state[:, 0].sin()], 1), F.mse_loss)


@healthy
def neural_ode_in_fixed_steps() -> Subject:
    class Ode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.field, self.stem, self.head = dense(16, 32, 16, act=nn.Tanh), nn.Linear(4, 16), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for _ in range(8):
                x = x + self.field(x + self.field(x) / 16) / 8
            return self.head(x)

    return trained(Ode(), torch.randn(N, 4), labels(3), F.cross_entropy)


@healthy
def policy_gradient() -> Subject:
    def loss(logits: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
        action, reward = target
        chosen = torch.distributions.Categorical(logits=logits)
        return -(chosen.log_prob(action) * reward).mean() - 0.01 * chosen.entropy().mean()

    returns = torch.randn(64)
    target = (torch.randint(0, 2, (64,)), (returns - returns.mean()) / returns.std())
    return trained(dense(4, 64, 64, 2, act=nn.Tanh), torch.randn(64, 4), target, loss, Adam, lr=3e-3)


@healthy
def clipped_surrogate_of_actor_and_critic() -> Subject:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.actor, self.critic = (dense(8, 64, 64, out, act=nn.Tanh) for out in (3, 1))
            self.log_std = nn.Parameter(torch.zeros(3))
            for net, last in ((self.actor, 0.01), (self.critic, 1.0)):
                for layer in net[::2]:
                    nn.init.orthogonal_(layer.weight, last if layer is net[-1] else 2**0.5)
                    nn.init.zeros_(layer.bias)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return self.actor(x), self.log_std.exp(), self.critic(x).squeeze(1)

    def loss(output: tuple[Tensor, Tensor, Tensor], target: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        (mean, std, value), (action, old, advantage, returns) = output, target
        ratio = (torch.distributions.Normal(mean, std).log_prob(action).sum(1) - old).exp()
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        return -surrogate.mean() + 0.5 * F.mse_loss(value, returns)

    action = torch.randn(64, 3)
    old = torch.distributions.Normal(0.0, 1.0).log_prob(action).sum(1)
    return trained(Both(), torch.randn(64, 8), (action, old, torch.randn(64), torch.randn(64)), loss, Adam, lr=3e-4)


@healthy
def q_learning_with_a_target_network() -> Subject:
    class Q(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online, self.slow = dense(4, 64, 64, 2), dense(4, 64, 64, 2)
            self.slow.load_state_dict(self.online.state_dict())
            self.slow.requires_grad_(False)

        def forward(self, state: Tensor, action: Tensor, after: Tensor, reward: Tensor) -> tuple[Tensor, Tensor]:
            chosen = self.online(state).gather(1, action[:, None]).squeeze(1)
            with torch.no_grad():
                return chosen, reward + 0.99 * self.slow(after).amax(1)

    example = (torch.randn(64, 4), torch.randint(0, 2, (64,)), torch.randn(64, 4), torch.ones(64))
    return trained(Q(), example, None, lambda o, _: F.smooth_l1_loss(*o))


@healthy
def reversed_gradients_of_a_domain() -> Subject:
    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.view_as(x)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return -0.3 * grad

    class Domains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(dense(20, 64, 32), nn.ReLU())
            self.label, self.domain = nn.Linear(32, 4), dense(32, 32, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(x)
            return self.label(h), self.domain(Reverse.apply(h)).squeeze(1)

    def loss(output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(output[0], target[0]) + F.binary_cross_entropy_with_logits(output[1], target[1])

    return trained(Domains(), torch.randn(N, 20), (labels(4), (torch.arange(N) < N // 2).float()), loss)


# --- tables, sets, graphs, fields ------------------------------------------------------------------------------------


@healthy
def matrix_factorization() -> Subject:
    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(80, 16), nn.Embedding(120, 16)
            self.user_bias, self.item_bias = nn.Embedding(80, 1), nn.Embedding(120, 1)
            for table, std in ((self.user, 0.1), (self.item, 0.1), (self.user_bias, 0.0), (self.item_bias, 0.0)):
                nn.init.normal_(table.weight, std=std)
            self.mean = nn.Parameter(torch.tensor(3.5))

        def forward(self, user: Tensor, item: Tensor) -> Tensor:
            bias = self.user_bias(user) + self.item_bias(item)
            return self.mean + bias.squeeze(1) + (self.user(user) * self.item(item)).sum(1)

    example = (torch.randint(0, 80, (128,)), torch.randint(0, 120, (128,)))
    return trained(Factors(), example, torch.randint(1, 6, (128,)).float(), F.mse_loss, Adam, lr=5e-3)


@healthy
def wide_and_deep_click_model() -> Subject:
    class Click(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.table = nn.Embedding(500, 1), nn.Embedding(500, 8)
            nn.init.normal_(self.table.weight, std=0.01)
            self.deep = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

        def forward(self, ids: Tensor) -> Tensor:
            e = self.table(ids)
            pairs = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
            return self.first(ids).sum((1, 2)) + pairs + self.deep(e.flatten(1)).squeeze(1)

    clicks = (torch.rand(128) < 0.2).float()
    return trained(Click(), torch.randint(0, 500, (128, 6)), clicks, F.binary_cross_entropy_with_logits)


@healthy
def table_with_feature_tokens() -> Subject:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = (nn.Parameter(torch.rand(10, 32) * 0.35 - 0.18) for _ in range(2))
            self.token = nn.Parameter(torch.rand(1, 1, 32) * 0.35 - 0.18)
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, norm_first=True, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
            self.head = nn.Sequential(nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, x: Tensor) -> Tensor:
            x = x[:, :, None] * self.weight + self.bias
            return self.head(self.body(torch.cat([self.token.expand(len(x), -1, -1), x], 1))[:, 0])

    return trained(Table(), torch.randn(64, 10), torch.randn(64, 1), F.mse_loss, AdamW, lr=1e-4)


@healthy
def attention_over_edges() -> Subject:
    class Attend(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.map, self.score = nn.Linear(a, b, bias=False), nn.Parameter(torch.empty(1, 2 * b))
            nn.init.xavier_uniform_(self.map.weight, 1.414)
            nn.init.xavier_uniform_(self.score, 1.414)

        def forward(self, x: Tensor, source: Tensor, into: Tensor) -> Tensor:
            h = self.map(x)
            e = F.leaky_relu((torch.cat([h[source], h[into]], 1) * self.score).sum(1), 0.2)
            e = (e - e.max().detach()).exp()
            total = torch.zeros(len(x)).index_add(0, into, e)
            return torch.zeros_like(h).index_add(0, into, h[source] * (e / (total[into] + 1e-9))[:, None])

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Attend(16, 32), Attend(32, 4)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            return self.b(F.elu(self.a(x, *edges)), *edges)

    edges = torch.cat([torch.randint(0, 60, (2, 240)), torch.arange(60).repeat(2, 1)], 1)
    return trained(Graph(), (torch.randn(60, 16), edges), labels(4, 60), F.cross_entropy, Adam, lr=5e-3)


@healthy
def sum_over_a_set() -> Subject:
    class Sets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each, self.all = dense(3, 64, 64), dense(64, 64, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.all(self.each(x).mean(1))

    return trained(Sets(), torch.randn(N, 20, 3), labels(5), F.cross_entropy)


@healthy
def radiance_field() -> Subject:
    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.out = dense(36, 64, 64), dense(64 + 36, 64), nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            angle = x[:, :, None] * 2.0 ** torch.arange(6)
            code = torch.cat([angle.sin(), angle.cos()], -1).flatten(1)
            out = self.out(F.relu(self.b(torch.cat([F.relu(self.a(code)), code], 1))))
            return torch.cat([out[:, :3].sigmoid(), F.relu(out[:, 3:])], 1)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        colour = output[:, :3] * (1 - (-output[:, 3:]).exp())
        return F.mse_loss(colour, target)

    return trained(Field(), torch.rand(256, 3) * 2 - 1, torch.rand(256, 3), loss, Adam, lr=5e-4)


# --- unusual parameters ----------------------------------------------------------------------------------------------


@healthy
def binary_weights_with_a_straight_through_gradient() -> Subject:
    class Binary(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            scale = self.weight.abs().mean(1, keepdim=True)
            hard = scale * self.weight.sign()
            return F.linear(x, self.weight + (hard - self.weight).detach(), self.bias)

    layers = [nn.Linear(20, 64), nn.BatchNorm1d(64), nn.Hardtanh(), Binary(64, 64), nn.BatchNorm1d(64), nn.Hardtanh()]
    return trained(nn.Sequential(*layers, nn.Linear(64, 10)), torch.randn(N, 20), labels(), F.cross_entropy)


@healthy
def highway() -> Subject:
    class Highway(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.body, self.gate = nn.Linear(width, width), nn.Linear(width, width)
            nn.init.constant_(self.gate.bias, -2.0)

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.sigmoid(self.gate(x))
            return gate * F.relu(self.body(x)) + (1 - gate) * x

    model = nn.Sequential(nn.Linear(20, 32), *(Highway(32) for _ in range(8)), nn.Linear(32, 10))
    return trained(model, torch.randn(N, 20), labels(), F.cross_entropy)


@healthy
def self_normalizing() -> Subject:
    model = dense(20, 64, 64, 64, 64, 64, 64, 10, act=nn.SELU)
    for layer in model[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        nn.init.zeros_(layer.bias)
    return trained(model, torch.randn(N, 20), labels(), F.cross_entropy)


@healthy
def splines_on_edges() -> Subject:
    class Splines(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.base = nn.Linear(a, b, bias=False)
            self.spline = nn.Linear(8 * a, b, bias=False)
            nn.init.normal_(self.spline.weight, std=0.1 / math.sqrt(8 * a))
            self.register_buffer("grid", torch.linspace(-2, 2, 8))

        def forward(self, x: Tensor) -> Tensor:
            bumps = (-(((x[..., None] - self.grid) / 0.57) ** 2)).exp()
            return self.base(F.silu(x)) + self.spline(bumps.flatten(1))

    return trained(nn.Sequential(Splines(6, 16), Splines(16, 1)), torch.randn(64, 6), torch.randn(64, 1), F.mse_loss)


@healthy
def soft_experts_with_a_balancing_term() -> Subject:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.router, self.head = nn.Linear(20, 32), nn.Linear(32, 8, bias=False), nn.Linear(32, 10)
            self.up = nn.Parameter(torch.randn(8, 32, 64) * (2 / 32) ** 0.5)
            self.down = nn.Parameter(torch.randn(8, 64, 32) * (1 / 64) ** 0.5)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.stem(x)
            share = self.router(x).softmax(-1)
            weight, choice = share.topk(2)
            gate = torch.zeros_like(share).scatter(1, choice, weight / weight.sum(1, keepdim=True))
            each = torch.einsum("neh,ehd->ned", F.relu(torch.einsum("nd,edh->neh", x, self.up)), self.down)
            balance = 8 * ((gate > 0).float().mean(0) * share.mean(0)).sum()
            return self.head(x + (gate[:, :, None] * each).sum(1)), balance

    return trained(
        Experts(), torch.randn(N, 20), labels(), lambda o, t: F.cross_entropy(o[0], t) + 0.01 * o[1], AdamW, lr=1e-3
    )


@healthy
def prompts_for_a_frozen_encoder() -> Subject:
    class Prompted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
            self.embed, self.body = nn.Embedding(100, 32), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.requires_grad_(False)
            self.prompt, self.head = nn.Parameter(torch.randn(1, 4, 32) * 0.5), nn.Linear(32, 3)

        def forward(self, ids: Tensor) -> Tensor:
            x = torch.cat([self.prompt.expand(len(ids), -1, -1), self.embed(ids)], 1)
            return self.head(self.body(x).mean(1))

    return trained(Prompted(), tokens(N, 8, 100), labels(3), F.cross_entropy, AdamW, lr=1e-2)


@healthy
def in_float64() -> Subject:
    return trained(
        dense(8, 32, 1, act=nn.Tanh).double(), torch.randn(N, 8).double(), torch.randn(N, 1).double(), F.mse_loss
    )


@healthy
def ordinal_thresholds() -> Subject:
    class Ordinal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.cuts = dense(10, 32, 1), nn.Parameter(torch.linspace(-1, 1, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) - self.cuts

    grade = labels(5)
    levels = (grade[:, None] > torch.arange(4)).float()
    return trained(Ordinal(), torch.randn(N, 10), levels, F.binary_cross_entropy_with_logits)

"""A zoo of models that are healthy at their usual start: a check must be silent on every one of them."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.run import Subject

HEALTHY: dict[str, Callable[[], Subject]] = {}
N = 32


def healthy(build: Callable[[], Subject]) -> Callable[[], Subject]:
    HEALTHY[build.__name__] = build
    return build


def labels(classes: int = 10, n: int = N) -> Tensor:
    return torch.arange(n) % classes


def classifier(model: nn.Module, *shape: int, classes: int = 10, n: int = N) -> Subject:
    return Subject(model, torch.randn(n, *shape), labels(classes, n), F.cross_entropy)


def mlp(depth: int, act: Callable[[], nn.Module], width: int = 64) -> Subject:
    sizes = [20] + [width] * (depth - 1)
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), act())]
    return classifier(nn.Sequential(*layers, nn.Linear(width, 10)), 20)


for depth in (1, 2, 3, 4, 6):
    HEALTHY[f"relu_mlp_{depth}"] = lambda depth=depth: mlp(depth, nn.ReLU) if depth > 1 else linear()
HEALTHY["tanh_mlp_6"] = lambda: mlp(6, nn.Tanh)
HEALTHY["gelu_mlp_5"] = lambda: mlp(5, nn.GELU)
HEALTHY["silu_mlp_4"] = lambda: mlp(4, nn.SiLU)
HEALTHY["sigmoid_mlp_2"] = lambda: mlp(2, nn.Sigmoid)


def linear() -> Subject:
    return classifier(nn.Linear(20, 10), 20)


@healthy
def dropout_mlp() -> Subject:
    parts = [
        nn.Linear(20, 64),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(64, 10),
    ]
    return classifier(nn.Sequential(*parts), 20)


@healthy
def batchnorm_mlp() -> Subject:
    body = [part for _ in range(6) for part in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    return classifier(nn.Sequential(nn.Linear(20, 64), *body, nn.Linear(64, 10)), 20)


@healthy
def binary_classifier() -> Subject:
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
    return Subject(model, torch.randn(N, 20), (torch.arange(N) % 2)[:, None].float(), F.binary_cross_entropy)


@healthy
def regression() -> Subject:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return Subject(model, torch.randn(N, 8), torch.randn(N, 1), F.mse_loss)


# --- images ----------------------------------------------------------------------------------------------------


@healthy
def lenet() -> Subject:
    convs = [nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)]
    full = [nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)]
    return classifier(nn.Sequential(*convs, *full), 1, 28, 28)


@healthy
def small_cnn() -> Subject:
    convs = [nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return classifier(
        nn.Sequential(*convs, nn.Flatten(), nn.Linear(32 * 36, 64), nn.ReLU(), nn.Linear(64, 10)), 3, 32, 32
    )


@healthy
def vgg_bn() -> Subject:
    layers: list[nn.Module] = []
    width = 3
    for out in (16, 16, 0, 32, 32, 0, 64, 64, 0):
        layers += (
            [nn.Conv2d(width, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(True)] if out else [nn.MaxPool2d(2)]
        )
        width = out or width
    return classifier(
        nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 64), nn.ReLU(), nn.Linear(64, 10)), 3, 32, 32
    )


class Basic(nn.Module):
    def __init__(self, a: int, b: int, stride: int = 1, zero: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.relu = nn.ReLU(inplace=True)
        self.down = (
            nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)) if a != b else nn.Identity()
        )
        if zero:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.down(x)
        return self.relu(out)


def resnet(zero: bool, blocks: int = 2) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True)]
    width = 16
    for out in (16, 32, 64):
        for _i in range(blocks):
            layers.append(Basic(width, out, 2 if out > width else 1, zero))
            width = out
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


HEALTHY["resnet"] = lambda: classifier(resnet(False), 3, 32, 32)
HEALTHY["resnet_zero_gamma"] = lambda: classifier(resnet(True), 3, 32, 32)
HEALTHY["resnet_deep"] = lambda: classifier(resnet(False, blocks=6), 3, 16, 16, n=16)


class PreAct(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@healthy
def preact_resnet() -> Subject:
    blocks = [PreAct(16) for _ in range(10)]
    tail = [nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    return classifier(nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), *blocks, *tail), 3, 16, 16)


class NextBlock(nn.Module):
    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(scale * torch.ones(width))
        for layer in (self.up, self.down, self.depthwise):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


def convnext(scale: float) -> Subject:
    blocks = [NextBlock(24, scale) for _ in range(6)]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 10)]
    return classifier(nn.Sequential(nn.Conv2d(3, 24, 4, 4), *blocks, *tail), 3, 32, 32)


HEALTHY["convnext_layerscale"] = lambda: convnext(1e-6)
HEALTHY["rezero_convnext"] = lambda: convnext(0.0)


@healthy
def mobilenet() -> Subject:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
    for a, b in ((16, 24), (24, 32), (32, 48)):
        layers += [nn.Conv2d(a, a, 3, 1, 1, groups=a, bias=False), nn.BatchNorm2d(a), nn.ReLU6()]
        layers += [nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU6()]
    return classifier(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)), 3, 32, 32)


class SqueezeExcite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.fc1, self.fc2 = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn(self.conv(x)))
        gate = torch.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(y, 1)))))
        return x + gate * y


@healthy
def squeeze_excite() -> Subject:
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return classifier(nn.Sequential(nn.Conv2d(3, 32, 3), *(SqueezeExcite(32) for _ in range(4)), *tail), 3, 16, 16)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.d1, self.d2, self.mid = self.double(3, 8), self.double(8, 16), self.double(16, 32)
        self.up2, self.u2 = nn.ConvTranspose2d(32, 16, 2, 2), self.double(32, 16)
        self.up1, self.u1 = nn.ConvTranspose2d(16, 8, 2, 2), self.double(16, 8)
        self.out = nn.Conv2d(8, 4, 1)

    @staticmethod
    def double(a: int, b: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(True),
            nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        c = self.up2(self.mid(F.max_pool2d(b, 2)))
        b = self.up1(self.u2(torch.cat([b, c], 1)))
        return self.out(self.u1(torch.cat([a, b], 1)))


@healthy
def unet() -> Subject:
    return Subject(UNet(), torch.randn(8, 3, 16, 16), torch.randint(0, 4, (8, 16, 16)), F.cross_entropy)


@healthy
def conv1d_classifier() -> Subject:
    convs = [
        nn.Conv1d(2, 16, 5, 2),
        nn.ReLU(),
        nn.Conv1d(16, 32, 5, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
    ]
    return classifier(nn.Sequential(*convs, nn.Linear(32, 5)), 2, 64, classes=5)


@healthy
def weight_and_spectral_norm() -> Subject:
    from torch.nn.utils.parametrizations import spectral_norm, weight_norm

    model = nn.Sequential(
        weight_norm(nn.Linear(20, 64)), nn.ReLU(), spectral_norm(nn.Linear(64, 64)), nn.ReLU(), nn.Linear(64, 10)
    )
    return classifier(model, 20)


# --- generative ------------------------------------------------------------------------------------------------


@healthy
def autoencoder() -> Subject:
    model = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid()
    )
    x = torch.rand(N, 64)
    return Subject(model, x, x, F.mse_loss)


class TiedAutoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 64) / 8)
        self.bias = nn.Parameter(torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.T) @ self.weight + self.bias


@healthy
def tied_autoencoder() -> Subject:
    x = torch.randn(N, 64)
    return Subject(TiedAutoencoder(), x, x, F.mse_loss)


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.mu, self.logvar = nn.Linear(32, 8), nn.Linear(32, 8)
        self.decode = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        mu, logvar = self.mu(h), self.logvar(h)
        return self.decode(mu + torch.randn_like(mu) * torch.exp(logvar / 2)), mu, logvar


@healthy
def vae() -> Subject:
    x = torch.rand(N, 64)

    def elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        y, mu, logvar = output
        return F.binary_cross_entropy(y, x, reduction="sum") - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum()

    return Subject(VAE(), x, x, elbo)


def dcgan_start(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
    return model


@healthy
def dcgan_generator() -> Subject:
    parts: list[nn.Module] = [nn.ConvTranspose2d(16, 64, 4, bias=False), nn.BatchNorm2d(64), nn.ReLU(True)]
    for a, b in ((64, 32), (32, 16)):
        parts += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
    model = nn.Sequential(*parts, nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False), nn.Tanh())
    return Subject(dcgan_start(model), torch.randn(N, 16, 1, 1))


@healthy
def dcgan_discriminator() -> Subject:
    parts: list[nn.Module] = [nn.Conv2d(3, 16, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for a, b in ((16, 32), (32, 64)):
        parts += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, True)]
    model = nn.Sequential(*parts, nn.Conv2d(64, 1, 4, bias=False), nn.Flatten(0), nn.Sigmoid())
    return Subject(dcgan_start(model), torch.randn(N, 3, 32, 32), torch.ones(N), F.binary_cross_entropy)


class Denoiser(nn.Module):
    """A diffusion model with a zero output layer and zero last weights of its blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 32))
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, 32) for _ in range(3))
        self.first = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(3))
        self.last = nn.ModuleList(nn.Conv2d(32, 32, 3, padding=1) for _ in range(3))
        self.out = nn.Conv2d(32, 3, 3, padding=1)
        for layer in (*self.last, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * torch.logspace(0, -3, 8)
        emb = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        h = self.stem(x)
        for norm, first, last in zip(self.norms, self.first, self.last, strict=True):
            h = h + last(F.silu(first(F.silu(norm(h))) + emb[:, :, None, None]))
        return self.out(F.silu(h))


@healthy
def diffusion() -> Subject:
    x = torch.randn(8, 3, 16, 16)
    return Subject(Denoiser(), (x, torch.rand(8) * 1000), torch.randn_like(x), F.mse_loss)


# --- sequences -------------------------------------------------------------------------------------------------


class LastStep(nn.Module):
    def __init__(
        self, cell: type[nn.RNNBase], layers: int = 1, packed: bool = False, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 16)
        self.rnn = cell(16, 32, layers, batch_first=True, dropout=0.1 * (layers > 1), bidirectional=bidirectional)
        self.head = nn.Linear(64 if bidirectional else 32, 4)
        self.packed = packed

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if self.packed:
            lengths = torch.arange(len(x)) % x.shape[1] + 1
            x = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, hidden = self.rnn(x)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return self.head(hidden[-1] if self.packed or self.head.in_features == 32 else out[:, -1])


def tokens(n: int = N, length: int = 12, vocabulary: int = 200) -> Tensor:
    return torch.randint(0, vocabulary, (n, length))


def sequence_classifier(model: nn.Module) -> Subject:
    return Subject(model, tokens(), labels(4), F.cross_entropy)


HEALTHY["lstm"] = lambda: sequence_classifier(LastStep(nn.LSTM))
HEALTHY["lstm_packed"] = lambda: sequence_classifier(LastStep(nn.LSTM, packed=True))
HEALTHY["lstm_2_bidirectional"] = lambda: sequence_classifier(LastStep(nn.LSTM, 2, bidirectional=True))
HEALTHY["gru"] = lambda: sequence_classifier(LastStep(nn.GRU))
HEALTHY["rnn"] = lambda: sequence_classifier(LastStep(nn.RNN))


class HandLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Linear(8 + 16, 64), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), 16)
        for step in x.unbind(1):
            i, f, g, o = self.gates(torch.cat([step, h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.head(h)


@healthy
def hand_written_lstm() -> Subject:
    return classifier(HandLSTM(), 10, 8, classes=4)


class Seq2Seq(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source, self.into = nn.Embedding(100, 24), nn.Embedding(100, 24)
        self.encoder, self.decoder = nn.GRU(24, 32, batch_first=True), nn.GRU(24, 32, batch_first=True)
        self.query, self.head = nn.Linear(32, 32), nn.Linear(64, 100)

    def forward(self, source: Tensor, into: Tensor) -> Tensor:
        memory, hidden = self.encoder(self.source(source))
        states, _ = self.decoder(self.into(into), hidden)
        weights = torch.softmax(self.query(states) @ memory.transpose(1, 2), -1)
        return self.head(torch.cat([states, weights @ memory], -1))


@healthy
def seq2seq() -> Subject:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    return Subject(Seq2Seq(), (tokens(16, 9, 100), tokens(16, 7, 100)), tokens(16, 7, 100), loss)


class Encoder(nn.Module):
    """Tokens, learned positions, `nn.TransformerEncoder`, mean, head."""

    def __init__(self, norm_first: bool, layers: int) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(200, 32), nn.Parameter(torch.randn(1, 12, 32) * 0.02)
        layer = nn.TransformerEncoderLayer(32, 4, 64, norm_first=norm_first, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(32, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(tokens) + self.position).mean(1))


HEALTHY["transformer_post_ln"] = lambda: sequence_classifier(Encoder(False, 4))
HEALTHY["transformer_pre_ln"] = lambda: sequence_classifier(Encoder(True, 8))


@healthy
def torch_transformer() -> Subject:
    model = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
    return Subject(model, (torch.randn(8, 10, 32), torch.randn(8, 6, 32)))


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 48, 8, 8)
        self.cls, self.position = nn.Parameter(torch.zeros(1, 1, 48)), nn.Parameter(torch.randn(1, 17, 48) * 0.02)
        layer = nn.TransformerEncoderLayer(48, 4, 96, activation="gelu", norm_first=True, batch_first=True, dropout=0.0)
        self.blocks = nn.TransformerEncoder(layer, 6, norm=nn.LayerNorm(48), enable_nested_tensor=False)
        self.head = nn.Linear(48, 10)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.blocks(x)[:, 0])


@healthy
def vit_zero_head() -> Subject:
    return classifier(ViT(), 3, 32, 32)


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, 8)
        self.norms = nn.ModuleList(nn.LayerNorm(32) for _ in range(8))
        self.tokens = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(4))
        self.channels = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(4))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        for i in range(4):
            x = x + self.tokens[i](self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + self.channels[i](self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


@healthy
def mlp_mixer() -> Subject:
    return classifier(Mixer(), 3, 32, 32)


# --- adaptation, routing, sharing ------------------------------------------------------------------------------


class LoRA(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + F.linear(F.linear(x, self.a), self.b)


@healthy
def lora() -> Subject:
    parts = [LoRA(nn.Linear(20, 64)), nn.ReLU(), LoRA(nn.Linear(64, 64)), nn.ReLU(), LoRA(nn.Linear(64, 10))]
    return classifier(nn.Sequential(*parts), 20)


@healthy
def frozen_backbone() -> Subject:
    model = resnet(False)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model[-1].requires_grad_(True)
    return classifier(model.eval(), 3, 16, 16)


class ReZero(nn.Module):
    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(20, width), nn.Linear(width, 10)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(depth))
        self.scale = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block, scale in zip(self.blocks, self.scale, strict=True):
            x = x + scale * block(x)
        return self.head(x)


@healthy
def rezero() -> Subject:
    return classifier(ReZero(32, 12), 20)


class Fixup(nn.Module):
    def __init__(self, width: int = 16, depth: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.conv1 = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth))
        self.conv2 = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(depth))
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(4)) for _ in range(depth))
        self.scale = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(depth))
        self.head = nn.Linear(width, 10)
        for first, last in zip(self.conv1, self.conv2, strict=True):
            nn.init.normal_(first.weight, std=(2 / (9 * width)) ** 0.5 * depth**-0.5)
            nn.init.zeros_(last.weight)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for first, last, bias, scale in zip(self.conv1, self.conv2, self.bias, self.scale, strict=True):
            x = F.relu(x + scale * last(F.relu(first(x + bias[0]) + bias[1]) + bias[2]) + bias[3])
        return self.head(x.mean((2, 3)))


@healthy
def fixup() -> Subject:
    return classifier(Fixup(), 3, 16, 16)


class MixtureOfExperts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.router = nn.Linear(20, 32), nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(4))
        self.head = nn.Linear(32, 10)
        nn.init.constant_(self.router.bias, 0.0)
        with torch.no_grad():
            self.router.bias[3] = -100.0  # an expert that no token chooses

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        weight, choice = self.router(x).softmax(-1).topk(2)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, slot = torch.nonzero(choice == number, as_tuple=True)
            out = out.index_add(0, rows, expert(x[rows]) * weight[rows, slot, None])
        return self.head(x + out)


@healthy
def mixture_of_experts() -> Subject:
    return classifier(MixtureOfExperts(), 20)


class RareRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.body = nn.Embedding(5000, 16, padding_idx=0), nn.Linear(16, 32)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embed(tokens).mean(1))))


@healthy
def rare_rows() -> Subject:
    return Subject(RareRows(), tokens(), labels(2), F.cross_entropy)


class TiedLM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(200, 32), nn.LSTM(32, 32, batch_first=True)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.head = nn.Linear(32, 200, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(tokens))[0]).flatten(0, 1)


@healthy
def tied_language_model() -> Subject:
    return Subject(TiedLM(), tokens(), tokens().flatten(), F.cross_entropy)


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = F.normalize(self.encoder(a), dim=-1), F.normalize(self.encoder(b), dim=-1)
        return a @ b.T / 0.1


@healthy
def contrastive() -> Subject:
    x = torch.randn(N, 20)
    return Subject(Siamese(), (x, x + 0.1 * torch.randn_like(x)), torch.arange(N), F.cross_entropy)


@healthy
def bfloat16_mlp() -> Subject:
    s = mlp(3, nn.ReLU)
    return Subject(s.model.bfloat16(), s.example.bfloat16(), s.target, s.loss)


@healthy
def dueling_q_network() -> Subject:
    class Dueling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
            self.value, self.advantage = nn.Linear(64, 1), nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.body(x)
            a = self.advantage(h)
            return self.value(h) + a - a.mean(1, keepdim=True)

    return Subject(Dueling(), torch.randn(N, 4), torch.randn(N, 2), F.smooth_l1_loss)


@healthy
def implicit_field() -> Subject:
    """SIREN: sines of frequency 30 with their own start."""

    class Sine(nn.Module):
        def __init__(self, a: int, b: int, first: bool = False) -> None:
            super().__init__()
            self.linear = nn.Linear(a, b)
            bound = 1 / a if first else (6 / a) ** 0.5 / 30
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(30 * self.linear(x))

    model = nn.Sequential(Sine(2, 64, True), Sine(64, 64), Sine(64, 64), nn.Linear(64, 3))
    nn.init.uniform_(model[3].weight, -((6 / 64) ** 0.5) / 30, (6 / 64) ** 0.5 / 30)
    return Subject(model, torch.rand(256, 2) * 2 - 1, torch.rand(256, 3), F.mse_loss)

"""Architectures that no threshold may be tuned on: none is in the healthy zoo, each starts as its library does.

They are written down once and left alone. A false alarm on one of them is told in `tests/check/test_held_out.py`; it is
mended by a better rule, found on the zoo or on a new case, never by moving a limit until this list is quiet.
"""

from collections.abc import Callable
from itertools import pairwise
from math import log, pi
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.run import Subject

HELD_OUT: dict[str, Callable[[], Subject]] = {}
N = 32


def held_out(build: Callable[[], Subject]) -> Callable[[], Subject]:
    HELD_OUT[build.__name__] = build
    return build


def labels(classes: int = 10, n: int = N) -> Tensor:
    return torch.arange(n) % classes


def classified(model: nn.Module, *shape: int, classes: int = 10, n: int = N) -> Subject:
    return Subject(model, torch.randn(n, *shape), labels(classes, n), F.cross_entropy)


def regressed(model: nn.Module, *shape: int, n: int = N) -> Subject:
    return Subject(model, torch.randn(n, *shape), torch.randn(n, 1), F.mse_loss)


def words(n: int = N, length: int = 12, vocabulary: int = 100) -> Tensor:
    return torch.randint(0, vocabulary, (n, length))


def dense(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), act())]
    return nn.Sequential(*layers[:-1])


class Net(nn.Module):
    """Modules and parameters by name, and a forward pass that is told."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.told = forward

    def forward(self, *inputs: Tensor) -> Any:
        return self.told(self, *inputs)


class Plus(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def several(count: int, make: Callable[[], nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(make() for _ in range(count))


def pooled(width: int, classes: int = 10) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]


def bn_relu(a: int, b: int, kernel: int = 3, stride: int = 1, **options: Any) -> nn.Sequential:
    conv = nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(b), nn.ReLU())


# --- images ----------------------------------------------------------------------------------------------------------


@held_out
def convmixer() -> Subject:
    def block() -> nn.Module:
        mix = Plus(nn.Conv2d(32, 32, 5, padding=2, groups=32), nn.GELU(), nn.BatchNorm2d(32))
        return nn.Sequential(mix, nn.Conv2d(32, 32, 1), nn.GELU(), nn.BatchNorm2d(32))

    stem = [nn.Conv2d(3, 32, 4, 4), nn.GELU(), nn.BatchNorm2d(32)]
    return classified(nn.Sequential(*stem, *several(4, block), *pooled(32)), 3, 32, 32)


@held_out
def gated_mlp() -> Subject:
    """gMLP: a gate over positions that starts at 1."""

    def block() -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            a, b = F.gelu(m.into(m.norm(x))).chunk(2, -1)
            return x + m.out(a * m.over(m.gate(b).mT).mT)

        over = nn.Linear(16, 16)
        nn.init.uniform_(over.weight, -1e-3, 1e-3)
        nn.init.ones_(over.bias)
        norms = {"norm": nn.LayerNorm(32), "gate": nn.LayerNorm(64)}
        return Net(forward, **norms, into=nn.Linear(32, 128), over=over, out=nn.Linear(64, 32))

    def forward(m: Net, x: Tensor) -> Tensor:
        h = m.patch(x).flatten(2).mT
        for each in m.blocks:
            h = each(h)
        return m.head(h.mean(1))

    model = Net(forward, patch=nn.Conv2d(3, 32, 8, 8), blocks=several(4, block), head=nn.Linear(32, 10))
    return classified(model, 3, 32, 32)


@held_out
def shufflenet() -> Subject:
    def forward(m: Net, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        y = torch.cat([a, m.body(b)], 1)
        return y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)

    def block() -> nn.Module:
        depthwise = [nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16)]
        return Net(forward, body=nn.Sequential(bn_relu(16, 16, 1), *depthwise, bn_relu(16, 16, 1)))

    return classified(nn.Sequential(bn_relu(3, 32, 3, 2), *several(4, block), *pooled(32)), 3, 16, 16)


@held_out
def squeezenet() -> Subject:
    def fire(a: int, squeeze: int, b: int) -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            h = F.relu(m.squeeze(x))
            return torch.cat([F.relu(m.one(h)), F.relu(m.three(h))], 1)

        parts = {"one": nn.Conv2d(squeeze, b, 1), "three": nn.Conv2d(squeeze, b, 3, padding=1)}
        return Net(forward, squeeze=nn.Conv2d(a, squeeze, 1), **parts)

    fires = [fire(32, 8, 32), fire(64, 8, 32), nn.MaxPool2d(2), fire(64, 16, 48), fire(96, 16, 48)]
    head = [nn.Dropout(0.5), nn.Conv2d(96, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(nn.Conv2d(3, 32, 3, 2), nn.ReLU(), *fires, *head)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    nn.init.normal_(head[1].weight, std=0.01)
    return classified(model, 3, 32, 32)


@held_out
def res2net() -> Subject:
    def forward(m: Net, x: Tensor) -> Tensor:
        parts, last, done = m.into(x).chunk(4, 1), 0.0, []
        for part, conv in zip(parts, [nn.Identity(), *m.convs], strict=True):
            last = conv(part + last) if done else part
            done.append(last)
        return F.relu(x + m.out(torch.cat(done, 1)))

    def block() -> nn.Module:
        out = nn.Sequential(nn.Conv2d(32, 32, 1, bias=False), nn.BatchNorm2d(32))
        return Net(forward, into=bn_relu(32, 32, 1), convs=several(3, lambda: bn_relu(8, 8)), out=out)

    return classified(nn.Sequential(bn_relu(3, 32), *several(4, block), *pooled(32)), 3, 16, 16)


@held_out
def separable_xception() -> Subject:
    def block() -> nn.Module:
        parts: list[nn.Module] = []
        for _ in range(3):
            parts += [nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1, groups=32, bias=False), nn.Conv2d(32, 32, 1, bias=False)]
            parts += [nn.BatchNorm2d(32)]
        return Plus(*parts)

    return classified(nn.Sequential(bn_relu(3, 32), *several(3, block), *pooled(32)), 3, 16, 16)


@held_out
def pyramid_pooling_segmentation() -> Subject:
    """DeepLab's head: parallel dilations and the mean of the picture."""

    def forward(m: Net, x: Tensor) -> Tensor:
        h = m.body(x)
        mean = m.mean(F.adaptive_avg_pool2d(h, 1)).expand(-1, -1, *h.shape[-2:])
        logits = m.head(torch.cat([*(F.relu(conv(h)) for conv in m.dilated), F.relu(mean)], 1))
        return F.interpolate(logits, scale_factor=4, mode="bilinear")

    dilated = nn.ModuleList(nn.Conv2d(32, 16, 3, padding=d, dilation=d) for d in (1, 2, 3))
    body = nn.Sequential(bn_relu(3, 32, 3, 2), bn_relu(32, 32, 3, 2))
    model = Net(forward, body=body, dilated=dilated, mean=nn.Conv2d(32, 16, 1), head=nn.Conv2d(64, 5, 1))
    return Subject(model, torch.randn(16, 3, 32, 32), torch.randint(0, 5, (16, 32, 32)), F.cross_entropy)


@held_out
def detector_with_focal_loss() -> Subject:
    """RetinaNet's classes: a bias of -log 99 says that objects are rare."""
    head = [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    last = nn.Conv2d(32, 4, 3, padding=1)
    nn.init.constant_(last.bias, -log(99))
    for layer in (head[0], head[2], last):
        nn.init.normal_(layer.weight, std=0.01)
    model = nn.Sequential(bn_relu(3, 32, 3, 2), bn_relu(32, 32, 3, 2), *head, last)

    def focal(logits: Tensor, target: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        right = torch.where(target > 0, p, 1 - p)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return ((1 - right) ** 2 * loss).sum() / target.sum()

    target = (torch.rand(16, 4, 8, 8) < 0.02).float()
    return Subject(model, torch.randn(16, 3, 32, 32), target, focal)


@held_out
def super_resolution() -> Subject:
    """EDSR: no normalization, branches times 0.1, a pixel shuffle."""

    def block() -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            return x + 0.1 * m.b(F.relu(m.a(x)))

        return Net(forward, a=nn.Conv2d(32, 32, 3, padding=1), b=nn.Conv2d(32, 32, 3, padding=1))

    body = Plus(*several(6, block), nn.Conv2d(32, 32, 3, padding=1))
    tail = [nn.Conv2d(32, 128, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(32, 3, 3, padding=1)]
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), body, *tail)
    return Subject(model, torch.rand(16, 3, 12, 12), torch.rand(16, 3, 24, 24), F.l1_loss)


@held_out
def conditioned_on_a_question() -> Subject:
    """FiLM: a recurrent net scales and shifts the channels of a picture."""

    def forward(m: Net, x: Tensor, question: Tensor) -> Tensor:
        gamma, beta = m.film(m.rnn(m.embed(question))[1][0]).chunk(2, 1)
        h = m.stem(x)
        y = m.norm(m.conv(h)) * (1 + gamma[:, :, None, None]) + beta[:, :, None, None]
        return m.head((h + F.relu(y)).amax((2, 3)))

    parts = {"embed": nn.Embedding(100, 16), "rnn": nn.GRU(16, 32, batch_first=True), "film": nn.Linear(32, 64)}
    conv, norm = nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32, affine=False)
    model = Net(forward, stem=bn_relu(3, 32), conv=conv, norm=norm, head=nn.Linear(32, 8), **parts)
    return Subject(model, (torch.randn(N, 3, 12, 12), words(N, 6)), labels(8), F.cross_entropy)


@held_out
def capsules() -> Subject:
    def squash(s: Tensor) -> Tensor:
        square = s.square().sum(-1, keepdim=True)
        return square / (1 + square) * s / (square.sqrt() + 1e-8)

    def forward(m: Net, x: Tensor) -> Tensor:
        u = squash(m.conv2(F.relu(m.conv1(x))).unflatten(1, (8, 8)).permute(0, 1, 3, 4, 2).flatten(1, 3))
        votes = torch.einsum("nui,kio->nuko", u, m.votes)
        logits = votes.new_zeros(votes.shape[:-1])
        for _ in range(3):
            v = squash((logits.softmax(-1)[..., None] * votes).sum(1))
            logits = logits + (votes * v[:, None]).sum(-1)
        return v.norm(dim=-1)

    def margin(lengths: Tensor, target: Tensor) -> Tensor:
        right = F.one_hot(target, 10)
        return (right * F.relu(0.9 - lengths) ** 2 + 0.5 * (1 - right) * F.relu(lengths - 0.1) ** 2).sum(1).mean()

    votes = nn.Parameter(0.1 * torch.randn(10, 8, 16))
    model = Net(forward, conv1=nn.Conv2d(1, 32, 5, 2), conv2=nn.Conv2d(32, 64, 5, 2), votes=votes)
    return Subject(model, torch.rand(N, 1, 28, 28), labels(), margin)


# --- generative ------------------------------------------------------------------------------------------------------


@held_out
def diffusion_transformer() -> Subject:
    """DiT: every block's scale, shift and gate come from the time, and start at 0."""

    def block() -> nn.Module:
        def forward(m: Net, x: Tensor, t: Tensor) -> Tensor:
            a, b, c, d, e, f = m.modulate(F.silu(t))[:, None].chunk(6, -1)
            h = m.norm(x) * (1 + a) + b
            x = x + c * m.attend(h, h, h, need_weights=False)[0]
            return x + f * m.mlp(m.norm(x) * (1 + d) + e)

        modulate = nn.Linear(32, 192)
        nn.init.zeros_(modulate.weight)
        nn.init.zeros_(modulate.bias)
        norm, attend = nn.LayerNorm(32, elementwise_affine=False), nn.MultiheadAttention(32, 4, batch_first=True)
        return Net(forward, modulate=modulate, norm=norm, attend=attend, mlp=dense(32, 128, 32, act=nn.GELU))

    def forward(m: Net, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * torch.logspace(0, -4, 16)
        time = m.time(torch.cat([angles.sin(), angles.cos()], 1))
        h = m.patch(x).flatten(2).mT + m.position
        for each in m.blocks:
            h = each(h, time)
        return m.out(F.layer_norm(h, (32,))).mT.unflatten(2, (4, 4))

    out = nn.Linear(32, 48)
    nn.init.zeros_(out.weight)
    nn.init.zeros_(out.bias)
    parts = {"time": dense(32, 32, 32, act=nn.SiLU), "patch": nn.Conv2d(3, 32, 4, 4), "blocks": several(4, block)}
    model = Net(forward, position=nn.Parameter(0.02 * torch.randn(16, 32)), out=out, **parts)
    return Subject(model, (torch.randn(N, 3, 16, 16), torch.rand(N) * 1000), torch.randn(N, 48, 4, 4), F.mse_loss)


@held_out
def style_generator() -> Subject:
    """Modulated and demodulated convolutions of a learned constant, weights of N(0, 1) scaled as they are used."""

    def forward(m: Net, z: Tensor) -> Tensor:
        style, n = m.mapping(F.normalize(z) * 4), len(z)
        h = m.constant.expand(n, -1, -1, -1)
        for affine, weight in zip(m.affine, m.weight, strict=True):
            w = weight / 12 * (1 + affine(style))[:, None, :, None, None]
            w = w * torch.rsqrt(w.square().sum((2, 3, 4), keepdim=True) + 1e-8)
            h = F.conv2d(h.reshape(1, -1, *h.shape[2:]), w.flatten(0, 1), padding=1, groups=n).unflatten(1, (n, -1))[0]
            h = F.interpolate(F.leaky_relu(h, 0.2) * 2**0.5, scale_factor=2)
        return m.out(h)

    weight = nn.ParameterList(torch.randn(16, 16, 3, 3) for _ in range(2))
    parts = {
        "mapping": dense(16, 32, 32, act=lambda: nn.LeakyReLU(0.2)),
        "affine": several(2, lambda: nn.Linear(32, 16)),
    }
    constant = nn.Parameter(torch.randn(1, 16, 4, 4))
    return Subject(Net(forward, weight=weight, constant=constant, out=nn.Conv2d(16, 3, 1), **parts), torch.randn(N, 16))


@held_out
def patch_discriminator_with_a_gradient_penalty() -> Subject:
    convs = [nn.Conv2d(3, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2)]
    model = nn.Sequential(*convs, nn.Conv2d(32, 1, 4, 1, 1))

    def critic(score: Tensor, fake: Tensor) -> Tensor:
        x = fake.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x).mean((1, 2, 3)).sum(), x, create_graph=True)
        return model(fake).mean() - score.mean() + 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    return Subject(model, torch.randn(N, 3, 16, 16), torch.randn(N, 3, 16, 16), critic)


@held_out
def glow() -> Subject:
    """A flow of 1 x 1 rotations and affine couplings whose last layers are 0."""

    def forward(m: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        determinant = x.new_zeros(len(x))
        for turn, net in zip(m.turns, m.nets, strict=True):
            x = x @ turn
            a, b = x.chunk(2, 1)
            shift, scale = net(a).chunk(2, 1)
            scale = torch.sigmoid(scale + 2)
            x = torch.cat([a, (b + shift) * scale], 1)
            determinant = determinant + scale.log().sum(1) + torch.linalg.slogdet(turn)[1]
        return x, determinant

    def likelihood(output: tuple[Tensor, Tensor], _: Any) -> Tensor:
        z, determinant = output
        return (0.5 * z.square().sum(1) + 4 * log(2 * pi) - determinant).mean()

    def net() -> nn.Module:
        made = dense(4, 32, 32, 8)
        nn.init.zeros_(made[-1].weight)
        nn.init.zeros_(made[-1].bias)
        return made

    turns = nn.ParameterList(torch.linalg.qr(torch.randn(8, 8))[0] for _ in range(4))
    return Subject(Net(forward, turns=turns, nets=several(4, net)), torch.randn(N, 8), torch.zeros(N), likelihood)


@held_out
def energy_with_denoising() -> Subject:
    """A score network trained by denoising at one noise level."""
    x = torch.randn(64, 2)
    noise = torch.randn(64, 2)
    return Subject(dense(2, 64, 64, 2, act=nn.Softplus), x + 0.3 * noise, -noise / 0.3, F.mse_loss)


@held_out
def sentence_vae() -> Subject:
    def forward(m: Net, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = m.embed(source)
        mu, logvar = m.code(m.encoder(x)[1][0]).chunk(2, 1)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return m.head(m.decoder(x, m.start(z).tanh()[None])[0]), mu, logvar

    def elbo(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        logits, mu, logvar = output
        rest = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        return F.cross_entropy(logits.flatten(0, 1), target.flatten()) + 0.1 * rest

    parts = {name: nn.GRU(16, 32, batch_first=True) for name in ("encoder", "decoder")}
    head, code, start = nn.Linear(32, 100), nn.Linear(32, 16), nn.Linear(8, 32)
    model = Net(forward, embed=nn.Embedding(100, 16), head=head, code=code, start=start, **parts)
    return Subject(model, words(), words(), elbo)


# --- sequences -------------------------------------------------------------------------------------------------------


@held_out
def additive_attention_translation() -> Subject:
    def forward(m: Net, source: Tensor, into: Tensor) -> Tensor:
        memory, (h, c) = m.encoder(m.source(source))
        h, c, logits, keys = h[0], c[0], [], m.key(memory)
        for step in m.into(into).unbind(1):
            weights = m.score(torch.tanh(m.query(h)[:, None] + keys)).softmax(1)
            h, c = m.cell(torch.cat([step, (weights * memory).sum(1)], 1), (h, c))
            logits.append(m.head(h))
        return torch.stack(logits, 1)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())

    embed = {"source": nn.Embedding(100, 16), "into": nn.Embedding(100, 16)}
    attend = {"key": nn.Linear(32, 32), "query": nn.Linear(32, 32), "score": nn.Linear(32, 1)}
    cells = {"encoder": nn.LSTM(16, 32, batch_first=True), "cell": nn.LSTMCell(48, 32), "head": nn.Linear(32, 100)}
    return Subject(Net(forward, **embed, **attend, **cells), (words(16, 8), words(16, 6)), words(16, 6), loss)


@held_out
def selective_state_space() -> Subject:
    """A Mamba block by hand: step sizes, inputs and outputs of the scan depend on the signal."""

    def block() -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            h, gate = m.into(m.norm(x)).chunk(2, -1)
            h = F.silu(m.conv(F.pad(h.mT, (3, 0))).mT)
            step, b, c = m.select(h).split([2, 8, 8], -1)
            step = F.softplus(m.step(step))
            decay = torch.exp(-step[..., None] * m.rate.exp())
            drive, state, outs = (step * h)[..., None] * b[:, :, None], 0.0, []
            for t in range(x.shape[1]):
                state = decay[:, t] * state + drive[:, t]
                outs.append((state * c[:, t, None]).sum(-1))
            return x + m.out((torch.stack(outs, 1) + m.skip * h) * F.silu(gate))

        step = nn.Linear(2, 64)
        with torch.no_grad():
            step.bias.copy_(torch.log(torch.expm1(torch.logspace(-3, -1, 64))))
        rate = nn.Parameter(torch.arange(1.0, 9.0).log().repeat(64, 1))
        parts = {"norm": nn.RMSNorm(32), "into": nn.Linear(32, 128, bias=False), "out": nn.Linear(64, 32, bias=False)}
        select = nn.Linear(64, 18, bias=False)
        conv, skip = nn.Conv1d(64, 64, 4, groups=64), nn.Parameter(torch.ones(64))
        return Net(forward, conv=conv, select=select, step=step, rate=rate, skip=skip, **parts)

    def forward(m: Net, source: Tensor) -> Tensor:
        x = m.embed(source)
        for each in m.blocks:
            x = each(x)
        return m.head(m.norm(x[:, -1]))

    parts = {"embed": nn.Embedding(100, 32), "blocks": several(3, block), "norm": nn.RMSNorm(32)}
    return Subject(Net(forward, head=nn.Linear(32, 4), **parts), words(), labels(4), F.cross_entropy)


@held_out
def linear_recurrent_unit() -> Subject:
    """LRU: complex diagonal states on a ring of radius 0.9 to 0.999."""

    def forward(m: Net, x: Tensor) -> Tensor:
        h = m.stem(x)
        for log_radius, phase, into, out, norm in zip(m.radius, m.phase, m.into, m.out, m.norms, strict=True):
            pole = torch.polar(torch.exp(-log_radius.exp()), phase)
            drive = into(norm(h))
            drive = torch.complex(*drive.chunk(2, -1)) * (1 - pole.abs() ** 2).sqrt()
            state, outs = torch.zeros_like(drive[:, 0]), []
            for t in range(h.shape[1]):
                state = pole * state + drive[:, t]
                outs.append(state)
            states = torch.stack(outs, 1)
            h = h + F.gelu(out(torch.cat([states.real, states.imag], -1)))
        return m.head(h.mean(1))

    radius = nn.ParameterList(torch.log(-torch.log(torch.empty(32).uniform_(0.9, 0.999))) for _ in range(2))
    phase = nn.ParameterList(torch.empty(32).uniform_(0, pi / 10) for _ in range(2))
    maps = {"into": several(2, lambda: nn.Linear(32, 64)), "out": several(2, lambda: nn.Linear(64, 32))}
    ends = {"stem": nn.Linear(3, 32), "norms": several(2, lambda: nn.LayerNorm(32)), "head": nn.Linear(32, 4)}
    return classified(Net(forward, radius=radius, phase=phase, **maps, **ends), 20, 3, classes=4)


@held_out
def long_convolution() -> Subject:
    """Hyena: gated convolutions as long as the sequence, by Fourier transforms."""

    def forward(m: Net, x: Tensor) -> Tensor:
        h, length = m.stem(x), x.shape[1]
        for into, kernel, out, norm in zip(m.into, m.kernel, m.out, m.norms, strict=True):
            a, b, v = into(norm(h)).chunk(3, -1)
            filters = kernel * torch.exp(-torch.linspace(0, 4, length))
            spectrum = torch.fft.rfft(filters, 2 * length) * torch.fft.rfft((a * v).mT, 2 * length)
            h = h + out(b * torch.fft.irfft(spectrum)[..., :length].mT)
        return m.head(h.mean(1))

    kernel = nn.ParameterList(0.3 * torch.randn(32, 24) for _ in range(3))
    maps = {"into": several(3, lambda: nn.Linear(32, 96)), "out": several(3, lambda: nn.Linear(32, 32))}
    ends = {"stem": nn.Linear(3, 32), "norms": several(3, lambda: nn.LayerNorm(32)), "head": nn.Linear(32, 4)}
    return classified(Net(forward, kernel=kernel, **maps, **ends), 24, 3, classes=4)


@held_out
def text_in_pictures() -> Subject:
    """CRNN: columns of a picture, a bidirectional LSTM, CTC."""

    def forward(m: Net, x: Tensor) -> Tensor:
        return m.head(m.rnn(m.body(x).mean(2).mT)[0]).log_softmax(-1).transpose(0, 1)

    def ctc(log_probabilities: Tensor, target: Tensor) -> Tensor:
        n = log_probabilities.shape[1]
        return F.ctc_loss(log_probabilities, target, (len(log_probabilities),) * n, (5,) * n)

    body = nn.Sequential(bn_relu(1, 16), nn.MaxPool2d(2), bn_relu(16, 32), nn.MaxPool2d((2, 1)))
    rnn = nn.LSTM(32, 32, bidirectional=True, batch_first=True)
    target = torch.randint(1, 12, (N, 5))
    return Subject(Net(forward, body=body, rnn=rnn, head=nn.Linear(64, 12)), torch.randn(N, 1, 16, 40), target, ctc)


@held_out
def conformer() -> Subject:
    def block() -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            x = x + 0.5 * m.first(x)
            h = m.norm(x)
            x = x + m.attend(h, h, h, need_weights=False)[0]
            x = x + m.conv(m.before(x).mT).mT
            return m.after(x + 0.5 * m.last(x))

        def feed() -> nn.Module:
            return nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 128), nn.SiLU(), nn.Linear(128, 32))

        conv = [nn.Conv1d(32, 64, 1), nn.GLU(1), nn.Conv1d(32, 32, 7, padding=3, groups=32), nn.BatchNorm1d(32)]
        norms = {name: nn.LayerNorm(32) for name in ("norm", "before", "after")}
        attend = nn.MultiheadAttention(32, 4, batch_first=True)
        conv = nn.Sequential(*conv, nn.SiLU(), nn.Conv1d(32, 32, 1))
        return Net(forward, first=feed(), last=feed(), conv=conv, attend=attend, **norms)

    def forward(m: Net, x: Tensor) -> Tensor:
        return m.head(m.blocks(m.stem(x)).mean(1))

    blocks = nn.Sequential(*several(3, block))
    return classified(Net(forward, stem=nn.Linear(20, 32), blocks=blocks, head=nn.Linear(32, 6)), 16, 20, classes=6)


@held_out
def memory_network() -> Subject:
    """Three hops over stored facts, each attention without a scale."""

    def forward(m: Net, facts: Tensor, question: Tensor) -> Tensor:
        u = m.tables[0](question).sum(1)
        for key, value in zip(m.tables[:-1], m.tables[1:], strict=True):
            weights = (key(facts).sum(2) @ u[:, :, None]).softmax(1)
            u = u + (weights * value(facts).sum(2)).sum(1)
        return m.head(u)

    tables = several(4, lambda: nn.Embedding(60, 24))
    for table in tables:
        nn.init.normal_(table.weight, std=0.1)
    model = Net(forward, tables=tables, head=nn.Linear(24, 60, bias=False))
    facts = torch.randint(0, 60, (N, 8, 5))
    return Subject(model, (facts, words(N, 4, 60)), torch.randint(0, 60, (N,)), F.cross_entropy)


# --- sets, points, graphs --------------------------------------------------------------------------------------------


@held_out
def point_net() -> Subject:
    """Points are turned by a matrix that the network predicts; it starts at the identity."""

    def forward(m: Net, x: Tensor) -> Tensor:
        turn = m.turn_head(m.turn(x.mT).amax(2)).view(-1, 3, 3) + torch.eye(3)
        return m.head(m.points((x @ turn).mT).amax(2))

    def shared(*sizes: int) -> nn.Sequential:
        steps = pairwise(sizes)
        return nn.Sequential(*(p for a, b in steps for p in (nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.ReLU())))

    turn_head = nn.Linear(64, 9)
    nn.init.zeros_(turn_head.weight)
    nn.init.zeros_(turn_head.bias)
    head = nn.Sequential(nn.Linear(128, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    model = Net(forward, turn=shared(3, 32, 64), turn_head=turn_head, points=shared(3, 32, 64, 128), head=head)
    return classified(model, 48, 3)


@held_out
def edge_convolution() -> Subject:
    """DGCNN: the nearest neighbours' differences, a maximum over them."""

    def forward(m: Net, x: Tensor) -> Tensor:
        levels = []
        for edge in m.edges:
            near = torch.cdist(x, x).topk(5, largest=False).indices
            around = torch.stack([rows[index] for rows, index in zip(x, near, strict=True)])
            pairs = torch.cat([x[:, :, None].expand_as(around), around - x[:, :, None]], -1)
            x = F.leaky_relu(edge(pairs), 0.2).amax(2)
            levels.append(x)
        return m.head(torch.cat(levels, -1).amax(1))

    edges = nn.ModuleList([nn.Linear(6, 32), nn.Linear(64, 32)])
    return classified(Net(forward, edges=edges, head=dense(64, 32, 10)), 32, 3)


@held_out
def set_transformer() -> Subject:
    """Attention through four learned points, and one learned query that pools."""

    def forward(m: Net, x: Tensor) -> Tensor:
        h = m.stem(x)
        for inward, back, mlp, points in zip(m.inward, m.back, m.mlps, m.points, strict=True):
            few = inward(points.expand(len(x), -1, -1), h, h, need_weights=False)[0]
            h = h + back(h, few, few, need_weights=False)[0]
            h = h + mlp(h)
        return m.head(m.pool(m.query.expand(len(x), -1, -1), h, h, need_weights=False)[0][:, 0])

    def attention() -> nn.Module:
        return nn.MultiheadAttention(32, 4, batch_first=True)

    points = nn.ParameterList(nn.init.xavier_uniform_(torch.empty(1, 4, 32)) for _ in range(2))
    query = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, 1, 32)))
    parts = {"inward": several(2, attention), "back": several(2, attention), "pool": attention()}
    mlps, stem, head = several(2, lambda: dense(32, 64, 32)), nn.Linear(3, 32), nn.Linear(32, 5)
    return classified(
        Net(forward, points=points, query=query, mlps=mlps, stem=stem, head=head, **parts), 20, 3, classes=5
    )


def molecules() -> tuple[Tensor, Tensor]:
    """Features of 12 atoms, and who is bound to whom."""
    bound = (torch.rand(N, 12, 12) < 0.3).float().triu(1)
    return torch.randn(N, 12, 8), bound + bound.mT


@held_out
def graph_isomorphism() -> Subject:
    def forward(m: Net, x: Tensor, bound: Tensor) -> Tensor:
        for eps, mlp in zip(m.eps, m.mlps, strict=True):
            h = mlp[0]((1 + eps) * x + bound @ x)
            x = F.relu(mlp[2](F.relu(mlp[1](h.mT).mT)))
        return m.head(x.sum(1))

    def mlp(a: int) -> nn.ModuleList:
        return nn.ModuleList([nn.Linear(a, 32), nn.BatchNorm1d(32), nn.Linear(32, 32)])

    eps = nn.ParameterList(torch.zeros(()) for _ in range(3))
    model = Net(forward, eps=eps, mlps=nn.ModuleList([mlp(8), mlp(32), mlp(32)]), head=nn.Linear(32, 3))
    return Subject(model, molecules(), labels(3), F.cross_entropy)


@held_out
def messages_by_edge_networks() -> Subject:
    """MPNN: a matrix for every edge, a GRU cell for every node."""

    def forward(m: Net, x: Tensor, bound: Tensor) -> Tensor:
        h = m.stem(x)
        matrices = m.edge(torch.stack([bound, 1 - bound], -1)).unflatten(-1, (16, 16))
        for _ in range(3):
            message = torch.einsum("nijab,njb->nia", matrices * bound[..., None, None], h)
            h = m.cell(message.flatten(0, 1), h.flatten(0, 1)).view_as(h)
        return m.head(h.mean(1))

    edge = dense(2, 16, 256)
    model = Net(forward, stem=nn.Linear(8, 16), edge=edge, cell=nn.GRUCell(16, 16), head=nn.Linear(16, 1))
    return Subject(model, molecules(), torch.randn(N, 1), F.mse_loss)


@held_out
def equivariant_graph() -> Subject:
    """EGNN: messages of squared distances, places that move along differences."""

    def forward(m: Net, h: Tensor, place: Tensor) -> Tensor:
        h = m.stem(h)
        for message, move, update in zip(m.message, m.move, m.update, strict=True):
            apart = place[:, :, None] - place[:, None]
            square = apart.square().sum(-1, keepdim=True)
            shape = (*square.shape[:3], h.shape[-1])
            told = message(torch.cat([h[:, :, None].expand(shape), h[:, None].expand(shape), square], -1))
            place = place + (apart * move(told)).mean(2)
            h = h + update(torch.cat([h, told.sum(2)], -1))
        return m.head(h.mean(1))

    parts = {
        "message": several(3, lambda: nn.Sequential(*dense(33, 16, 16, act=nn.SiLU), nn.SiLU())),
        "move": several(3, lambda: dense(16, 16, 1, act=nn.SiLU)),
        "update": several(3, lambda: dense(32, 16, 16, act=nn.SiLU)),
    }
    for move in parts["move"]:
        nn.init.xavier_uniform_(move[-1].weight, gain=0.001)
    model = Net(forward, stem=nn.Linear(8, 16), head=nn.Linear(16, 1), **parts)
    return Subject(model, (torch.randn(N, 10, 8), torch.randn(N, 10, 3)), torch.randn(N, 1), F.mse_loss)


# --- functions, operators, physics -----------------------------------------------------------------------------------


@held_out
def chebyshev_kan() -> Subject:
    """Every edge is a polynomial of the squashed input."""

    def layer(a: int, b: int) -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            angle = torch.acos(torch.tanh(x).clamp(-1 + 1e-6, 1 - 1e-6))
            return torch.einsum("nid,iod->no", torch.cos(angle[..., None] * torch.arange(5)), m.weight)

        return Net(forward, weight=nn.Parameter(torch.randn(a, b, 5) / (a * 5)))

    return regressed(nn.Sequential(layer(4, 32), nn.LayerNorm(32), layer(32, 32), nn.LayerNorm(32), layer(32, 1)), 4)


@held_out
def fourier_operator() -> Subject:
    def forward(m: Net, x: Tensor) -> Tensor:
        h = m.stem(x)
        for modes, conv in zip(m.modes, m.convs, strict=True):
            low = torch.einsum("nim,iom->nom", torch.fft.rfft(h)[..., :8], torch.view_as_complex(modes))
            h = F.gelu(torch.fft.irfft(low, h.shape[-1]) + conv(h))
        return m.head(h)

    modes = nn.ParameterList(torch.rand(16, 16, 8, 2) / 256 for _ in range(4))
    head = nn.Sequential(nn.Conv1d(16, 32, 1), nn.GELU(), nn.Conv1d(32, 1, 1))
    model = Net(
        forward, stem=nn.Conv1d(2, 16, 1), modes=modes, convs=several(4, lambda: nn.Conv1d(16, 16, 1)), head=head
    )
    return Subject(model, torch.randn(N, 2, 32), torch.randn(N, 1, 32), F.mse_loss)


@held_out
def deep_operator() -> Subject:
    """DeepONet: the product of what a function and what a place say."""

    def forward(m: Net, function: Tensor, place: Tensor) -> Tensor:
        return (m.branch(function) * m.trunk(place)).sum(-1, keepdim=True) + m.bias

    parts = {"branch": dense(40, 64, 64, 32), "trunk": dense(1, 64, 64, 32, act=nn.Tanh)}
    model = Net(forward, bias=nn.Parameter(torch.zeros(1)), **parts)
    return Subject(model, (torch.randn(64, 40), torch.rand(64, 1)), torch.randn(64, 1), F.mse_loss)


@held_out
def hash_grid_field() -> Subject:
    """Instant NGP: features of four grids, uniform within 1e-4, and a small network."""

    def forward(m: Net, x: Tensor) -> Tensor:
        found = []
        for level, table in enumerate(m.tables):
            place = x * 4 * 2**level
            low, part = place.floor().long(), place - place.floor()
            features = 0.0
            for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
                index = ((low + torch.tensor(corner)) * torch.tensor([1, 2654435761])).sum(1) % 256
                share = torch.where(torch.tensor(corner).bool(), part, 1 - part).prod(1, keepdim=True)
                features = features + share * table(index)
            found.append(features)
        return m.net(torch.cat(found, 1))

    tables = several(4, lambda: nn.Embedding(256, 2))
    for table in tables:
        nn.init.uniform_(table.weight, -1e-4, 1e-4)
    return Subject(
        Net(forward, tables=tables, net=dense(8, 64, 64, 3)), torch.rand(256, 2), torch.rand(256, 3), F.mse_loss
    )


@held_out
def equilibrium() -> Subject:
    """A layer that is run until it changes little: twelve steps of one weight."""

    def forward(m: Net, x: Tensor) -> Tensor:
        z, drive = torch.zeros(len(x), 64), m.into(x)
        for _ in range(12):
            z = torch.tanh(m.again(z) + drive)
        return m.head(z)

    return classified(Net(forward, into=nn.Linear(20, 64), again=nn.Linear(64, 64), head=nn.Linear(64, 10)), 20)


# --- tables, ratings, series, control --------------------------------------------------------------------------------


@held_out
def factorization_machine_with_a_deep_part() -> Subject:
    def forward(m: Net, ids: Tensor) -> Tensor:
        e = m.embed(ids)
        pairs = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1, keepdim=True)
        return m.linear(ids).sum(1) + pairs + m.deep(e.flatten(1))

    embed, single = nn.Embedding(200, 8), nn.Embedding(200, 1)
    nn.init.normal_(embed.weight, std=0.01)
    nn.init.zeros_(single.weight)
    model = Net(forward, embed=embed, linear=single, deep=dense(48, 64, 32, 1))
    return Subject(model, words(64, 6, 200), (labels(2, 64)[:, None]).float(), F.binary_cross_entropy_with_logits)


@held_out
def two_towers() -> Subject:
    """Users and items meet in one product of unit vectors; the other items of the batch are the wrong answers."""

    def forward(m: Net, users: Tensor, items: Tensor) -> Tensor:
        a, b = (F.normalize(tower(t), dim=1) for tower, t in ((m.users, users), (m.items, items)))
        return a @ b.T * m.temperature.exp()

    parts = {"users": dense(20, 64, 32), "items": dense(12, 64, 32)}
    model = Net(forward, temperature=nn.Parameter(torch.tensor(log(1 / 0.07))), **parts)
    return Subject(model, (torch.randn(64, 20), torch.randn(64, 12)), torch.arange(64), F.cross_entropy)


@held_out
def basis_expansion() -> Subject:
    """N-BEATS: every block takes away what it has explained of the past, and adds its part of the future."""

    def forward(m: Net, past: Tensor) -> Tensor:
        future = 0.0
        for block in m.blocks:
            back, ahead = block(past).split([24, 6], 1)
            past, future = past - back, future + ahead
        return future

    model = Net(forward, blocks=several(4, lambda: dense(24, 64, 64, 64, 30)))
    return Subject(model, torch.randn(64, 24), torch.randn(64, 6), F.l1_loss)


@held_out
def likelihood_of_a_series() -> Subject:
    """DeepAR: an LSTM that tells mean and spread of the next value."""

    def forward(m: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = m.head(m.rnn(x)[0]).unbind(-1)
        return mean, F.softplus(spread)

    def nll(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        mean, spread = output
        return F.gaussian_nll_loss(mean, target, spread**2)

    model = Net(forward, rnn=nn.LSTM(3, 32, 2, batch_first=True), head=nn.Linear(32, 2))
    return Subject(model, torch.randn(N, 20, 3), torch.randn(N, 20), nll)


@held_out
def gated_residual_variable_selection() -> Subject:
    """The gates of a temporal fusion transformer, on one row of a table."""

    def gated(a: int, b: int) -> nn.Module:
        def forward(m: Net, x: Tensor) -> Tensor:
            return m.norm(m.skip(x) + F.glu(m.gate(m.second(F.elu(m.first(x))))))

        skip = nn.Linear(a, b) if a != b else nn.Identity()
        parts = {"first": nn.Linear(a, b), "second": nn.Linear(b, b), "gate": nn.Linear(b, 2 * b)}
        return Net(forward, skip=skip, norm=nn.LayerNorm(b), **parts)

    def forward(m: Net, x: Tensor) -> Tensor:
        weights = m.choose(x).softmax(1)
        each = torch.stack([net(x[:, i : i + 1]) for i, net in enumerate(m.each)], 1)
        return m.head(m.last((weights[..., None] * each).sum(1)))

    each = several(8, lambda: gated(1, 16))
    return regressed(Net(forward, choose=gated(8, 8), each=each, last=gated(16, 16), head=nn.Linear(16, 1)), 8)


@held_out
def quantiles_of_returns() -> Subject:
    """Distributional control: 51 shares for each of 4 actions."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return -(target * logits[:, 0].log_softmax(-1)).sum(1).mean()

    model = nn.Sequential(*dense(8, 128, 128, 4 * 51), nn.Unflatten(1, (4, 51)))
    return Subject(model, torch.randn(64, 8), torch.rand(64, 51).softmax(1), loss)


@held_out
def actor_over_pixels() -> Subject:
    """IMPALA's residual CNN with a policy and a value."""

    def forward(m: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(m.full(F.relu(m.body(x)).flatten(1)))
        return m.policy(h), m.value(h)

    def stage(a: int, b: int) -> nn.Sequential:
        def block() -> nn.Module:
            return Plus(nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1))

        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.MaxPool2d(3, 2, 1), block(), block())

    def loss(output: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        (logits, value), (action, advantage, reward) = output, target
        chosen = logits.log_softmax(1).gather(1, action[:, None])[:, 0]
        return -(chosen * advantage).mean() + 0.5 * (value[:, 0] - reward).square().mean()

    body = nn.Sequential(stage(3, 8), stage(8, 16))
    model = Net(forward, body=body, full=nn.Linear(256, 64), policy=nn.Linear(64, 5), value=nn.Linear(64, 1))
    target = (labels(5), torch.randn(N), torch.randn(N))
    return Subject(model, torch.rand(N, 3, 16, 16), target, loss)


@held_out
def switch_transformer_layer() -> Subject:
    """Every token goes to its one best expert, whose output is multiplied by the router's share."""

    def forward(m: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        h = m.norm(m.stem(x)).flatten(0, 1)
        shares = m.router(h).softmax(-1)
        best, index = shares.max(-1)
        out = torch.zeros_like(h)
        for number, expert in enumerate(m.experts):
            rows = (index == number).nonzero()[:, 0]
            out = out.index_copy(0, rows, expert(h[rows]))
        used = F.one_hot(index, 4).float().mean(0)
        y = (h + best[:, None] * out).view(len(x), -1, 32).mean(1)
        return m.head(y), 4 * (used * shares.mean(0)).sum()

    def loss(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return F.cross_entropy(output[0], target) + 0.01 * output[1]

    parts = {"stem": nn.Linear(16, 32), "norm": nn.LayerNorm(32), "router": nn.Linear(32, 4, bias=False)}
    model = Net(forward, experts=several(4, lambda: dense(32, 64, 32)), head=nn.Linear(32, 6), **parts)
    return Subject(model, torch.randn(N, 10, 16), labels(6), loss)


# --- transformers' own, in small configurations ----------------------------------------------------------------------

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 300,
    "num_layers": 3, "num_heads": 4, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64, "rotary_dim": 8,
    "max_position_embeddings": 64, "num_key_value_heads": 2, "head_dim": 16, "embedding_size": 64, "d_model": 64,
    "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def of_transformers(name: str, head: str, pictures: int = 0, **config: Any) -> None:
    def build() -> Subject:
        import transformers

        kind = getattr(transformers, f"{name}Config")
        default = kind()
        small = {} if pictures else SMALL  # which would be other names for what is given
        sizes = {key: value for key, value in small.items() if hasattr(default, key) and key not in config}
        model = getattr(transformers, name + head)(kind(**sizes, **config))
        if pictures:
            example = {"pixel_values": torch.randn(16, 3, pictures, pictures), "labels": torch.arange(16) % 10}
        else:
            ids = torch.randint(5, 300, (8, 16))
            example = {"input_ids": ids, "labels": ids.clone()}
        return Subject(model.train(), example)

    HELD_OUT[f"{name}{head}".lower()] = build


of_transformers("GPTNeo", "ForCausalLM", attention_types=[[["global", "local"], 1], [["global"], 1]])
of_transformers("CodeGen", "ForCausalLM")
of_transformers("Persimmon", "ForCausalLM")
of_transformers("Cohere2", "ForCausalLM")
of_transformers("RoFormer", "ForMaskedLM")
of_transformers("Nystromformer", "ForMaskedLM")
of_transformers("BlenderbotSmall", "ForConditionalGeneration")
of_transformers("Swinv2", "ForImageClassification", 32, image_size=32, patch_size=2, embed_dim=24, depths=[2, 2],
                num_heads=[2, 4], window_size=4, num_labels=10)  # fmt: skip
of_transformers("FocalNet", "ForImageClassification", 32, image_size=32, patch_size=2, embed_dim=24, depths=[2, 2],
                hidden_sizes=[24, 48], focal_levels=[2, 2], focal_windows=[3, 3], num_labels=10)  # fmt: skip
of_transformers("MobileViT", "ForImageClassification", 64, image_size=64, hidden_sizes=[32, 40, 48],
                neck_hidden_sizes=[8, 16, 24, 32, 40, 48, 64], num_labels=10)  # fmt: skip

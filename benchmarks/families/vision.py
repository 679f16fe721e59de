"""Networks on images, and what generates: residual nets, U-Net, ViT, mixer, VAE, GAN, flows."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from families._family import Batch, Task, classify_digits, digits, family, picked
from networks import ResNet, no_norm


@family("ResNet-20 without normalization", tuned=True, steps=60, rates=(3e-4, 1e-3, 3e-3, 1e-2))
def resnet_no_norm() -> Task:
    return classify_digits(nn.Sequential(nn.Unflatten(1, (1, 8, 8)), ResNet(3, (8, 16, 32), 1, 10, no_norm)), 32)


@family("ResNet-14 with BatchNorm", steps=60)
def resnet_batchnorm() -> Task:
    return classify_digits(nn.Sequential(nn.Unflatten(1, (1, 8, 8)), ResNet(2, (8, 16, 32), 1, 10, nn.BatchNorm2d)), 32)


class UNet(nn.Module):
    """Two levels, joined by concatenation; predicts the noise-free image."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.join, self.out = nn.Conv2d(2 * width, width, 3, padding=1), nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = F.silu(self.down1(x))
        up = F.silu(self.up(F.silu(self.middle(F.silu(self.down2(first))))))
        return self.out(F.silu(self.join(torch.cat([first, up], 1))))


@family("U-Net removes noise", steps=80, rates=(1e-3, 3e-3, 1e-2, 3e-2))
def unet() -> Task:
    clean = digits()[0].view(-1, 1, 8, 8)
    noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    return Task(UNet(), picked(noisy[:1297], clean[:1297], 32), F.mse_loss, ((noisy[1297:],), clean[1297:]))


class Patches(nn.Module):
    """16 patches of 2 x 2 pixels as tokens, a stack of blocks, the mean token to the head."""

    def __init__(self, blocks: list[nn.Module], width: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, 2)
        self.position = nn.Parameter(torch.zeros(1, 16, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks, self.norm, self.head = nn.Sequential(*blocks), nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.view(-1, 1, 8, 8)).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


class ViTBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (4, -1)).transpose(1, 2) for t in self.qkv(self.norm1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def small_normal(model: nn.Module) -> nn.Module:
    """timm's start of a ViT: linear weights truncated normal of std 0.02, biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return model


@family("ViT, 4 blocks", steps=80, rates=(3e-4, 1e-3, 3e-3, 1e-2))
def vit() -> Task:
    return classify_digits(small_normal(Patches([ViTBlock(32) for _ in range(4)], 32)), 32)


class MixerBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_tokens = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.over_channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.over_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.over_channels(self.norm2(x))


@family("MLP-Mixer, 4 blocks", steps=80, rates=(3e-4, 1e-3, 3e-3, 1e-2))
def mixer() -> Task:
    return classify_digits(Patches([MixerBlock(32) for _ in range(4)], 32), 32)


class Vae(nn.Module):
    """Returns reconstruction, mean and logarithm of the variance."""

    def __init__(self, width: int = 64, code: int = 6) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 2 * code))
        self.decode = nn.Sequential(nn.Linear(code, width), nn.ReLU(), nn.Linear(width, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = self.encode(x).chunk(2, -1)
        noise = torch.randn_like(mean) if self.training else 0.0
        return self.decode(mean + noise * torch.exp(logvar / 2)), mean, logvar


@family("VAE", tuned=True)
def vae() -> Task:
    x, _ = digits()

    def loss(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        made, mean, logvar = output
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1).mean()
        return 0.5 * (made - target).square().sum(1).mean() + kl

    return Task(Vae(), picked(x[:1297], x[:1297], 64), loss, ((x[1297:],), x[1297:]))


def _moons() -> Tensor:
    from sklearn.datasets import make_moons

    return torch.tensor(make_moons(4000, noise=0.08, random_state=0)[0], dtype=torch.float32)


class Pair(nn.Module):
    """Generator and critic; returns what the critic says of made and of real points, and the made points."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
        )
        self.critic = nn.Sequential(
            nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )

    def forward(self, noise: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        made = self.generator(noise)
        return self.critic(made), self.critic(real), made


@family("GAN pair, two moons", steps=200, rates=(3e-4, 1e-3, 3e-3, 1e-2))
def gan() -> Task:
    points = _moons()

    def batch(step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        rows = torch.randint(3000, (64,), generator=generator)
        return (torch.randn(64, 4, generator=generator), points[rows]), points[rows]

    def objective(model: nn.Module, fed: Batch) -> Tensor:
        noise, real = fed[0]
        made = model.generator(noise)
        still = {name: p.detach() for name, p in model.critic.named_parameters()}
        critic = F.softplus(model.critic(made.detach())).mean() + F.softplus(-model.critic(real)).mean()
        return critic + F.softplus(-functional_call(model.critic, still, (made,))).mean()

    def energy(output: tuple[Tensor, ...], real: Tensor) -> Tensor:
        """The energy distance between made and real points: 0 where they have one law."""
        made = output[2]
        return 2 * torch.cdist(made, real).mean() - torch.cdist(made, made).mean() - torch.cdist(real, real).mean()

    noise = torch.randn(1000, 4, generator=torch.Generator().manual_seed(9))
    return Task(Pair(), batch, energy, ((noise, points[3000:]), points[3000:]), objective=objective)


class Coupling(nn.Module):
    """Affine couplings whose last layers are 0: the flow starts as the identity (Dinh et al., ICLR 2017)."""

    def __init__(self, couplings: int = 6, width: int = 32) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
            for _ in range(couplings)
        )
        for net in self.nets:
            nn.init.zeros_(net[-1].weight)
            nn.init.zeros_(net[-1].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        logdet = x.new_zeros(len(x))
        for net in self.nets:
            s, t = net(a).chunk(2, -1)
            a, b = b * torch.exp(s) + t, a
            logdet = logdet + s.sum(-1)
        return torch.cat([a, b], -1), logdet


def _density(model: nn.Module) -> Task:
    points = _moons()

    def loss(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        z, logdet = output
        return (0.5 * z.square().sum(-1) + math.log(2 * math.pi) - logdet).mean()

    return Task(model, picked(points[:3000], points[:3000], 128), loss, ((points[3000:],), points[3000:]))


@family("RealNVP, 6 couplings", tuned=True, clip=1.0)
def realnvp() -> Task:
    return _density(Coupling())


class Spline(nn.Module):
    """Monotone maps of one coordinate, piecewise linear, whose heights a network of the other writes."""

    def __init__(self, layers: int = 4, width: int = 32, bins: int = 8, reach: float = 4.0) -> None:
        super().__init__()
        self.bins, self.reach = bins, reach
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, bins))
            for _ in range(layers)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        logdet = x.new_zeros(len(x))
        for net in self.nets:
            share = 0.01 / self.bins + 0.99 * net(a).softmax(-1)
            place = ((b + self.reach) / (2 * self.reach)).clamp(1e-4, 1 - 1e-4) * self.bins
            index = place.long()
            before = (share.cumsum(-1) - share).gather(-1, index)
            height = share.gather(-1, index)
            moved = (before + height * (place - index)) * 2 * self.reach - self.reach
            logdet = logdet + torch.log(height * self.bins).squeeze(-1)
            a, b = moved, a
        return torch.cat([a, b], -1), logdet


@family("spline flow, 4 layers")
def spline_flow() -> Task:
    return _density(Spline())

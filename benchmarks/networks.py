"""The networks of the benchmarks: hard ones to start, and the two that speed is measured on."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(
    activation: Callable[[], nn.Module], depth: int, width: int = 64, inputs: int = 64, outputs: int = 10
) -> nn.Module:
    """`depth` linear layers with an activation between."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(inputs, width), activation()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def plain_cnn(depth: int = 30, channels: int = 16) -> nn.Module:
    """Convolutions of kernel 3 in a row, no normalization, no skip."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 10))


class Block(nn.Module):
    """The basic residual block; `norm` may be `nn.Identity`."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        bias = norm is no_norm
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=bias)
        self.norm2 = norm(outputs)
        self.relu = nn.ReLU(inplace=True)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=bias), norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        y += self.shortcut(x)
        return self.relu(y)


def no_norm(channels: int) -> nn.Module:
    return nn.Identity()


class ResNet(nn.Module):
    """Three or four stages of basic blocks."""

    def __init__(
        self, blocks: int, widths: tuple[int, ...], inputs: int, outputs: int, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(inputs, widths[0], 3, 1, 1, bias=norm is no_norm), norm(widths[0]), nn.ReLU(True)
        )
        rows = []
        before = widths[0]
        for stage, width in enumerate(widths):
            for i in range(blocks):
                rows.append(Block(before, width, 2 if stage and not i else 1, norm))
                before = width
        self.blocks = nn.Sequential(*rows)
        self.head = nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnet56_without_norm() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), ResNet(9, (16, 32, 64), 1, 10, no_norm))


def resnet18() -> nn.Module:
    """ResNet-18-like, for images of 64 x 64."""
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)
    )
    return nn.Sequential(stem, ResNet(2, (64, 128, 256, 512), 64, 1000, nn.BatchNorm2d))


class Transformer(nn.Module):
    """A classifier of 8 rows of 8 pixels, each row a token."""

    def __init__(self, depth: int = 24, width: int = 32, norm_first: bool = True) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(torch.zeros(1, 8, width).normal_(std=0.02))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(self.embed(x.view(-1, 8, 8)) + self.position)
        return self.head(self.norm(x).mean(1))


class LongLSTM(nn.Module):
    """An LSTM that reads a digit row by row, then 192 blank rows, and answers after the 200th step."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows = F.pad(x.view(-1, 8, 8), (0, 0, 0, 192))
        y, _ = self.lstm(rows)
        return self.head(y[:, -1])


def gpt2(layers: int = 6, width: int = 384, heads: int = 6) -> nn.Module:
    """A GPT-2-like model from transformers' own configuration."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(n_layer=layers, n_embd=width, n_head=heads, n_positions=128, use_cache=False))

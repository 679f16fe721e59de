"""Normalization and regularization that are wrong on purpose."""

import torch
import torch.nn.functional as F
from faulty import faulty, mlp, subject
from torch import Tensor, nn

from gainstage.run import Subject


def normed(norm: nn.Module, width: int = 64, n: int = 64) -> Subject:
    model = nn.Sequential(nn.Linear(20, width, bias=False), norm, nn.ReLU(), nn.Linear(width, 10))
    return subject(model, n=n)


# --- how many values, along which axis ---------------------------------------------------------------------------


@faulty("NRM401", "warning")
def batch_norm_of_two_samples() -> Subject:
    return normed(nn.BatchNorm1d(64), n=2)


@faulty("NRM401", "warning")
def batch_norm_of_a_pooled_map() -> Subject:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    return subject(model, 3, 12, 12, n=3)


@faulty("NRM401", "note")
def a_small_batch_beside_a_skip_path() -> Subject:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch, self.norm = nn.Linear(20, 32), nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32)
            self.head = nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(self.stem(x))
            return self.head(x + self.norm(self.branch(x)))

    return subject(Skip(), n=4)


@faulty("NRM402")
def as_many_groups_as_channels() -> Subject:
    return normed(nn.GroupNorm(64, 64))


@faulty("NRM402")
def a_group_norm_of_a_pooled_map() -> Subject:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.GroupNorm(16, 16), nn.Flatten(), nn.Linear(16, 10)
    )
    return subject(model, 3, 12, 12)


@faulty("NRM402")
def a_layer_norm_of_one_feature() -> Subject:
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1), nn.LayerNorm(1))
    return Subject(model, torch.randn(64, 8), torch.randn(64, 1), F.mse_loss)


@faulty("NRM402", "warning")
def a_pooled_branch_normalized_away() -> Subject:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.local = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
            self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.GroupNorm(16, 16), nn.ReLU())
            self.head = nn.Conv2d(32, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            return self.head(torch.cat([self.local(x), self.whole(x).expand_as(x)], 1))

    return Subject(Pyramid(), torch.randn(8, 3, 12, 12), torch.randint(0, 4, (8, 12, 12)), F.cross_entropy)


@faulty("NRM403", "warning")
def a_layer_norm_over_the_batch() -> Subject:
    return normed(nn.LayerNorm([32, 64]), n=32)


@faulty("NRM403", "warning")
def features_normalized_over_the_samples() -> Subject:
    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(3), nn.Linear(10, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(8 * F.normalize(self.body(x), dim=0))

    return subject(Cosine())


class Positions(nn.Module):
    """Tokens of a sequence taken for channels."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.up, self.norm, self.head = nn.Linear(8, 32, bias=False), norm, nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.up(x))).mean(1))


@faulty("NRM403", "note")
def batch_norm_of_positions() -> Subject:
    return subject(Positions(nn.BatchNorm1d(12)), 12, 8)


@faulty("NRM403", "note")
def group_norm_of_positions() -> Subject:
    return subject(Positions(nn.GroupNorm(4, 12)), 12, 8)


# --- stored statistics -------------------------------------------------------------------------------------------


def trained(momentum: float = 0.1, steps: int = 80) -> Subject:
    """A classifier that has learned its batch."""
    s = normed(nn.BatchNorm1d(64, momentum=momentum))
    optimizer = torch.optim.Adam(s.model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        s.loss(s.model(s.example), s.target).backward()
        optimizer.step()
    return s


@faulty("NRM404", "warning")
def statistics_of_other_data() -> Subject:
    s = trained()
    s.model[1].running_mean.fill_(10.0)
    s.model[1].running_var.fill_(400.0)
    return s


@faulty("NRM404", "note")
def evaluation_before_any_batch() -> Subject:
    s = normed(nn.BatchNorm1d(64))
    return Subject(s.model.eval(), 6 * s.example, s.target, s.loss)


@faulty("NRM404", "warning")
def negative_running_variance() -> Subject:
    s = normed(nn.BatchNorm1d(64))
    s.model[1].running_var[5] = -0.3
    return s


@faulty("NRM404")
def trained_in_evaluation_mode() -> Subject:
    layers = [part for _ in range(12) for part in (nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(20, 64, bias=False), *layers, nn.Linear(64, 10, bias=False))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
    return subject(model.eval())


@faulty("NRM405", "note")
def keras_momentum() -> Subject:
    return normed(nn.BatchNorm1d(64, momentum=0.99))


@faulty("NRM405", "warning")
def keras_momentum_and_a_last_batch_of_outliers() -> Subject:
    s = trained(momentum=0.99)
    with torch.no_grad():
        s.model(20 * torch.randn(64, 20) + 5)
    return s


@faulty("NRM405", "note")
def momentum_zero() -> Subject:
    return normed(nn.BatchNorm1d(64, momentum=0.0))


@faulty("NRM406", "warning")
def variances_a_little_off() -> Subject:
    s = trained()
    signs = 1 - 2 * (torch.arange(64) % 2)
    s.model[1].running_mean.add_(2.5 * signs * s.model[1].running_var.sqrt())
    return s


# --- place and settings ------------------------------------------------------------------------------------------


@faulty("NRM407", "note")
def dropout_before_batch_norm() -> Subject:
    model = nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 10)
    )  # fmt: skip
    return subject(model)


@faulty("NRM407", "note")
def dropout_between_convolutions_and_batch_norm() -> Subject:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout2d(0.3),
        nn.Conv2d(16, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip
    return subject(model, 3, 12, 12)


@faulty("NRM408", "note")
def momentum_in_the_place_of_epsilon() -> Subject:
    return normed(nn.BatchNorm1d(64, 0.8))


@faulty("NRM408")
def a_huge_epsilon_everywhere() -> Subject:
    layers = [part for _ in range(12) for part in (nn.Linear(64, 64, bias=False), nn.LayerNorm(64, eps=9.0), nn.ReLU())]
    return subject(nn.Sequential(nn.Linear(20, 64), *layers, nn.Linear(64, 10)))


@faulty("NRM409", "note")
def biases_in_front_of_batch_norm() -> Subject:
    return subject(nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)))


# --- regularization ----------------------------------------------------------------------------------------------


@faulty("REG701", "warning")
def the_share_to_keep_as_the_rate() -> Subject:
    return subject(nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Dropout(0.9), nn.Linear(128, 10)))


@faulty("REG701")
def dropout_that_keeps_three_units() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.95), nn.Linear(64, 10))
    return subject(model)


@faulty("REG701")
def dropout_of_everything() -> Subject:
    return subject(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(1.0), nn.Linear(64, 10)))


@faulty("REG701", "note")
def four_fifths_of_a_wide_layer() -> Subject:
    return subject(nn.Sequential(nn.Linear(20, 512), nn.ReLU(), nn.Dropout(0.8), nn.Linear(512, 10)))


@faulty("REG702", "note")
def dropout_on_the_logits() -> Subject:
    return subject(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 10), nn.Dropout(0.25)))


@faulty("REG702", "warning")
def dropout_on_predicted_numbers() -> Subject:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1), nn.Dropout(0.5))
    return Subject(model, torch.randn(64, 8), torch.randn(64, 1), F.mse_loss)


@faulty("REG703", "warning")
def functional_dropout_always_on() -> Subject:
    class Careless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = F.dropout(torch.relu(self.first(x)), 0.3, training=self.training)
            return self.third(F.dropout(torch.relu(self.second(x)), p=0.5))

    return subject(Careless())


@faulty("REG704")
def weight_decay_of_one() -> Subject:
    s = subject(mlp(3))
    optimizer = torch.optim.SGD(s.model.parameters(), lr=0.01, weight_decay=1.0)
    return Subject(s.model, s.example, s.target, s.loss, optimizer)


@faulty("REG704")
def a_penalty_in_the_loss() -> Subject:
    s = subject(mlp(3))

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + 1.0 * sum(p.pow(2).sum() for p in s.model.parameters())

    return Subject(s.model, s.example, s.target, loss)


@faulty("REG704")
def a_lasso_in_the_loss() -> Subject:
    s = subject(mlp(3))

    def loss(output: Tensor, target: Tensor) -> Tensor:
        total = F.cross_entropy(output, target)
        for name, parameter in s.model.named_parameters():
            if name.endswith("weight"):
                total = total + 0.1 * parameter.abs().sum()
        return total

    return Subject(s.model, s.example, s.target, loss)


class DropBlock2D(nn.Module):
    """Draws block centres at the rate itself."""

    def __init__(self, drop_prob: float, block_size: int) -> None:
        super().__init__()
        self.drop_prob, self.block_size = drop_prob, block_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        centres = (torch.rand(x.shape[0], 1, *x.shape[2:]) < self.drop_prob).float()
        kept = 1 - F.max_pool2d(centres, self.block_size, 1, self.block_size // 2)
        return x * kept * kept.numel() / kept.sum().clamp(min=1)


@faulty("REG705", "note")
def a_dropblock_of_centres() -> Subject:
    parts = [nn.Conv2d(3, 16, 3), nn.ReLU(), DropBlock2D(0.05, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return subject(nn.Sequential(*parts, nn.Linear(16, 10)), 3, 16, 16)


@faulty("REG705", "warning")
def a_dropblock_that_drops_all() -> Subject:
    parts = [nn.Conv2d(3, 16, 3), nn.ReLU(), DropBlock2D(0.25, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return subject(nn.Sequential(*parts, nn.Linear(16, 10)), 3, 16, 16)


@faulty("REG706", "note")
def smoothed_twice() -> Subject:
    s = subject(mlp(3))
    soft = 0.9 * F.one_hot(s.target, 10).float() + 0.01
    return Subject(s.model, s.example, soft, nn.CrossEntropyLoss(label_smoothing=0.1))


@faulty("REG706", "note")
def smoothed_away() -> Subject:
    s = subject(mlp(3))
    return Subject(s.model, s.example, s.target, nn.CrossEntropyLoss(label_smoothing=0.6))

"""Normalization, regularization and starts that look odd and are healthy: near misses of the rules about them."""

import torch
import torch.nn.functional as F
from healthy import HEALTHY, N, classifier, healthy, labels, mlp
from torch import Tensor, nn

from gainstage.run import Subject


def dense(*parts: nn.Module, width: int = 64, n: int = N) -> Subject:
    return classifier(nn.Sequential(nn.Linear(20, width), *parts, nn.Linear(width, 10)), 20, n=n)


HEALTHY["batch_of_eight"] = lambda: dense(nn.BatchNorm1d(64), nn.ReLU(), n=8)
HEALTHY["one_group_of_a_vector"] = lambda: dense(nn.GroupNorm(1, 64), nn.ReLU())
HEALTHY["eight_groups_of_a_vector"] = lambda: dense(nn.GroupNorm(8, 64), nn.ReLU())
HEALTHY["rms_norm"] = lambda: dense(nn.RMSNorm(64), nn.GELU())
HEALTHY["no_affine"] = lambda: dense(nn.BatchNorm1d(64, affine=False), nn.Tanh())
HEALTHY["no_running_statistics"] = lambda: dense(nn.BatchNorm1d(64, track_running_stats=False), nn.ReLU())
HEALTHY["cumulative_statistics"] = lambda: dense(nn.BatchNorm1d(64, momentum=None), nn.ReLU())
HEALTHY["slow_statistics"] = lambda: dense(nn.BatchNorm1d(64, momentum=0.01, eps=1e-3), nn.ReLU())
HEALTHY["last_batch_on_purpose"] = lambda: dense(nn.BatchNorm1d(64, momentum=1.0), nn.ReLU())
HEALTHY["alpha_dropout"] = lambda: dense(nn.SELU(), nn.AlphaDropout(0.1))
HEALTHY["dropout_of_seven_tenths"] = lambda: dense(nn.ReLU(), nn.Dropout(0.7), width=512)


def images(*parts: nn.Module, width: int = 16, n: int = 16) -> Subject:
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
    return classifier(nn.Sequential(nn.Conv2d(3, width, 3), *parts, *tail), 3, 12, 12, n=n)


HEALTHY["instance_norm"] = lambda: images(nn.InstanceNorm2d(16, affine=True), nn.ReLU())
HEALTHY["tracked_instance_norm"] = lambda: images(nn.InstanceNorm2d(16, track_running_stats=True), nn.ReLU())
HEALTHY["layer_norm_of_maps"] = lambda: images(nn.LayerNorm([16, 10, 10]), nn.ReLU())
HEALTHY["layer_norm_of_as_many_channels_as_samples"] = lambda: images(nn.LayerNorm([16, 10, 10]), nn.ReLU(), n=16)
HEALTHY["group_per_channel_of_maps"] = lambda: images(nn.GroupNorm(16, 16), nn.ReLU())
HEALTHY["dropout_of_channels"] = lambda: images(nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout2d(0.5))
HEALTHY["one_image"] = lambda: images(nn.BatchNorm2d(16), nn.ReLU(), n=1)


@healthy
def wide_resnet_block() -> Subject:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 32, 3, padding=1), nn.Linear(32, 10)
            self.body = nn.Sequential(
                nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.Dropout(0.3),
                nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, bias=False),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head((x + self.body(x)).mean((2, 3)))

    return classifier(Wide(), 3, 12, 12)


@healthy
def depthwise_by_fan_out_in_front_of_batch_norm() -> Subject:
    s = images(nn.Conv2d(16, 16, 3, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
    nn.init.kaiming_normal_(s.model[1].weight, mode="fan_out")
    return s


class GhostBatchNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.norm(part) for part in x.chunk(4)])


HEALTHY["ghost_batch_norm"] = lambda: dense(GhostBatchNorm(64), nn.ReLU())


class Turned(nn.Module):
    """Batch normalization of the features of tokens, as time series models do."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.head = nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.up(x).transpose(1, 2)).transpose(1, 2)
        return self.head(torch.relu(x).mean(1))


HEALTHY["batch_norm_of_token_features"] = lambda: classifier(Turned(), 12, 8)


class OneByOne(nn.Module):
    """Every sample on its own, as many tokens as samples: the normalization runs over tokens and features."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.head = nn.Linear(8, 32), nn.LayerNorm([16, 32]), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.head(torch.relu(self.norm(self.up(sample))).mean(0)) for sample in x])


HEALTHY["normalized_sample_by_sample"] = lambda: classifier(OneByOne(), 16, 8, n=16)


class TimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm = nn.Linear(8, 32), nn.LayerNorm(32)
        self.layer, self.head = nn.TransformerEncoderLayer(32, 4, 64), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.norm(self.up(x.transpose(0, 1)))).mean(0))


HEALTHY["time_first_as_long_as_the_batch"] = lambda: classifier(TimeFirst(), 16, 8, n=16)


@healthy
def simsiam() -> Subject:
    class SimSiam(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(
                nn.Linear(20, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(),
                nn.Linear(64, 32, bias=False), nn.BatchNorm1d(32, affine=False),
            )  # fmt: skip
            self.predict = nn.Sequential(
                nn.Linear(32, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 32)
            )

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return self.predict(self.encode(a)), self.encode(b).detach()

    def loss(output: tuple[Tensor, Tensor], target: None) -> Tensor:
        return -F.cosine_similarity(*output).mean()

    x = torch.randn(N, 20)
    return Subject(SimSiam(), (x + 0.1 * torch.randn_like(x), x), None, loss)


def trained(epochs: int = 60) -> Subject:
    s = dense(nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3))
    optimizer = torch.optim.Adam(s.model.parameters(), lr=3e-3)
    for _ in range(epochs):
        optimizer.zero_grad()
        s.loss(s.model(s.example), s.target).backward()
        optimizer.step()
    return s


@healthy
def trained_with_batch_norm() -> Subject:
    return trained()


@healthy
def trained_and_evaluated() -> Subject:
    s = trained()
    s.model.eval()
    return s


@healthy
def trained_and_given_other_data() -> Subject:
    s = trained()
    return Subject(s.model, 2 * torch.randn(N, 20), s.target, s.loss)


# --- regularization ----------------------------------------------------------------------------------------------


def decayed(kind: type[torch.optim.Optimizer], **options: float) -> Subject:
    s = mlp(3, nn.ReLU)
    return Subject(s.model, s.example, s.target, s.loss, kind(s.model.parameters(), **options))


HEALTHY["weight_decay_of_sgd"] = lambda: decayed(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=5e-4)
HEALTHY["weight_decay_of_adam"] = lambda: decayed(torch.optim.Adam, lr=1e-3, weight_decay=1e-4)
HEALTHY["decoupled_weight_decay"] = lambda: decayed(torch.optim.AdamW, lr=1e-3, weight_decay=0.1)


@healthy
def a_small_penalty_in_the_loss() -> Subject:
    s = mlp(3, nn.ReLU)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + 1e-4 * sum(p.pow(2).sum() for p in s.model.parameters())

    return Subject(s.model, s.example, s.target, loss)


@healthy
def uncertainty_weighted_tasks() -> Subject:
    class Tasks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(20, 64), nn.ReLU())
            self.first, self.second, self.logvar = nn.Linear(64, 10), nn.Linear(64, 1), nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(x)
            return self.first(h), self.second(h)

    model = Tasks()

    def loss(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        losses = F.cross_entropy(output[0], target), F.mse_loss(output[1][:, 0], target / 10)
        return sum(v * (-s).exp() + s for v, s in zip(losses, model.logvar, strict=True))

    return Subject(model, torch.randn(N, 20), labels(), loss)


class Bayes(nn.Module):
    """A layer whose weights are drawn anew in every pass, and the divergence of their law from a standard normal."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(out, into) / into**0.5)
        self.spread = nn.Parameter(torch.full((out, into), -3.0))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.mean + F.softplus(self.spread) * torch.randn_like(self.mean))

    def divergence(self) -> Tensor:
        std = F.softplus(self.spread)
        return (std**2 + self.mean**2 - 1 - 2 * std.log()).sum() / 2


@healthy
def bayes_by_backprop() -> Subject:
    model = nn.Sequential(Bayes(20, 64), nn.ReLU(), Bayes(64, 10))

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target) + (model[0].divergence() + model[2].divergence()) / 50_000

    return Subject(model, torch.randn(N, 20), labels(), loss)


class Switched(nn.Module):
    """Functional dropout that follows the mode, and features that leave through dropout."""

    def __init__(self, features: bool) -> None:
        super().__init__()
        self.first, self.second, self.features = nn.Linear(20, 64), nn.Linear(64, 10), features

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(torch.relu(self.first(x)), 0.5, self.training)
        return x if self.features else self.second(x)


HEALTHY["functional_dropout"] = lambda: classifier(Switched(False), 20)
HEALTHY["features_through_dropout"] = lambda: Subject(Switched(True), torch.randn(N, 20))


@healthy
def mixed_and_smoothed_once() -> Subject:
    s = mlp(3, nn.ReLU)
    soft = F.one_hot(s.target, 10).float()
    soft = 0.7 * soft + 0.3 * soft.flip(0)
    return Subject(s.model, s.example, soft, nn.CrossEntropyLoss(label_smoothing=0.1))


@healthy
def distilled() -> Subject:
    s = mlp(3, nn.ReLU)
    return Subject(s.model, s.example, torch.randn(N, 10).softmax(1), nn.CrossEntropyLoss())


class DropBlock2d(nn.Module):
    """Drops blocks so that the asked share of the entries is gone."""

    def __init__(self, p: float, size: int) -> None:
        super().__init__()
        self.p, self.size = p, size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        rate = 1 - (1 - self.p) ** (1 / self.size**2)
        kept = 1 - F.max_pool2d((torch.rand_like(x) < rate).float(), self.size, 1, self.size // 2)
        return x * kept / kept.mean()


HEALTHY["dropblock"] = lambda: images(nn.ReLU(), DropBlock2d(0.1, 3))


# --- starts ------------------------------------------------------------------------------------------------------


@healthy
def two_hundredths_without_harm() -> Subject:
    s = mlp(3, nn.ReLU)
    for layer in s.model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
    return s


@healthy
def tied_embedding_of_two_hundredths() -> Subject:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm, self.body = nn.Embedding(200, 64), nn.LayerNorm(64), nn.Linear(64, 64)
            nn.init.normal_(self.embed.weight, std=0.02)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embed(tokens)
            return F.linear(self.norm(x + self.body(x)), self.embed.weight).flatten(0, 1)

    tokens = torch.randint(0, 200, (16, 12))
    return Subject(Tied(), tokens, torch.randint(0, 200, (16 * 12,)), F.cross_entropy)


@healthy
def a_hypernetwork() -> Subject:
    class Hyper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code, self.make = nn.Parameter(torch.randn(8)), nn.Linear(8, 64 * 20)
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(F.linear(x, self.make(self.code).view(64, 20) / 4)))

    return classifier(Hyper(), 20)


@healthy
def channels_last_in_bfloat16() -> Subject:
    s = images(nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.1))
    x = s.example.bfloat16().to(memory_format=torch.channels_last)
    return Subject(s.model.bfloat16().to(memory_format=torch.channels_last), x, s.target, s.loss)

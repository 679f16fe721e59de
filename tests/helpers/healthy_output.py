"""Healthy models whose losses, targets or inputs come close to a fault and are none."""

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from healthy import HEALTHY, N, healthy, labels, tokens
from torch import Tensor, nn

from gainstage.run import Subject


def net(*widths: int, act: type[nn.Module] = nn.ReLU, end: nn.Module | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), act()]
    return nn.Sequential(*layers[:-1], *([end] if end is not None else []))


def fit(name: str, model: Any, target: Any, loss: Any, features: int = 12) -> None:
    HEALTHY[name] = lambda: Subject(model(), torch.randn(N, features), target(), loss)


# --- losses of classes -------------------------------------------------------------------------------------------

fit("label_smoothing", lambda: net(12, 32, 5), lambda: labels(5), nn.CrossEntropyLoss(label_smoothing=0.1))
fit(
    "class_weights", lambda: net(12, 32, 4), lambda: labels(4), nn.CrossEntropyLoss(torch.tensor([1.0, 5.0, 20.0, 0.2]))
)
fit("rare_class", lambda: net(12, 32, 2), lambda: (torch.arange(N) == 3).long(), F.cross_entropy)
fit("soft_labels", lambda: net(12, 32, 5), lambda: torch.rand(N, 5).softmax(1), F.cross_entropy)
fit("multi_label", lambda: net(12, 32, 6), lambda: (torch.rand(N, 6) < 0.2).float(), F.binary_cross_entropy_with_logits)
fit(
    "positive_weight",
    lambda: net(12, 32, 6),
    lambda: (torch.rand(N, 6) < 0.05).float(),
    nn.BCEWithLogitsLoss(pos_weight=torch.full((6,), 19.0)),
)
fit("one_hot_bce", lambda: net(12, 32, 5), lambda: F.one_hot(labels(5), 5).float(), F.binary_cross_entropy_with_logits)
fit(
    "softmax_with_bce",
    lambda: net(12, 32, 5, end=nn.Softmax(1)),
    lambda: F.one_hot(labels(5), 5).float(),
    F.binary_cross_entropy,
)
fit("brier_score", lambda: net(12, 32, 5, end=nn.Softmax(1)), lambda: F.one_hot(labels(5), 5).float(), F.mse_loss)
fit("nll_loss", lambda: net(12, 32, 5, end=nn.LogSoftmax(1)), lambda: labels(5), F.nll_loss)
fit(
    "xor_with_squared_error",
    lambda: net(12, 8, 1, act=nn.Tanh, end=nn.Sigmoid()),
    lambda: labels(2)[:, None].float(),
    F.mse_loss,
)
fit(
    "focal_loss",
    lambda: net(12, 32, 5),
    lambda: labels(5),
    lambda z, y: (
        (1 - z.softmax(1).gather(1, y[:, None])) ** 2 * F.cross_entropy(z, y, reduction="none")[:, None]
    ).mean(),
)
fit(
    "hinge",
    lambda: net(12, 32, 1),
    lambda: (2 * labels(2) - 1).float()[:, None],
    lambda z, y: (1 - y * z).relu().mean(),
)
fit(
    "distillation",
    lambda: net(12, 32, 5),
    lambda: torch.randn(N, 5),
    lambda z, t: 4 * F.kl_div((z / 2).log_softmax(1), (t / 2).softmax(1), reduction="batchmean"),
)
fit(
    "cross_entropy_by_hand",
    lambda: net(12, 32, 5, end=nn.Softmax(1)),
    lambda: F.one_hot(labels(5), 5).float(),
    lambda p, y: -(y * (p + 1e-9).log()).sum(1).mean(),
)


@healthy
def arc_face() -> Subject:
    class Arc(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.centres = net(12, 64, 32), nn.Parameter(torch.randn(8, 32))

        def forward(self, x: Tensor) -> Tensor:
            return 30 * F.linear(F.normalize(self.body(x)), F.normalize(self.centres)) / math.sqrt(8)

    return Subject(Arc(), torch.randn(N, 12), labels(8), F.cross_entropy)


@healthy
def clip_loss() -> Subject:
    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = net(12, 32, 16), net(20, 32, 16)
            self.scale = nn.Parameter(torch.tensor(math.log(10)))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.scale.exp() * F.normalize(self.a(a)) @ F.normalize(self.b(b)).T

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    return Subject(Towers(), (torch.randn(N, 12), torch.randn(N, 20)), torch.arange(N), loss)


@healthy
def matching_with_softmax_over_both_axes() -> Subject:
    def loss(z: Tensor, _: Tensor) -> Tensor:
        s = F.normalize(z) @ F.normalize(z).T / 0.2
        return -(s.log_softmax(0).diagonal() + s.log_softmax(1).diagonal()).mean()

    return Subject(net(12, 32, 16), torch.randn(N, 12), torch.zeros(N), loss)


@healthy
def padded_tagger() -> Subject:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn = nn.Embedding(50, 16, padding_idx=0), nn.LSTM(16, 16, batch_first=True)
            self.head = nn.Linear(16, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.embed(x))[0])

    x = torch.randint(1, 50, (N, 10))
    x[:, 7:] = 0
    y = torch.where(x == 0, -100, x % 6)
    return Subject(Tagger(), x, y, lambda z, y: F.cross_entropy(z.flatten(0, 1), y.flatten()))


@healthy
def time_first_language_model() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.head = nn.Embedding(60, 16), nn.GRU(16, 32), nn.Linear(32, 60)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(self.embed(x))[0]).flatten(0, 1)

    x = torch.randint(0, 60, (14, 9))
    return Subject(Model(), x, torch.randint(0, 60, (14 * 9,)), F.cross_entropy)


@healthy
def time_first_encoder() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.layer = nn.Linear(8, 32), nn.TransformerEncoderLayer(32, 4, 64)
            self.head = nn.Linear(32, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(self.first(x)).mean(0))

    return Subject(Model(), torch.randn(7, N, 8), labels(3), F.cross_entropy)


@healthy
def ctc() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 32, batch_first=True, bidirectional=True), nn.Linear(64, 12)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0]).log_softmax(-1).transpose(0, 1)

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return F.ctc_loss(z, y, torch.full((16,), 20), torch.full((16,), 5))

    return Subject(Model(), torch.randn(16, 20, 8), torch.randint(1, 12, (16, 5)), loss)


@healthy
def attention_pooling_that_returns_its_weights() -> Subject:
    class Pool(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.score, self.head = nn.Linear(8, 32), nn.Linear(32, 1), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(self.first(x))
            weights = self.score(h).softmax(1)
            return self.head((weights * h).sum(1)), weights

    return Subject(Pool(), torch.randn(N, 6, 8), labels(4), lambda out, y: F.cross_entropy(out[0], y))


@healthy
def segmentation_with_dice() -> Subject:
    def dice(z: Tensor, y: Tensor) -> Tensor:
        p, y = z.softmax(1), F.one_hot(y, 3).movedim(-1, 1).float()
        return 1 - (2 * (p * y).sum((2, 3)) / ((p + y).sum((2, 3)) + 1e-6)).mean()

    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1))
    y = torch.randint(0, 3, (8, 12, 12))
    return Subject(model, torch.randn(8, 3, 12, 12), y, lambda z, y: dice(z, y) + F.cross_entropy(z, y))


@healthy
def pixel_rows_flattened_rightly() -> Subject:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 1))
    y = torch.randint(0, 4, (8, 12, 12))
    return Subject(
        model,
        torch.randn(8, 3, 12, 12),
        y,
        lambda z, y: F.cross_entropy(z.permute(0, 2, 3, 1).reshape(-1, 4), y.view(-1)),
    )


# --- losses of numbers -------------------------------------------------------------------------------------------

fit("ages", lambda: net(12, 64, 1), lambda: torch.randint(18, 80, (N, 1)).float(), F.mse_loss)
fit("boston", lambda: net(12, 64, 64, 1), lambda: 22 + 9 * torch.randn(N, 1), F.mse_loss)
fit("ratings", lambda: net(12, 64, 1), lambda: torch.randint(1, 6, (N, 1)).float(), F.mse_loss)
fit("shares", lambda: net(12, 32, 1, end=nn.Sigmoid()), lambda: torch.rand(N, 1), F.mse_loss)
fit("positive_amounts", lambda: net(12, 32, 1, end=nn.Softplus()), lambda: torch.rand(N, 1) * 5, F.l1_loss)
fit("steering", lambda: net(12, 32, 1, end=nn.Tanh()), lambda: torch.rand(N, 1) * 2 - 1, F.smooth_l1_loss)
fit("counts", lambda: net(12, 32, 1), lambda: torch.poisson(torch.full((N, 1), 4.0)), nn.PoissonNLLLoss())
fit("small_targets", lambda: net(12, 32, 1), lambda: 0.1 * torch.randn(N, 1), F.mse_loss)
fit("ensemble_columns", lambda: net(12, 32, 5), lambda: torch.randn(N, 1), lambda z, y: ((z - y) ** 2).mean())
fit(
    "root_of_the_mean_square",
    lambda: net(12, 32, 1),
    lambda: torch.randn(N),
    lambda z, y: F.mse_loss(z[:, 0], y).sqrt(),
)
fit("log_cosh", lambda: net(12, 32, 1), lambda: torch.randn(N, 1), lambda z, y: (z - y).cosh().log().mean())
fit(
    "gaussian",
    lambda: net(12, 32, 2),
    lambda: torch.randn(N),
    lambda z, y: F.gaussian_nll_loss(z[:, 0], y, z[:, 1].exp()),
)
fit(
    "masked_targets",
    lambda: net(12, 32, 1),
    lambda: torch.where(torch.rand(N, 1) < 0.3, float("nan"), torch.randn(N, 1)),
    lambda z, y: F.mse_loss(z[~y.isnan()], y[~y.isnan()]),
)
fit("least_squares_gan", lambda: net(12, 32, 1), lambda: torch.ones(N, 1), F.mse_loss)
fit(
    "wasserstein_critic",
    lambda: net(12, 32, 1),
    lambda: (2 * labels(2) - 1).float()[:, None],
    lambda z, y: (z * y).mean(),
)
fit(
    "quantiles",
    lambda: net(12, 32, 3),
    lambda: torch.randn(N, 1),
    lambda q, y: torch.maximum(0.9 * (y - q), -0.1 * (y - q)).mean(),
)
fit(
    "ranking_of_pairs",
    lambda: net(12, 32, 1),
    lambda: torch.randn(N),
    lambda z, y: F.softplus(-(z - z.T) * (y[:, None] - y[None]).sign()).mean(),
)


@healthy
def quantile_regression_q_learning() -> Subject:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        error = y[:, None, :] - z[:, :, None]
        weight = (torch.linspace(0.1, 0.9, 5)[None, :, None] - (error < 0).float()).abs()
        return (
            weight * F.smooth_l1_loss(*torch.broadcast_tensors(z[:, :, None], y[:, None, :]), reduction="none")
        ).mean()

    return Subject(net(4, 64, 5), torch.randn(N, 4), torch.randn(N, 5), loss)


@healthy
def physics_informed() -> Subject:
    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = net(2, 32, 32, 1, act=nn.Tanh)

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                u = self.body(x)
                (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            return torch.cat([u, slope], 1)

    return Subject(Field(), torch.rand(N, 2), torch.zeros(N, 3), F.mse_loss)


@healthy
def bootstrap_your_own_latent() -> Subject:
    class Byol(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.predict, self.teacher = net(12, 32, 16), net(16, 32, 16), net(12, 32, 16)
            self.teacher.requires_grad_(False)

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                aim = F.normalize(self.teacher(b))
            return F.normalize(self.predict(self.student(a))), aim

    x = torch.randn(N, 12)
    return Subject(Byol(), (x, x + 0.1 * torch.randn(N, 12)), None, lambda out, _: F.mse_loss(out[0], out[1]))


@healthy
def vector_quantizer() -> Subject:
    class VQ(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.decode, self.book = net(12, 32, 8), net(8, 32, 12), nn.Embedding(16, 8)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            z = self.encode(x)
            q = self.book(torch.cdist(z, self.book.weight).argmin(1))
            commit = F.mse_loss(z, q.detach()) + F.mse_loss(q, z.detach())
            y = self.decode(z + (q - z).detach())
            return {"y": y, "loss": F.mse_loss(y, x) + commit}

    return Subject(VQ(), torch.randn(N, 12))


@healthy
def boxes_and_classes() -> Subject:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.box, self.kind = nn.Linear(16, 4), nn.Linear(16, 6)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.body(x)
            return {"box": self.box(h).sigmoid(), "kind": self.kind(h)}

    def loss(out: dict[str, Tensor], y: dict[str, Tensor]) -> Tensor:
        return 5 * F.l1_loss(out["box"], y["box"]) + F.cross_entropy(out["kind"], y["kind"])

    return Subject(Detector(), torch.randn(N, 3, 32, 32), {"box": torch.rand(N, 4), "kind": labels(6)}, loss)


# --- inputs ------------------------------------------------------------------------------------------------------


class Standardized(nn.Module):
    """Divides pixels itself."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(0.45))
        self.register_buffer("std", torch.tensor(0.22))

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x / 255 - self.mean) / self.std)


def small_cnn(*first: nn.Module) -> nn.Sequential:
    body = [nn.Conv2d(3, 16, 3, 2), *first, nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(32, 10))


@healthy
def pixels_divided_in_the_model() -> Subject:
    return Subject(Standardized(small_cnn()), 255 * torch.rand(N, 3, 16, 16), labels(), F.cross_entropy)


@healthy
def pixels_behind_a_first_batch_norm() -> Subject:
    return Subject(small_cnn(nn.BatchNorm2d(16)), 255 * torch.rand(N, 3, 16, 16), labels(), F.cross_entropy)


@healthy
def pixels_from_0_to_1() -> Subject:
    return Subject(small_cnn(), torch.rand(N, 3, 16, 16), labels(), F.cross_entropy)


@healthy
def columns_behind_a_batch_norm() -> Subject:
    x = torch.randn(N, 4) * torch.tensor([1.0, 10.0, 1e4, 0.1]) + torch.tensor([0.0, 40.0, 5e4, 2000.0])
    return Subject(nn.Sequential(nn.BatchNorm1d(4), *net(4, 32, 3)), x, labels(3), F.cross_entropy)


@healthy
def sparse_columns() -> Subject:
    x = (torch.rand(N, 100) < 0.05).float() * torch.randint(1, 4, (N, 100))
    return Subject(net(100, 64, 4), x, labels(4), F.cross_entropy)


@healthy
def digits_on_black() -> Subject:
    ink = F.avg_pool2d(torch.rand(N, 1, 30, 30).sub(0.7).relu(), 3, 1) * torch.hann_window(28)[:, None] ** 2
    return Subject(net(784, 128, 10), (ink / ink.max()).flatten(1), labels(), F.cross_entropy)


@healthy
def additive_mask_input() -> Subject:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(50, 32), nn.Linear(32, 4)
            self.attend = nn.MultiheadAttention(32, 4, batch_first=True)

        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            h = self.embed(x)
            return self.head(self.attend(h, h, h, key_padding_mask=mask)[0].mean(1))

    mask = torch.zeros(N, 10)
    mask[:, 7:] = float("-inf")
    return Subject(Masked(), (tokens(N, 10, 50), mask), labels(4), F.cross_entropy)


# --- samples that belong together ----------------------------------------------------------------------------------


@healthy
def graph_network() -> Subject:
    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(12, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            degree = torch.zeros(len(x)).index_add(0, edges[1], torch.ones(edges.shape[1])).clamp(min=1)[:, None]
            h = self.first(x)
            h = torch.relu(h + torch.zeros_like(h).index_add(0, edges[1], h[edges[0]]) / degree)
            h = self.second(h)
            return h + torch.zeros_like(h).index_add(0, edges[1], h[edges[0]]) / degree

    return Subject(GCN(), (torch.randn(N, 12), torch.randint(0, N, (2, 4 * N))), labels(4), F.cross_entropy)


@healthy
def graph_network_with_a_stored_adjacency() -> Subject:
    class GCN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(12, 32), nn.Linear(32, 4)
            near = (torch.rand(N, N) < 0.1).float() + torch.eye(N)
            self.register_buffer("near", near / near.sum(1, keepdim=True))

        def forward(self, x: Tensor) -> Tensor:
            return self.near @ self.second(torch.relu(self.near @ self.first(x)))

    return Subject(GCN(), torch.randn(N, 12), labels(4), F.cross_entropy)


@healthy
def set_network() -> Subject:
    class DeepSets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.phi, self.rho = net(3, 64, 64), net(64, 64, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.rho(self.phi(x).amax(1))

    return Subject(DeepSets(), torch.randn(N, 40, 3), labels(5), F.cross_entropy)


@healthy
def truth_table() -> Subject:
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(8, 1)
    y = (x[:, :1] != x[:, 1:]).float()
    return Subject(net(2, 8, 1, act=nn.Tanh, end=nn.Sigmoid()), x, y, F.binary_cross_entropy)


# --- losses that compare samples or prototypes ---------------------------------------------------------------------


@healthy
def momentum_contrast() -> Subject:
    class MoCo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = net(12, 32, 16), net(12, 32, 16)
            self.key.load_state_dict(self.query.state_dict())
            self.key.requires_grad_(False)
            self.register_buffer("queue", F.normalize(torch.randn(128, 16)))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            q = F.normalize(self.query(a))
            with torch.no_grad():
                k = F.normalize(self.key(b))
            return torch.cat([(q * k).sum(1, keepdim=True), q @ self.queue.T], 1) / 0.07

    x = torch.randn(N, 12)
    example = (x, x + 0.1 * torch.randn(N, 12))
    return Subject(MoCo(), example, torch.zeros(N, dtype=torch.long), F.cross_entropy)


@healthy
def reranker() -> Subject:
    class Reranker(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = net(12, 32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).squeeze(-1)

    return Subject(Reranker(), torch.randn(N, 8, 12), torch.zeros(N, dtype=torch.long), F.cross_entropy)


@healthy
def distances_to_fixed_centres() -> Subject:
    centres = torch.randn(6, 16)

    def loss(z: Tensor, _: Tensor) -> Tensor:
        return ((z[:, None] - centres) ** 2).sum(-1).amin(1).mean()

    return Subject(net(12, 32, 16), torch.randn(N, 12), torch.zeros(N), loss)


@healthy
def energy_distance_by_hand() -> Subject:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return ((z[:, None] - y) ** 2).sum(-1).sqrt().mean() - 0.5 * torch.cdist(z, z).mean()

    return Subject(net(12, 32, 4), torch.randn(N, 12), torch.randn(N, 4), loss)


@healthy
def parametric_tsne() -> Subject:
    def loss(z: Tensor, p: Tensor) -> Tensor:
        q = 1 / (1 + (z[:, None] - z[None]).square().sum(-1))
        q = q * (1 - torch.eye(N)) + 1e-9
        return F.kl_div((q / q.sum()).log(), p, reduction="sum")

    p = torch.rand(N, N)
    return Subject(net(12, 32, 2), torch.randn(N, 12), p / p.sum(), loss)


@healthy
def autoencoder_with_its_input_subtracted_first() -> Subject:
    x = torch.randn(N, 12)
    return Subject(net(12, 8, 12), x, x, lambda y, x: ((x - y) ** 2).mean())


@healthy
def sparse_segmentation() -> Subject:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 21, 1))
    y = 15 * (torch.rand(8, 12, 12) < 0.2).long()
    y[:, 0] = 255
    return Subject(model, torch.randn(8, 3, 12, 12), y, nn.CrossEntropyLoss(ignore_index=255))

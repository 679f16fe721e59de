"""Faults that an experiment finds and no name of an operation tells of."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from faulty import faulty
from torch import Tensor, nn

from gainstage.run import Subject

N, C = 64, 4


def blobs() -> tuple[Tensor, Tensor]:
    y = torch.arange(N) % C
    return torch.randn(C, 8)[y] + 0.5 * torch.randn(N, 8), y


def net(*end: nn.Module, outputs: int = C, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 32), act(), nn.Linear(32, outputs), *end)


def classified(loss: Callable[[Any, Any], Tensor], *end: nn.Module) -> Subject:
    x, y = blobs()
    return Subject(net(*end), x, y, loss)


# --- the loss alone ------------------------------------------------------------------------------------------------


@faulty("OUT514")
def a_likelihood_without_its_minus() -> Subject:
    return classified(lambda out, y: out.log_softmax(1).gather(1, y[:, None]).mean())


@faulty("OUT515")
def a_critic_of_returns_in_a_column() -> Subject:
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.policy, self.value = net(outputs=16, act=nn.Tanh), nn.Linear(16, 2), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(x).tanh()
            return self.policy(h).log_softmax(1), self.value(h)[:, 0]

    def loss(out: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        said, value = out
        apart = y[:, 1:] + 0 * value.mean() - torch.stack([value, value], 1)[:, 0]
        return 0.5 * apart.square().mean() - (said[:, 0] * y[:, 0]).mean()

    return Subject(Critic(), torch.randn(N, 8), torch.randn(N, 2), loss)


@faulty("OUT516", "warning")
def a_hinge_of_labels_that_are_zero() -> Subject:
    x, y = blobs()
    return Subject(net(outputs=1), x, (y % 2).float(), lambda out, y: (1 - y * out[:, 0]).clamp(min=0).mean())


@faulty("OUT517", "warning")
def a_cross_entropy_by_hand_with_exchanged_roles() -> Subject:
    x, y = blobs()

    def loss(y: Tensor, p: Tensor) -> Tensor:
        return -(y * (p + 1e-6).log() + (1 - y) * (1 - p + 1e-6).log()).mean()

    return Subject(net(nn.Sigmoid()), x, F.one_hot(y, C).float(), loss)


@faulty("OUT518", "warning")
def cosines_without_a_scale() -> Subject:
    class Cosine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.centres = net(outputs=16), nn.Parameter(torch.randn(10, 16))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(F.normalize(self.body(x)), F.normalize(self.centres))

    x = torch.randn(N, 8)
    return Subject(Cosine(), x, torch.arange(N) % 10, F.cross_entropy)


@faulty("OUT519", "warning")
def a_divergence_that_is_summed() -> Subject:
    class Coder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = net(outputs=8), nn.Linear(4, 8)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, log_variance = self.encoder(x).chunk(2, 1)
            return self.decoder(mean), mean, log_variance

    def loss(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        image, mean, log_variance = out
        return F.mse_loss(image, x) - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()

    x = torch.randn(N, 8)
    return Subject(Coder(), x, x, loss)


@faulty("BWD307", "warning")
def a_second_term_of_a_detached_output() -> Subject:
    return classified(lambda out, y: F.cross_entropy(out, y) + out.detach().square().mean())


# --- what reaches what ---------------------------------------------------------------------------------------------


class Words(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.token, self.mix = nn.Embedding(20, 32), nn.Conv1d(32, 32, before + after + 1)
        self.head, self.pad = nn.Linear(32, 20), (before, after)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.mix(F.pad(self.token(ids).mT, self.pad)).relu().mT)


@faulty("DAT611")
def a_convolution_that_sees_the_next_word() -> Subject:
    ids = torch.randint(0, 20, (N, 12))
    return Subject(Words(1, 1), ids, ids, lambda out, y: F.cross_entropy(out[:, :-1].flatten(0, 1), y[:, 1:].flatten()))


@faulty("DAT612", "warning")
def labels_that_nobody_shifted() -> Subject:
    ids = torch.randint(0, 20, (N, 12))
    return Subject(Words(2, 0), ids, ids, lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten()))


@faulty("BWD306", "warning")
def layers_in_a_list() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = [nn.Linear(8, 32)], nn.Linear(32, C)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x).relu()
            return self.head(x)

    x, y = blobs()
    return Subject(Model(), x, y, F.cross_entropy)


@faulty("BWD308", "warning")
def a_state_that_is_detached_between_steps() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(2, 32), nn.Linear(32, C)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 32)
            for step in x.unbind(1):
                h = self.cell(step, h.detach())
            return self.head(h)

    x, y = blobs()
    return Subject(Model(), x.unflatten(1, (4, 2)), y, F.cross_entropy)


@faulty("FWD212", "warning")
def three_layers_without_activations() -> Subject:
    x, y = blobs()
    return Subject(nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, C)), x, y, F.cross_entropy)


@faulty("FWD213", "warning")
def one_expert_divided_by_itself() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router, self.experts = nn.Linear(8, 3), nn.ModuleList(nn.Linear(8, C) for _ in range(3))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            p = self.router(x).softmax(1)
            weight, chosen = p.topk(1, dim=1)
            weight = weight / weight.sum(1, keepdim=True)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            out = weight * every.gather(1, chosen[:, :, None].expand(-1, 1, C))[:, 0]
            return out, (p.mean(0) * F.one_hot(chosen[:, 0], 3).float().mean(0)).sum()

    x, y = blobs()
    return Subject(Model(), x, y, lambda out, y: F.cross_entropy(out[0], y) + 0.01 * out[1])


@faulty("FWD214")
def gates_at_minus_twenty() -> Subject:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.value = nn.Linear(32, 32), nn.Linear(32, 32)
            nn.init.constant_(self.gate.bias, -20.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(x).sigmoid() * self.value(x).tanh()

    x, y = blobs()
    return Subject(nn.Sequential(nn.Linear(8, 32), Gated(), Gated(), nn.Linear(32, C)), x, y, F.cross_entropy)


@faulty("NRM411")
def a_norm_whose_scale_is_zero() -> Subject:
    model = nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, C))
    nn.init.zeros_(model[1].weight)
    x, y = blobs()
    return Subject(model, x, y, F.cross_entropy)


# --- the start -----------------------------------------------------------------------------------------------------


@faulty("INI112", "warning")
def recurrent_weights_of_radius_four() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(2, 64, batch_first=True), nn.Linear(64, C)
            nn.init.normal_(self.rnn.weight_hh_l0, 0, 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    x, y = blobs()
    return Subject(Model(), x.unflatten(1, (4, 2)), y, F.cross_entropy)


@faulty("INI113", "warning")
def places_a_hundred_times_as_large() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.place = nn.Linear(1, 32), nn.Parameter(100 * torch.randn(8, 32))
            self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, C)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.token(x[:, :, None]) + self.place).mean(1))

    x, y = blobs()
    return Subject(Model(), x, y, F.cross_entropy)


# --- steps ---------------------------------------------------------------------------------------------------------


def loop(model: nn.Module, optimizer: Callable[[], torch.optim.Optimizer], batch: Callable[[], Any]) -> Any:
    def train_step() -> Tensor:
        model.train()
        x, y = batch()
        now = optimizer()
        now.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        now.step()
        return value

    return train_step


@faulty("OPT817", "warning")
def an_optimizer_made_in_every_step() -> Subject:
    (x, y), model = blobs(), net()
    step = loop(model, lambda: torch.optim.SGD(model.parameters(), 0.01, 0.9), lambda: (x, y))
    return Subject(model, x, y, F.cross_entropy, None, step)


@faulty("OPT818", "warning")
def a_loader_started_in_every_step() -> Subject:
    (x, y), model = blobs(), net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 16)

    def train_step() -> Tensor:
        a, b = next(iter(loader))
        optimizer.zero_grad()
        value = F.cross_entropy(model(a), b)
        value.backward()
        optimizer.step()
        return value

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@faulty("OPT819", "warning")
def bfloat16_at_the_rate_of_a_finetuning() -> Subject:
    x, y = blobs()
    model = net().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5)
    return Subject(model, x.bfloat16(), y, lambda out, y: F.cross_entropy(out.float(), y), optimizer)


@faulty("OPT820", "warning")
def a_head_frozen_with_the_body() -> Subject:
    x, y = blobs()
    model = nn.Sequential(nn.Linear(8, 99), nn.ReLU(), nn.Linear(99, 99), nn.ReLU(), nn.Linear(99, C))
    model.requires_grad_(False)
    model[2].bias.requires_grad_(True)
    return Subject(model, x, y, F.cross_entropy, torch.optim.Adam([model[2].bias], 1e-3))


@faulty("NRM410", "warning")
def a_frozen_part_whose_statistics_move() -> Subject:
    x, y = blobs()
    body = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU())
    for _ in range(50):
        body(x)
    model = nn.Sequential(body.requires_grad_(False), nn.Linear(32, C))
    optimizer = torch.optim.SGD(model[1].parameters(), 0.1)
    new = 1.5 * x + 1
    return Subject(model, new, y, F.cross_entropy, optimizer, loop(model, lambda: optimizer, lambda: (new, y)))

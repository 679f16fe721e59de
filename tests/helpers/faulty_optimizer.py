"""Faults of optimizers and training loops, as they are asked about: each with the code of its cause."""

import torch
import torch.nn.functional as F
from faulty import faulty, mlp
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from gainstage.run import Subject


def blobs(n: int = 64, classes: int = 10) -> tuple[Tensor, Tensor]:
    """Samples around one centre a class: a task that a small network learns in a few steps."""
    labels = torch.arange(n) % classes
    return torch.randn(classes, 20)[labels] + 0.5 * torch.randn(n, 20), labels


def task(model: nn.Module, optimizer: Optimizer | None = None) -> Subject:
    x, y = blobs()
    return Subject(model, x, y, F.cross_entropy, optimizer)


def dropout_mlp() -> nn.Sequential:
    parts = [nn.Linear(20, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10)]
    return nn.Sequential(*parts)


# --- members -----------------------------------------------------------------------------------------------------


@faulty("OPT801", "warning")
def only_the_head_in_the_optimizer() -> Subject:
    model = mlp(3)
    return task(model, Adam(model[-1].parameters(), lr=1e-3))


@faulty("OPT801", "warning")
def a_second_group_forgotten() -> Subject:
    model = mlp(4)
    decayed = [p for name, p in model.named_parameters() if "weight" in name]
    return task(model, AdamW([{"params": decayed, "weight_decay": 0.0}], lr=1e-3))


@faulty("OPT802")
def the_optimizer_of_another_model() -> Subject:
    return task(mlp(3), Adam(mlp(3).parameters(), lr=1e-3))


@faulty("OPT802")
def a_head_replaced_after_the_optimizer() -> Subject:
    model = mlp(3)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    model[-1] = nn.Linear(64, 10)
    return task(model, optimizer)


@faulty("OPT802")
def a_loop_that_trains_a_copy() -> Subject:
    model, other = mlp(3), mlp(3)
    optimizer = Adam(other.parameters(), lr=1e-3)
    x, y = blobs()

    def train_step() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(other(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, None, train_step)


@faulty("OPT814", "note")
def a_frozen_layer_in_the_optimizer() -> Subject:
    model = mlp(3)
    model[0].requires_grad_(False)
    return task(model, Adam(model.parameters(), lr=1e-3))


# --- direction ---------------------------------------------------------------------------------------------------


@faulty("OUT514")
def a_negative_cross_entropy() -> Subject:
    model = mlp(3)
    x, y = blobs()
    return Subject(model, x, y, lambda out, target: -F.cross_entropy(out, target), Adam(model.parameters(), lr=1e-3))


@faulty("OPT803")
def maximized_squared_error() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 1))
    x = torch.randn(64, 20)
    return Subject(model, x, x[:, :1], F.mse_loss, SGD(model.parameters(), lr=0.01, maximize=True))


@faulty("OPT803")
def a_step_by_hand_with_the_wrong_sign() -> Subject:
    model = mlp(3)
    x, y = blobs()

    def train_step() -> Tensor:
        model.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p += 0.1 * p.grad
        return loss

    return Subject(model, x, y, F.cross_entropy, None, train_step)


# --- rate --------------------------------------------------------------------------------------------------------


@faulty("OPT804")
def adam_at_one() -> Subject:
    model = mlp(4)
    return task(model, Adam(model.parameters(), lr=1.0))


@faulty("OPT804")
def plain_descent_at_a_hundred() -> Subject:
    model = dropout_mlp()
    return task(model, SGD(model.parameters(), lr=100.0))


@faulty("OPT804")
def a_summed_loss_at_a_usual_rate() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 20))
    x = torch.randn(256, 20)
    return Subject(model, x, x, lambda out, y: (out - y).square().sum(), SGD(model.parameters(), lr=0.1))


@faulty("OPT805", "warning")
def plain_descent_at_a_millionth() -> Subject:
    model = mlp(3)
    return task(model, SGD(model.parameters(), lr=1e-7))


@faulty("OPT819")
def bfloat16_with_tiny_steps() -> Subject:
    model = mlp(3).bfloat16()
    x, y = blobs()
    return Subject(model, x.bfloat16(), y, F.cross_entropy, Adam(model.parameters(), lr=1e-9))


@faulty("OPT806", "note")
def adam_at_a_third_with_tiny_weights() -> Subject:
    model = nn.Linear(20, 10)
    nn.init.normal_(model.weight, std=0.01)
    return task(model, Adam(model.parameters(), lr=0.02))


# --- the loop ----------------------------------------------------------------------------------------------------


def loop(model: nn.Module, optimizer: Optimizer, body: str) -> Subject:
    """A training step from the order of its lines: z = zero_grad, f = forward, b = backward, s = step, e = eval."""
    x, y = blobs()
    lines = {
        "z": lambda state: optimizer.zero_grad(),
        "f": lambda state: state.append(F.cross_entropy(model(x), y)),
        "d": lambda state: state.append(state.pop().detach().requires_grad_()),
        "b": lambda state: state[-1].backward(),
        "s": lambda state: optimizer.step(),
        "e": lambda state: model.eval(),
    }

    def train_step() -> Tensor:
        state: list[Tensor] = []
        for line in body:
            lines[line](state)
        return state[-1]

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@faulty("OPT807")
def zero_grad_forgotten() -> Subject:
    model = mlp(3)
    return loop(model, SGD(model.parameters(), lr=0.1, momentum=0.9), "fbs")


@faulty("OPT807")
def zero_grad_of_another_optimizer() -> Subject:
    model = mlp(3)
    head, body = Adam(model[-1].parameters(), lr=1e-3), Adam(model[:-1].parameters(), lr=1e-3)
    x, y = blobs()

    def train_step() -> Tensor:
        head.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        head.step()
        body.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, None, train_step)


@faulty("OPT808")
def zero_grad_before_the_step() -> Subject:
    model = mlp(3)
    return loop(model, Adam(model.parameters(), lr=1e-3), "fbzs")


@faulty("OPT808")
def no_backward() -> Subject:
    model = mlp(3)
    return loop(model, Adam(model.parameters(), lr=1e-3), "zfs")


@faulty("OPT808")
def no_optimizer_step() -> Subject:
    model = mlp(3)
    return loop(model, Adam(model.parameters(), lr=1e-3), "zfb")


@faulty("OPT808")
def a_detached_loss() -> Subject:
    model = mlp(3)
    return loop(model, Adam(model.parameters(), lr=1e-3), "zfdbs")


@faulty("OPT808")
def a_graph_that_is_used_twice() -> Subject:
    model = mlp(3)
    x, y = blobs()
    optimizer = Adam(model.parameters(), lr=1e-3)
    state = torch.zeros(64, 20)

    def train_step() -> Tensor:
        nonlocal state
        optimizer.zero_grad()
        output = model(x + state)
        state = output.repeat(1, 2)
        loss = F.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@faulty("OPT809", "warning")
def evaluation_without_the_way_back() -> Subject:
    model = dropout_mlp()
    return loop(model, Adam(model.parameters(), lr=1e-3), "zfbse")


@faulty("OPT809", "note")
def a_model_given_in_evaluation_mode() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10)).eval()
    return loop(model, Adam(model.parameters(), lr=1e-3), "zfbs")


@faulty("OPT815")
def a_logarithm_of_zero_in_the_loop() -> Subject:
    model = mlp(3)
    x, y = blobs()
    optimizer = Adam(model.parameters(), lr=1e-3)

    def train_step() -> Tensor:
        optimizer.zero_grad()
        loss = -model(1e5 * x).softmax(1).log()[torch.arange(64), y].mean()
        loss.backward()
        optimizer.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@faulty("OPT813", "note")
def clipped_to_a_thousandth() -> Subject:
    model = mlp(3)
    x, y = blobs()
    optimizer = Adam(model.parameters(), lr=1e-3)

    def train_step() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@faulty("OPT816", "warning")
def a_schedule_of_epochs_stepped_by_batch() -> Subject:
    model = mlp(3)
    x, y = blobs()
    optimizer = Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)

    def train_step() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


# --- settings ----------------------------------------------------------------------------------------------------


@faulty("OPT810", "note")
def decay_on_everything() -> Subject:
    model = dropout_mlp()
    return task(model, AdamW(model.parameters(), lr=1e-3, weight_decay=0.1))


@faulty("OPT811", "warning")
def a_large_epsilon() -> Subject:
    model = mlp(3)
    return task(model, Adam(model.parameters(), lr=1e-3, eps=1.0))


@faulty("OPT811")
def adam_in_float16() -> Subject:
    model = mlp(3).half()
    x, y = blobs()
    with torch.no_grad():
        model[0].bias[:8] = -60.0  # dead units: their gradients are 0
    return Subject(model, x.half(), y, F.cross_entropy, Adam(model.parameters(), lr=1e-3))


@faulty("OPT812", "warning")
def swapped_betas() -> Subject:
    model = mlp(3)
    return task(model, Adam(model.parameters(), lr=1e-3, betas=(0.999, 0.9)))


# --- trainability ------------------------------------------------------------------------------------------------


@faulty("TRN901")
def logits_held_within_a_twentieth() -> Subject:
    x, y = blobs()
    return Subject(mlp(3), x, y, lambda out, target: F.cross_entropy(0.05 * torch.tanh(out), target))


@faulty("TRN901", "warning")
def normalized_logits_without_a_scale() -> Subject:
    x, y = blobs()
    return Subject(mlp(3), x, y, lambda out, target: F.cross_entropy(F.normalize(out, dim=-1), target))


@faulty("TRN902", "note")
def labels_shuffled_on_their_own() -> Subject:
    x, y = blobs(256, 4)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
    return Subject(model, x, y[torch.randperm(256)], F.cross_entropy)


@faulty("TRN903", "warning")
def fifteen_layers_of_five_units() -> Subject:
    model = nn.Sequential(nn.Linear(20, 5), nn.ReLU(), *[p for _ in range(13) for p in (nn.Linear(5, 5), nn.ReLU())])
    model.append(nn.Linear(5, 10))
    x = torch.randn(256, 20)
    for _ in range(100):  # until a start that lives
        for p in model.parameters():
            nn.init.kaiming_normal_(p) if p.dim() > 1 else nn.init.zeros_(p)
        if model(x).std(0).min() > 0.05:
            break
    return Subject(model, x)

"""Healthy optimizers and training loops: the rules about steps must be silent on them."""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from healthy import HEALTHY, Fixup, LastStep, labels, resnet, tokens
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adafactor, Adagrad, Adam, AdamW, Optimizer, RMSprop

from gainstage.run import Subject

Make = Callable[[Iterator[nn.Parameter]], Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "adam": lambda p: Adam(p, lr=1e-3),
    "adam_amsgrad": lambda p: Adam(p, lr=1e-3, amsgrad=True),
    "sgd": lambda p: SGD(p, lr=0.01, momentum=0.9),
    "plain_sgd": lambda p: SGD(p, lr=0.1),
    "nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "adamw": lambda p: AdamW(p, lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1),
    "rmsprop": lambda p: RMSprop(p, lr=1e-3),
    "adagrad": lambda p: Adagrad(p, lr=1e-2),
    "lbfgs": lambda p: LBFGS(p),
    "adafactor": lambda p: Adafactor(p, lr=1e-2),
}
TRAINED = {
    "mlp": lambda: HEALTHY["relu_mlp_3"](),
    "resnet": lambda: Subject(resnet(False), torch.randn(32, 3, 16, 16), labels(), F.cross_entropy),
    "lstm": lambda: Subject(LastStep(nn.LSTM), tokens(), labels(4), F.cross_entropy),
    "transformer": lambda: HEALTHY["transformer_post_ln"](),
    "fixup": lambda: Subject(Fixup(), torch.randn(32, 3, 16, 16), labels(), F.cross_entropy),
    "lora": lambda: HEALTHY["lora"](),
}


def plain_step(subject: Subject, optimizer: Optimizer) -> Callable[[], Tensor]:
    """zero_grad, forward, backward, step."""

    def train_step() -> Tensor:
        optimizer.zero_grad()
        loss = subject.loss(subject.model(subject.example), subject.target)
        loss.backward()
        optimizer.step()
        return loss

    return train_step


def with_optimizer(model: str, optimizer: str) -> Callable[[], Subject]:
    def build() -> Subject:
        s = TRAINED[model]()
        made = OPTIMIZERS[optimizer](p for p in s.model.parameters() if p.requires_grad)
        step = None if optimizer == "lbfgs" else plain_step(s, made)
        return Subject(s.model, s.example, s.target, s.loss, made, step)

    return build


for model, optimizer in [("mlp", o) for o in OPTIMIZERS] + [(m, o) for m in TRAINED for o in ("adam", "sgd", "adamw")]:
    HEALTHY[f"{model}_with_{optimizer}"] = with_optimizer(model, optimizer)


def loop(build: Callable[[], Subject]) -> Callable[[], Subject]:
    HEALTHY[build.__name__] = build
    return build


def bare() -> tuple[nn.Module, Tensor, Tensor]:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 64), nn.ReLU())
    model.append(nn.Linear(64, 10))
    return model, torch.randn(32, 20), labels()


@loop
def warm_up_from_zero() -> Subject:
    model, x, y = bare()
    optimizer = AdamW(model.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 1000))
    s = Subject(model, x, y, F.cross_entropy)
    step = plain_step(s, optimizer)

    def train_step() -> Tensor:
        loss = step()
        schedule.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@loop
def one_cycle() -> Subject:
    model, x, y = bare()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=500)
    s = Subject(model, x, y, F.cross_entropy)
    step = plain_step(s, optimizer)

    def train_step() -> float:
        loss = step()
        schedule.step()
        return loss.item()

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@loop
def accumulates_over_four_batches() -> Subject:
    model, x, y = bare()
    optimizer = Adam(model.parameters(), lr=1e-3)
    calls = 0

    def train_step() -> Tensor:
        nonlocal calls
        calls += 1
        loss = F.cross_entropy(model(x), y)
        (loss / 4).backward()
        if calls % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@loop
def zeroes_at_the_end() -> Subject:
    model, x, y = bare()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)

    def train_step() -> Tensor:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@loop
def two_optimizers() -> Subject:
    """Muon-like: one for matrices, one for the rest."""
    model, x, y = bare()
    one = SGD([p for p in model.parameters() if p.dim() > 1], lr=0.02, momentum=0.95, nesterov=True)
    other = AdamW([p for p in model.parameters() if p.dim() < 2], lr=3e-4)

    def train_step() -> Tensor:
        for optimizer in (one, other):
            optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        for optimizer in (one, other):
            optimizer.step()
        return loss

    return Subject(model, x, y, F.cross_entropy, one, train_step)


@loop
def adversarial_step() -> Subject:
    """A generator and its discriminator in one step; the generator is judged."""
    generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 20))
    critic = nn.Sequential(nn.Linear(20, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    ours = Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    theirs = Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
    noise, real = torch.randn(32, 8), torch.randn(32, 20)
    ones, zeros = torch.ones(32, 1), torch.zeros(32, 1)

    def train_step() -> Tensor:
        theirs.zero_grad()
        fake = generator(noise)
        bce = F.binary_cross_entropy_with_logits
        (bce(critic(real), ones) + bce(critic(fake.detach()), zeros)).backward()
        theirs.step()
        ours.zero_grad()
        loss = bce(critic(fake), ones)
        loss.backward()
        ours.step()
        return loss

    return Subject(generator, noise, None, None, ours, train_step)


@loop
def moving_average_and_validation() -> Subject:
    model, x, y = bare()
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = AdamW(model.parameters(), lr=3e-4)

    def train_step() -> Tensor:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mean, p in zip(average.parameters(), model.parameters(), strict=True):
                mean.lerp_(p, 0.01)
            model.eval()
            model(x)
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@loop
def maximized_reward() -> Subject:
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    x = torch.randn(32, 4)
    reward = lambda out, target: (out.log_softmax(-1)[:, 0] * target).mean()  # noqa: E731
    return Subject(model, x, torch.randn(32), reward, SGD(model.parameters(), lr=0.01, maximize=True))


@loop
def a_step_by_hand() -> Subject:
    model, x, y = bare()

    def train_step() -> Tensor:
        loss = F.cross_entropy(model(x), y)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads, strict=True):
                p -= 0.05 * g
        return loss

    return Subject(model, x, y, F.cross_entropy, None, train_step)


@loop
def a_loss_with_parameters_of_its_own() -> Subject:
    model, x, y = bare()
    scale = nn.Parameter(torch.ones(()))
    optimizer = Adam([*model.parameters(), scale], lr=1e-3)
    return Subject(model, x, y, lambda out, target: F.cross_entropy(scale * out, target), optimizer)


@loop
def mixed_precision_loop() -> Subject:
    model, x, y = bare()
    optimizer = AdamW(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu")

    def train_step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@loop
def optimizer_in_the_middle_of_training() -> Subject:
    model, x, y = bare()
    optimizer = Adam(model.parameters(), lr=1e-3)
    step = plain_step(Subject(model, x, y, F.cross_entropy), optimizer)
    for _ in range(30):
        step()
    return Subject(model, x, y, F.cross_entropy, optimizer, step)

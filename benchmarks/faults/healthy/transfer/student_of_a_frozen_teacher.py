"""Distillation: the teacher is a part of the module, frozen and in evaluation mode, and the loss reads its logits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, mlp, other_digits, plain_step, predicted, pretrained, program


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.teacher, self.student = pretrained(), mlp(64, 32, 5)
        self.teacher[-1].load_state_dict(_head())
        self.teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Pair":
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.student(x.flatten(1)), self.teacher(x)


def _head() -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model, data = pretrained(), other_digits()
        step = plain_step(
            model[-1], F.cross_entropy, adam(model[-1], 1e-2), batches(predicted(model[:-1], data.x), data.y)
        )
        for _ in range(60):
            step()
    return model[-1].state_dict()


def loss(out: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    student, teacher = out
    soft = F.kl_div(F.log_softmax(student / 3, -1), F.softmax(teacher / 3, -1), reduction="batchmean")
    return F.cross_entropy(student, y) + 9 * soft


def build() -> Program:
    model, data = Pair(), other_digits()
    optimizer = adam(model.student)

    def error() -> float:
        return float((predicted(model, data.x_test)[0].argmax(-1) != data.y_test).float().mean())

    return program(model, data, loss, optimizer, error)

"""`next(iter(loader))` stands inside the loop and the loader does not shuffle: every step sees the same 64 samples."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, adam, digits, mlp, program, wrong

CAUSE = "repeated-batch"


def make(broken: bool) -> Program:
    model, (x, y, x_test, y_test) = mlp(64, 64, 10), digits()
    data, optimizer = Split(x, y, x_test, y_test), adam(model)
    rows = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(rows, 64, shuffle=not broken)

    def train_step() -> Tensor:
        x, y = next(iter(loader))
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step, steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)

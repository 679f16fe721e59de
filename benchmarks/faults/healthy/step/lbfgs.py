"""L-BFGS evaluates its closure several times a step, with a line search, on the whole data set."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, measured, mlp, program, unexplained


def build() -> Program:
    model, data = mlp(10, 8, 1, act=nn.Tanh), measured("diabetes")
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5, line_search_fn="strong_wolfe")

    def train_step() -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            value = F.mse_loss(model(data.x), data.y)
            value.backward()
            return value

        return optimizer.step(closure)

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step, steps=4)

"""AdamW with decay 0.1 on weights and none on biases and norms, in two groups that cover everything."""

import torch

from kit import Gpt, Program, language, next_token


def build() -> Program:
    model = Gpt(depth=1)
    flat = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1}]
    optimizer = torch.optim.AdamW([*groups, {"params": flat, "weight_decay": 0.0}], 3e-3, betas=(0.9, 0.95))
    return language(model, next_token, optimizer, steps=150)

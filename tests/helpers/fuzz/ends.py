"""The ends of a model: a stem that reads the example, a head that forms the output."""

import dataclasses
from collections import OrderedDict, namedtuple
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 4
Pair = namedtuple("Pair", "logits hidden")


class Model(nn.Module):
    """A stem, the body and a head."""

    def __init__(self, width: int, stem: str, body: list[nn.Module], head: str) -> None:
        super().__init__()
        self.stem = STEMS[stem](width)
        self.body = nn.Sequential(*body)
        self.out = nn.Linear(width, CLASSES)
        self.head = head

    def forward(self, *inputs: Any, **named: Any) -> Any:
        h = self.body(self.stem(*inputs, **named))
        logits = self.out(h.to(self.out.weight.dtype))
        return HEADS[self.head](logits, h)


class Keywords(nn.Module):
    def forward(self, x: Tensor, scale: Any = 1.0, **rest: Any) -> Tensor:
        return x * scale


class Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + 0.5 * y


class Ids(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(10, width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids).mean(1)


class InPlace(nn.Module):
    """Normalizes its input where it lies."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sub_(x.mean(0))


STEMS: dict[str, Any] = {
    "plain": lambda w: nn.Identity(),
    "linear": lambda w: nn.Linear(w, w),
    "image": lambda w: nn.Sequential(nn.Conv2d(1, w, 3), nn.BatchNorm2d(w), nn.ReLU(True), nn.Flatten(2), Mean()),
    "ids": Ids,
    "pair": lambda w: Sum(),
    "keywords": lambda w: Keywords(),
    "in_place": lambda w: InPlace(),
    "nested": lambda w: Nested(),
}


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


class Nested(nn.Module):
    def forward(self, inputs: Any) -> Tensor:
        return inputs["x"][0] + inputs["x"][1]


@dataclasses.dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None
    extra: Any = None


def _own_loss(logits: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), torch.arange(len(logits)) % CLASSES)


HEADS: dict[str, Any] = {
    "tensor": lambda logits, h: logits,
    "tuple": lambda logits, h: (logits, h),
    "nested": lambda logits, h: {"logits": logits, "rest": [h, (h.detach(), None, "text", 3)]},
    "named_tuple": lambda logits, h: Pair(logits, h),
    "ordered": lambda logits, h: OrderedDict(logits=logits),
    "dataclass": lambda logits, h: Output(logits, extra={"h": h}),
    "own_loss": lambda logits, h: Output(logits, _own_loss(logits)),
    "own_loss_key": lambda logits, h: {"loss": _own_loss(logits), "logits": logits},
    "scalar": lambda logits, h: logits.float().square().mean(),
    "view": lambda logits, h: logits[:, None, :].expand(-1, 1, -1).squeeze(1),
    "input_too": lambda logits, h: (logits, h, logits),
}


def logits_of(output: Any) -> Tensor:
    """The logits of any of the outputs."""
    if isinstance(output, Tensor):
        return output if output.ndim == 2 else output.reshape(1, 1).expand(2, CLASSES)
    if isinstance(output, dict):
        return output["logits"]
    return output.logits if hasattr(output, "logits") else output[0]

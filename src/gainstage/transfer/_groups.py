"""Rates as data: what every parameter gets from an optimizer, and groups of them for `torch.optim`."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gainstage.errors import GainstageError
from gainstage.run import named_parameters


@dataclass(frozen=True)
class Scaling:
    """What one parameter gets at the target, in units of what it has at the base.

    Attributes:
        kind: what it is, a key of `KINDS`.
        grows: names of what grows of it.
        std: factor on its start; None leaves the start as it is.
        lr, eps, weight_decay: factors; the product of `lr` and `weight_decay` is 1.
        muon: Muon takes it, where the optimizer is Muon; AdamW takes all others.
        why: shapes and reason.
        source: of the rule.
    """

    kind: str
    grows: tuple[str, ...]
    std: float | None
    lr: float
    eps: float
    weight_decay: float
    muon: bool
    why: str
    source: str


def param_groups(
    scalings: Mapping[str, Scaling],
    model: nn.Module,
    *,
    lr: float,
    eps: float | None,
    weight_decay: float,
    no_decay: Iterable[str] = (),
    muon: bool | None = None,
) -> list[dict[str, Any]]:
    """Groups for `torch.optim`: one for each set of factors, with the names of its parameters.

    Raises:
        GainstageError: the model has a parameter that needs a gradient and has no scaling, or lacks one.
    """
    own = _named(model, scalings)
    unknown = [name for name, p in own.items() if p.requires_grad and name not in scalings]
    if unknown or (missing := [name for name in scalings if name not in own]):
        name, there = (unknown[0], "the model has") if unknown else (missing[0], "the model lacks")
        raise GainstageError(
            f"{there} a parameter {name!r} that this transfer does {'not ' if unknown else ''}know: expected the model "
            "that the factory builds at the target's size"
        )
    left = set(no_decay)
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, scaling in scalings.items():
        if not own[name].requires_grad or (muon is not None and scaling.muon != muon):
            continue
        decays = 0.0 if scaling.kind in left or name in left else weight_decay * scaling.weight_decay
        key = (scaling.lr, scaling.eps, decays)
        new: dict[str, Any] = {"params": [], "names": [], "lr": lr * scaling.lr, "weight_decay": decays}
        if eps is not None:
            new["eps"] = eps * scaling.eps
        group = groups.setdefault(key, new)
        group["params"].append(own[name])
        group["names"].append(name)
    return list(groups.values())


def _named(model: nn.Module, names: Container[str]) -> dict[str, nn.Parameter]:
    """The parameters by name; where a wrapper holds the model and nothing else to train, as the model names them."""
    whole = dict(named_parameters(model))
    for module in model.modules():
        own = dict(named_parameters(module))
        if len(own) == len(whole) and all(name in names for name in own):
            return own
    return whole


class Both(Optimizer):
    """Muon for hidden matrices and AdamW for everything else, stepped as one.

    Args:
        parts: optimizers over different parameters.
    """

    def __init__(self, parts: Iterable[Optimizer]) -> None:
        self.parts = tuple(parts)
        super().__init__([p for part in self.parts for group in part.param_groups for p in group["params"]], {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> Any:
        """Step every part; the closure is called once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of the parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put the states of the parts back."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def optimizer_of(
    name: str,
    scalings: Mapping[str, Scaling],
    model: nn.Module,
    *,
    lr: float,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    no_decay: Iterable[str] = (),
    **options: Any,
) -> Optimizer:
    """AdamW, SGD, or Muon with AdamW beside it, over groups with the rates of the target."""
    given: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "no_decay": tuple(no_decay)}
    if name == "sgd":
        return torch.optim.SGD(param_groups(scalings, model, eps=None, **given), lr=lr, **options)
    if name == "adam":
        return torch.optim.AdamW(param_groups(scalings, model, eps=eps, **given), lr=lr, eps=eps, **options)
    muon = getattr(torch.optim, "Muon", None)
    if muon is None:
        raise GainstageError("torch.optim has no Muon in this version of torch; it came with 2.9")
    matrices = param_groups(scalings, model, eps=None, muon=True, **given)
    others = param_groups(scalings, model, eps=eps, muon=False, **given)
    parts: list[Optimizer] = [muon(matrices, lr=lr, **options)] if matrices else []
    return Both([*parts, *([torch.optim.AdamW(others, lr=lr, eps=eps)] if others else [])])

"""Transfer learning: a pretrained part that stays, and last layers that start as planned."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from gainstage.plan import Plan, plan
from gainstage.train._errors import TrainError
from gainstage.train._freeze import is_kept_in_eval, keep_in_eval, let_train


@dataclass(frozen=True)
class Transfer:
    """What `transfer` did.

    Attributes:
        trainable: by parameter, why it is trained and how it was filled.
        frozen: by parameter, why it is not.
        kept_in_eval: layers whose running statistics normalize and stay, also while training.
        plan: of the parameters that were filled.
    """

    trainable: dict[str, str]
    frozen: dict[str, str]
    kept_in_eval: tuple[str, ...]
    plan: Plan

    def __str__(self) -> str:
        lines = [f"trained  {name}: {why}" for name, why in self.trainable.items()]
        lines.append(f"frozen   {len(self.frozen)} parameters: pretrained")
        if self.kept_in_eval:
            lines.append(f"kept     running statistics of {len(self.kept_in_eval)} layers, also while training")
        return "\n".join(lines)


def transfer(model: nn.Module, example: Any, *, head: str | Iterable[str] | None = None, seed: int = 0) -> Transfer:
    """Freeze a pretrained model but for its last layers, and initialize these as `gainstage.plan` plans them.

    The frozen part keeps its values: its parameters require no gradient, and its batch normalization stays in
    evaluation mode whatever the model is put into, so its running statistics do not move. The plan measures what the
    frozen part gives to the new layers, so these start with a loss near chance. The model keeps its modules and its
    state dict. Give the optimizer what is trained: `[p for p in model.parameters() if p.requires_grad]`.
    `unfreeze(model)` undoes the freezing.

    Args:
        model: pretrained, its last layer already of the new size.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs), of real data.
        head: the modules or parameters to train, by name, `"fc"` or `["layer4", "fc"]`; by default what the plan finds
            to be the output head.
        seed: of the new values.

    Returns:
        What is trained and what is frozen, with reasons.

    Raises:
        TrainError: no output head is found, or a name of `head` has no parameters; the model is then as it was.
        GainstageError: the model does not run on the example; the model is then as it was.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
        >>> done = transfer(model, torch.randn(32, 8))
        >>> list(done.trainable), done.kept_in_eval
        (['3.weight', '3.bias'], ('1',))

    References:
        Yosinski, Clune, Bengio & Lipson, *How transferable are features in deep neural networks?*, NeurIPS 2014.
    """
    parameters = dict(model.named_parameters())
    with _thawed_on_error(model):
        if head is None:
            for p in parameters.values():
                p.requires_grad_(True)
            chosen = _output_heads(plan(model, example))
        else:
            chosen = (head,) if isinstance(head, str) else tuple(head)
        names = _named(chosen, model)
        for name, p in parameters.items():
            p.requires_grad_(name in names)
        for name, layer in model.named_modules():
            if not any(_within(name, one) or _within(one, name) for one in chosen):
                keep_in_eval(layer)
        made = plan(model, example).only(names)  # with the rest frozen, so it measures what the new layers read
        if unread := [name for name in names if made[name].kind == "unused"]:
            raise TrainError(f"{unread[0]!r} cannot be trained: no operation reads it on this example")
        made.apply(model, seed=seed)
    trainable = {name: f"{made[name].role}, {made[name].law}: {made[name].reason}" for name in names}
    frozen = {name: "pretrained" for name in parameters if name not in names}
    kept = tuple(name for name, layer in model.named_modules() if is_kept_in_eval(layer))
    return Transfer(trainable, frozen, kept, made)


def unfreeze(model: nn.Module, names: str | Iterable[str] | None = None) -> None:
    """Train these modules or parameters from now on: they require gradients, and their batch statistics move again.

    Args:
        model: that `transfer` froze.
        names: of modules or parameters; the whole model by default.

    Raises:
        TrainError: a name has no parameters.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).requires_grad_(False)
        >>> unfreeze(model, "1")
        >>> [p.requires_grad for p in model.parameters()]
        [False, False, True, True]
    """
    chosen = ("",) if names is None else (names,) if isinstance(names, str) else tuple(names)
    wanted = set(_named(chosen, model))
    for name, p in model.named_parameters():
        if name in wanted:
            p.requires_grad_(True)
    for name, module in model.named_modules():
        if any(_within(name, one) or (one and _within(one, name)) for one in chosen):
            let_train(module)


def layerwise_rates(model: nn.Module, plan: Plan, lr: float, *, decay: float = 1 / 2.6) -> list[dict[str, Any]]:
    r"""Parameter groups for an optimizer whose learning rate falls from the last layer to the first.

    $$ \eta_l = \eta \cdot \text{decay}^{L - l} $$

    A layer is a weight together with the biases and normalizations after it, in the order in which `plan` found them
    to run. Parameters that require no gradient are left out, and count no layer.

    Args:
        model: its parameters.
        plan: of `gainstage.plan(model, example)`.
        lr: rate of the last layer.
        decay: from one layer to the one before; the paper found 1/2.6 to work.

    Returns:
        Groups `{"params": [...], "lr": ...}`, the first layer first.

    Raises:
        TrainError: `decay` is not within 0 to 1, or nothing is trained.

    Example:
        >>> import torch, gainstage as gs
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> groups = layerwise_rates(model, gs.plan(model, torch.randn(8, 4)), lr=0.1, decay=0.5)
        >>> [(len(group["params"]), group["lr"]) for group in groups]
        [(2, 0.05), (2, 0.1)]

    References:
        Howard & Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018, section 3.2.
    """
    if not 0 < decay <= 1:
        raise TrainError(f"decay is {decay}, expected more than 0 and at most 1")
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    layers: list[list[nn.Parameter]] = []
    for name in [*(n for n in plan if n in parameters), *(n for n in parameters if n not in plan)]:
        if not layers or (parameters[name].dim() > 1 and name in plan):
            layers.append([])
        layers[-1].append(parameters[name])
    if not layers:
        raise TrainError("no parameter requires a gradient: unfreeze(model, ...) something")
    return [{"params": group, "lr": lr * decay**depth} for depth, group in zip(_down(len(layers)), layers, strict=True)]


def _down(count: int) -> range:
    return range(count - 1, -1, -1)


def _output_heads(made: Plan) -> tuple[str, ...]:
    heads = {name.rpartition(".")[0] for name, assignment in made.items() if assignment.kind == "output head"}
    if not heads:
        raise TrainError('the plan finds no output head of its own in this model: name the layers to train, head="fc"')
    return tuple(sorted(heads))


def _named(chosen: tuple[str, ...], model: nn.Module) -> list[str]:
    parameters = dict(model.named_parameters())
    for one in chosen:
        if not any(_within(name, one) for name in parameters):
            parts = ", ".join(repr(name) for name, _ in model.named_children())
            raise TrainError(f"no parameter is called {one!r} or lies in a module of this name; there are {parts}")
    return [name for name in parameters if any(_within(name, one) for one in chosen)]


def _within(name: str, one: str) -> bool:
    return not one or name == one or name.startswith(f"{one}.")


@contextmanager
def _thawed_on_error(model: nn.Module) -> Iterator[None]:
    flags = [(p, p.requires_grad) for p in model.parameters()]
    kept = {layer for layer in model.modules() if is_kept_in_eval(layer)}
    try:
        yield
    except BaseException:
        for p, flag in flags:
            p.requires_grad_(flag)
        for layer in model.modules():
            if layer not in kept:
                let_train(layer)
        raise

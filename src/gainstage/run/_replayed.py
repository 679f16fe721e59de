"""From a program that a script ran to the `Subject` that can be run again: its model, batch, target and loss."""

import gc
import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.run._example import tensors_in
from gainstage.run._objective import own_loss
from gainstage.run._program import Call, Var, replay
from gainstage.run._subject import Subject


def trains(calls: list[Call], trained: Iterable[Tensor]) -> list[Call]:
    """The calls of modules that hold any of these parameters."""
    held = {id(p) for p in trained}
    return [c for c in calls if c.module is not None and any(id(p) in held for p in c.module.parameters())]


def undivided(calls: list[Call], loss: Var, value: float, passes: int) -> tuple[list[Call], Var, float]:
    """Without a last division by the number of passes that are accumulated, which is no part of the loss.

    It is recognized by its numbers, however it is written.
    """
    reads = list(calls[-1].reads())
    if calls[-1].module is None and len(reads) == 1 and not list(calls[-1].constants()):
        before = next((c.made[reads[0].position] for c in calls if c.index == reads[0].call), None)
        if (
            before is not None
            and before.numel() == 1
            and abs(float(before.detach()) - value * passes) <= 1e-4 * abs(value * passes)
        ):
            return calls[:-1], reads[0], value * passes
    return calls, loss, value


def subject_of(calls: list[Call], loss: Var, trained: Iterable[Tensor]) -> tuple[Subject, nn.Module]:
    """The subject behind a program that ends in a loss and uses the trained parameters; and the module that it trains.

    A module that is called once, on data, is the model itself. Else the model is the smallest module that holds all
    parts that are called (or, where there is none, one made of them), and its forward pass makes the script's own calls
    again, on the tensors that were given to them.

    Args:
        calls: in their order, as `Tracer.behind` gives them.
        loss: that was called `backward` on.
        trained: the parameters of the optimizer.
    """
    ours = trains(calls, trained)
    last = ours[-1].index
    head, tail = [c for c in calls if c.index <= last], [c for c in calls if c.index > last]
    first = ours[0]
    if len(head) == 1 and first.module is not None and not list(first.reads()) and first.autocast is None:
        model, example = first.module, _example(first)
        outputs = [Var(first.index, i) for i in range(len(first.made))]
        own = own_loss(first.output)
        if not tail and own is not None and own is first.made[loss.position]:
            return Subject(model, example), model
        owner = model
    else:
        owner, inputs = _owner(ours), _given(head)
        read = dict.fromkeys(v for c in tail for v in c.reads() if v.call <= last)
        outputs = list(read) or [loss]
        model = _replaying(owner, head, inputs, outputs)
        example = tuple(inputs) if len(inputs) != 1 else inputs[0]
    made = {v: t for c in head for i, t in enumerate(c.made) if (v := Var(c.index, i)) in outputs}
    rows = {t.shape[0] for t in (*tensors_in(example), *made.values()) if t.dim()}
    targets = [t for t in _given(tail) if t.dim() and t.shape[0] in rows]
    target = targets[0] if len(targets) == 1 else tuple(targets) or None
    parts = [m for m in {id(c.module): c.module for c in tail}.values() if m is not None]
    return Subject(model, example, target, partial(_loss, parts, tail, outputs, targets, loss)), owner


def _loss(
    parts: list[nn.Module], tail: list[Call], outputs: list[Var], targets: list[Tensor], loss: Var, *given: Any
) -> Tensor:
    """What the script computes of the model's output; `parts`, which it runs on the way, are named to be kept."""
    output, target = given
    values = dict(zip(outputs, tensors_in(output), strict=False))
    said = target if isinstance(target, tuple) else (target,)
    other = {id(old): new for old, new in zip(targets, said, strict=False)}
    return replay(tail, values, lambda t: other.get(id(t), t), lambda what: what)[loss]


def _example(call: Call) -> Any:
    """The arguments of a call as an example: one, a tuple, or a dictionary where any was named."""
    if not call.kwargs:
        alone = len(call.args) == 1 and not isinstance(call.args[0], dict | tuple)
        return call.args[0] if alone else tuple(call.args)
    assert call.module is not None
    forward = call.module.forward
    try:
        bound = inspect.signature(forward).bind(*call.args, **call.kwargs).arguments
    except TypeError:
        bound = {}
    catch_all = [p.name for p in inspect.signature(forward).parameters.values() if p.kind is p.VAR_KEYWORD]
    named = {k: v for k, v in bound.items() if k not in catch_all}
    return {**named, **{k: v for name in catch_all for k, v in bound.get(name, {}).items()}} or dict(call.kwargs)


def _given(calls: list[Call]) -> list[Tensor]:
    """The tensors that were given to the calls, each once; parameters are the model's."""
    found = {id(t): t for call in calls for t in call.constants() if not isinstance(t, nn.Parameter)}
    return list(found.values())


def _owner(calls: list[Call]) -> nn.Module:
    """The smallest living module that holds all of these; one made of them where there is none."""
    parts = list({id(c.module): c.module for c in calls if c.module is not None}.values())
    if len(parts) == 1:
        return parts[0]
    wanted = {id(part) for part in parts}
    holders = []
    for thing in gc.get_objects():
        if issubclass(type(thing), nn.Module):
            inside = {id(m) for m in thing.modules()}
            if wanted <= inside:
                holders.append((len(inside), thing))
    if holders:
        smallest: nn.Module = min(holders, key=lambda holder: holder[0])[1]
        return smallest
    together = nn.Module()
    for part in parts:
        name = type(part).__name__.lower()
        while hasattr(together, name):
            name += "_"
        together.add_module(name, part)
    return together


def _replaying(owner: nn.Module, head: list[Call], inputs: list[Tensor], outputs: list[Var]) -> nn.Module:
    """The owner, sharing all that it holds, with the script's calls as its forward pass."""
    paths = {id(module): path for path, module in owner.named_modules()}
    places = [id(t) for t in inputs]

    def forward(self: nn.Module, *given: Tensor) -> Any:
        def module(what: Any) -> Any:
            if not isinstance(what, nn.Module) or id(what) not in paths:
                return what
            if not (path := paths[id(what)]):
                return partial(type(owner).forward, self)
            return self.get_submodule(path)

        new = dict(zip(places, given, strict=True))
        values = replay(head, {}, lambda t: new.get(id(t), t), module)
        found = tuple(values[var] for var in outputs)
        return found[0] if len(found) == 1 else found

    kind: Any = type(type(owner).__name__, (type(owner),), {"forward": forward, "__module__": type(owner).__module__})
    kind.__qualname__ = type(owner).__qualname__
    made: nn.Module = kind.__new__(kind)
    made.__dict__ = owner.__dict__
    return made


def loss_again(subject: Subject, generator: Tensor) -> float | None:
    """The loss of one more pass with the same random state; None where the pass raises."""
    from gainstage.run._example import call
    from gainstage.run._objective import objective_of
    from gainstage.run._undisturbed import undisturbed

    try:
        with undisturbed(subject.model, subject.example, subject.target, subject.loss):
            torch.set_rng_state(generator)
            return float(objective_of(call(subject.model, subject.example), subject.target, subject.loss)[0].detach())
    except Exception:
        return None

"""TARGET: from `package.module:factory` or `path/to/file.py:factory` to a model with its example."""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gainstage.cli._call import Call, call_of
from gainstage.cli._errors import CannotRun, did_you_mean, explain
from gainstage.cli._inputs import example_from, parse
from gainstage.cli._module import import_target, user_line
from gainstage.cli._terminal import note

if TYPE_CHECKING:
    from torch import nn

    from gainstage.run import Subject


def load(target: str, inputs: Sequence[str], seed: int) -> "Subject":
    """Import TARGET, build its model and give it an example.

    The global random number generators are seeded before the module is imported and again before the factory is
    called, so that the same command says the same thing twice.

    Args:
        target: `package.module:factory` or `path/to/file.py:factory`; the factory returns a model, `(model, example)`
            or a `gs.Subject`, and may be given literals, `train.py:Net(32)`. One of these instead of a factory will do.
        inputs: the `--input` options; they take the place of the factory's own example.
        seed: of the generators and of the inputs.

    Returns:
        The subject, with an example.

    Raises:
        CannotRun: whatever keeps the target from being loaded, with what to write instead.
    """
    for text in inputs:
        parse(text)  # a slip in --input is said before minutes of building
    return _with_example(_subject(target, seed), target, inputs, seed)


def load_model(target: str, seed: int) -> "nn.Module":
    """Import TARGET and build its model, which needs no example; see `load`."""
    return _subject(target, seed).model


def _subject(target: str, seed: int) -> "Subject":
    _seed_everything(seed)
    call = call_of(target)
    module, attribute = import_target(call.target)
    value = attribute_of(module, attribute, call.target)
    return as_subject(_built(value, call, seed), target)


def as_subject(value: Any, target: str) -> "Subject":
    """What a factory returned, as a Subject; see `load`."""
    from torch import nn

    from gainstage.run import Subject

    match value:
        case Subject():
            subject = value
        case nn.Module():
            subject = Subject(value)
        case (nn.Module() as model, example):
            subject = Subject(model, example)
        case _:
            raise CannotRun(
                f"{target} gives {_described(value)}. Expected a model (torch.nn.Module), a tuple (model, example) "
                "or gs.Subject(model, example, target, loss, optimizer)."
            )
    if not isinstance(subject.model, nn.Module):
        raise CannotRun(f"{target} gives a Subject whose model is {_described(subject.model)}, not a torch.nn.Module.")
    return subject


def _with_example(subject: "Subject", target: str, inputs: Sequence[str], seed: int) -> "Subject":
    from dataclasses import replace

    if inputs:
        if subject.target is not None:
            note("--input replaces the example, so its target and loss are not used")
        return replace(subject, example=example_from(inputs, subject.model, seed), target=None, loss=None)
    if subject.example is None:
        raise CannotRun(
            f"{target} gives a model without an example. Write --input with the shape of one batch, for instance "
            "--input 8x3x64x64 or --input ids:8x128:50257, or return (model, example)."
        )
    return subject


def _built(value: Any, call: Call, seed: int) -> Any:
    """Call a factory; a model, a Subject or a tuple is there already."""
    from torch import nn

    target = call.target
    if isinstance(value, nn.Module) or not callable(value):
        if call.given:
            raise CannotRun(f"{target} is {_described(value)}, which takes no arguments: leave out the brackets.")
        return value
    _fit_arguments(value, call)
    _seed_everything(seed)
    try:
        return value(*call.args, **call.kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a factory that parses arguments must not end the program
        raise CannotRun(f"{target} raised {explain(error)}{user_line(error)}") from error


def _fit_arguments(factory: Callable[..., Any], call: Call) -> None:
    """Say before the call what a factory needs that TARGET does not give it, or is given and does not take."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # no signature to read (a builtin): the call will tell
    try:
        signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        needed = [
            p.name
            for p in signature.parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        takes = f"{call.target.rpartition(':')[2]}{signature}"
        if call.given:
            raise CannotRun(f"{call.target} cannot be called so: {error}. It is {takes}.") from None
        raise CannotRun(
            f"{call.target} needs arguments: {', '.join(needed)}. Write literals into the target, for instance "
            f"'{call.target}({', '.join(f'{name}=...' for name in needed)})', or name a function without arguments."
        ) from None


def attribute_of(module: Any, attribute: str, target: str) -> Any:
    """Follow `factory` or `Class.factory` inside the module."""
    value = module
    for name in attribute.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            known = [n for n in vars(value) if not n.startswith("_")] if hasattr(value, "__dict__") else []
            raise CannotRun(
                f"{target.rpartition(':')[0]} has no attribute {name!r}.{did_you_mean(name, known)}{_candidates(value)}"
            ) from None
    return value


def _candidates(module: Any) -> str:
    """The functions, classes and models that a module defines itself: what TARGET could have named."""
    from torch import nn

    own = getattr(module, "__name__", None)
    names = [
        name
        for name, value in getattr(module, "__dict__", {}).items()
        if not name.startswith("_")
        and (isinstance(value, nn.Module) or (callable(value) and getattr(value, "__module__", None) == own))
    ]
    return f"\nIt defines: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else ""


def _described(value: Any) -> str:
    if value is None:
        return "None (is a return missing?)"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} ({', '.join(type(v).__name__ for v in value)})"
    return f"a {type(value).__name__}"


def _seed_everything(seed: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

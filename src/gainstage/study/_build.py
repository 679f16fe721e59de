"""From an arm to a network."""

from dataclasses import fields
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gainstage.errors import GainstageError
from gainstage.run import seeded, undisturbed
from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study._errors import StudyError
from gainstage.study.families import FAMILIES
from gainstage.train import mode

_BUILT: WeakSet[nn.Module] = WeakSet()  # those that still live: a second trial must not go on with the first one's
TRIED = 2  # samples that a new network has to answer


def build(arm: Arm, data: Data, *, seed: int = 0) -> nn.Module:
    """The network that an arm describes, with as many inputs and outputs as the data need.

    It is drawn with `torch.manual_seed(seed)`, as the model starts itself; the random state of the program stays as it
    was. It has answered a few samples in evaluation mode, so that its answer is known to fit.

    Args:
        arm: a family and its fields, or a function and its options.
        data: that it will be trained on.
        seed: of the start that the model builds itself.

    Returns:
        A module that maps `[n, *data.shape]` to `[n, data.outputs]`.

    Raises:
        StudyError: it cannot be built, or does not fit the data; the message names the arm.

    Example:
        >>> from gainstage.study._data import load
        >>> build(Arm(model="mlp", depth=2), load("iris")).head
        Linear(in_features=64, out_features=3, bias=True)
    """
    with seeded(seed):
        try:
            model = FAMILIES[arm.model](arm, data) if isinstance(arm.model, str) else arm.model(**arm.options)
        except GainstageError as error:
            raise StudyError(f"the arm {said(arm)} cannot be built: {error}") from error
        except Exception as error:
            raise StudyError(f"the arm {said(arm)} cannot be built: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise StudyError(
            f"the arm {said(arm)} is no network: its function returned {type(model).__name__}, expected an nn.Module."
        )
    if model in _BUILT:
        raise StudyError(
            f"the function of the arm {said(arm)} returned the same module twice: expected a new one at every call. "
            "Build the layers inside the function, or return copy.deepcopy(model)."
        )
    _check_answer(model, arm, data, seed)
    _BUILT.add(model)
    return model


def said(arm: Arm) -> str:
    """An arm in a message: its name, or its model and the fields that are not at their defaults."""
    told = {f.name: getattr(arm, f.name) for f in fields(Arm)}
    told = {name: value for name, value in told.items() if name == "model" or value != getattr(Arm(), name)}
    return repr(arm.name) if arm.name else f"({', '.join(f'{name}={_short(value)}' for name, value in told.items())})"


def _short(value: Any) -> str:
    return str(getattr(value, "__qualname__", None) or repr(value))


def _check_answer(model: nn.Module, arm: Arm, data: Data, seed: int) -> None:
    x = data.train.x[:TRIED].cpu()
    asked = f"the data {data.name!r} of shape {list(data.shape)}"
    try:
        x = x.to(next((p.device for p in model.parameters()), x.device))
        if any(is_lazy(p) for p in model.parameters()):
            with seeded(seed), mode(model, training=False), torch.no_grad():
                model(x)  # gives them their shapes
        with undisturbed(model), torch.no_grad():
            answer = model.eval()(x)
    except Exception as error:
        raise StudyError(f"the arm {said(arm)} cannot answer {asked}: {type(error).__name__}: {error}") from error
    wanted = [len(x), data.outputs]
    came = f"a {type(answer).__name__}" if not isinstance(answer, Tensor) else f"a tensor of shape {list(answer.shape)}"
    if not isinstance(answer, Tensor) or list(answer.shape) != wanted:
        kind = f"a number for each of {data.classes} classes" if data.classes else f"{data.outputs} target(s)"
        raise StudyError(
            f"the arm {said(arm)} does not fit {asked}: asked about {len(x)} samples it answered {came}, expected a "
            f"tensor of shape {wanted}, {kind}."
        )

"""Arms: one configuration each, and grids of them."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from torch import nn

from gainstage._visible import shown
from gainstage.init import Law
from gainstage.study._errors import StudyError
from gainstage.transfer import RULES

Factory = Callable[..., nn.Module]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One configuration of a study.

    Args:
        model: a built-in family, `"mlp"`, `"cnn"`, `"resnet"`, `"transformer"` or `"rnn"`; or a function that takes
            `options` as keyword arguments and returns an `nn.Module`.
        init: a scheme of `gs.initialize`, `"lsuv"` (orthogonal, then rescaled on one batch), a law, or None for the
            start that the model builds itself, with `torch.manual_seed(seed)`.
        norm: a name that `gs.nn.norm` knows, or None.
        activation: a name that `gs.gain` knows.
        depth: number of hidden layers, or blocks, 1 to 100,000.
        width: of every layer, 1 to 65,536.
        residual: adds each hidden layer to its input; the families `resnet` and `transformer` always do.
        dropout: rate from 0 to below 1.
        dropout_kind: `"dropout"`, `"alpha"`, `"connect"`, `"spatial"`, `"block"` or `"path"`.
        mixup: alpha, 0 for none.
        cutmix: alpha, 0 for none.
        weight_decay: as the optimizer takes it.
        label_smoothing: from 0 to below 1; classification only.
        optimizer: `"sgd"`, `"momentum"` (SGD with 0.9), `"adam"`, `"adamw"` or `"rmsprop"`.
        batch_size: samples a step, 1 to 1,000,000.
        lr: learning rate, or `"tuned"`: the best of a grid on the validation part.
        clip: largest norm of the gradient, or None.
        parameterization: a rule of `gs.transfer`: how start and rates follow from those of the size `base`, whose
            learning rate `lr` then is. `"standard"` changes nothing.
        base: the size that is tuned, `{"width": 32}`: of `width` and `depth`, or of `options` of a model of your own.
        options: keyword arguments of `model` where that is a function. The fields from `norm` to `dropout_kind` are
            for built-in families only.
        name: shown instead of what distinguishes this arm from the others.

    Raises:
        StudyError: a field has a value that no study could use.

    Example:
        >>> Arm(init="he_normal", activation="relu", depth=20).depth
        20
    """

    model: str | Factory = "mlp"
    init: str | Law | None = "auto"
    norm: str | None = None
    activation: str = "relu"
    depth: int = 4
    width: int = 64
    residual: bool = False
    dropout: float = 0.0
    dropout_kind: str = "dropout"
    mixup: float = 0.0
    cutmix: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    optimizer: str = "adam"
    batch_size: int = 64
    lr: float | str = "tuned"
    clip: float | None = None
    parameterization: str = "standard"
    base: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if isinstance(value := getattr(self, name), str) and value not in known:
                raise StudyError(f"{name} is {shown(value)}.{nearest(value, known)} Write one of: {', '.join(known)}.")
        for name, (low, high) in RANGES.items():
            _check_number(name, getattr(self, name), low, high)
        for name, most in COUNTS.items():
            check_count(name, getattr(self, name), most)
        if self.lr != "tuned":
            _check_number("lr", self.lr, 0.0, float("inf"))
        if self.clip is not None:
            _check_number("clip", self.clip, 0.0, float("inf"))
        _check_shape(self)
        _check_base(self)

    def key(self) -> dict[str, Any]:
        """All that decides a result, as JSON values; a function stands by its name and a hash of its file."""
        values = asdict(self) | {"model": _told(self.model), "init": None if self.init is None else str(self.init)}
        values["options"] = {name: _told(value) for name, value in sorted(self.options.items())}
        return {name: value for name, value in values.items() if name != "name"}


SHAPE = ("norm", "activation", "depth", "width", "residual", "dropout", "dropout_kind")
CHOICES: dict[str, tuple[str, ...]] = {
    "model": ("mlp", "cnn", "resnet", "transformer", "rnn"),
    "dropout_kind": ("dropout", "alpha", "connect", "spatial", "block", "path"),
    "optimizer": ("sgd", "momentum", "adam", "adamw", "rmsprop"),
    "parameterization": tuple(RULES),
    "lr": ("tuned",),
}
RANGES: dict[str, tuple[float, float]] = {
    "dropout": (0.0, 1.0),
    "label_smoothing": (0.0, 1.0),
    "mixup": (0.0, float("inf")),
    "cutmix": (0.0, float("inf")),
    "weight_decay": (0.0, float("inf")),
}
COUNTS = {"depth": 100_000, "width": 65_536, "batch_size": 1_000_000}
ARMS = 10_000  # the most of a study


def grid(**values: Any) -> tuple[Arm, ...]:
    """Every combination of the values given as lists; a value that is not a list is that of all arms.

    Args:
        values: fields of `Arm`. The first one varies slowest. At most 10,000 combinations.

    Returns:
        The arms.

    Raises:
        StudyError: a list is empty, there are too many combinations, or `Arm` has no such field; the nearest is
            suggested.

    Example:
        >>> [(arm.init, arm.depth) for arm in grid(init=["xavier_normal", "he_normal"], depth=[4, 20])]
        [('xavier_normal', 4), ('xavier_normal', 20), ('he_normal', 4), ('he_normal', 20)]
    """
    known = [f.name for f in fields(Arm)]
    for name, value in values.items():
        if name not in known:
            raise StudyError(f"an arm has no field {shown(name)}.{nearest(name, known)} It has: {', '.join(known)}.")
        if isinstance(value, list | tuple) and not value:
            raise StudyError(f"the grid is empty: {name} has no values. Give at least one, or leave {name} out.")
    choices = [value if isinstance(value, list | tuple) else [value] for value in values.values()]
    if (combinations := prod(map(len, choices))) > ARMS:
        sizes = " × ".join(str(len(choice)) for choice in choices if len(choice) > 1)
        raise StudyError(f"the grid has {sizes} = {combinations:,} combinations: expected at most {ARMS:,}.")
    return tuple(Arm(**dict(zip(values, chosen, strict=True))) for chosen in product(*choices))


def nearest(word: str, known: Any) -> str:
    """A sentence that suggests the word that was probably meant, or nothing."""
    near = get_close_matches(str(word)[:100], list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_count(name: str, value: Any, most: int) -> None:
    """Raise a `StudyError` unless `value` is a whole number from 1 to `most`, a bound that no study needs to pass."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise StudyError(f"{name} is {shown(value)}: expected a whole number from 1 to {most:,}.")


def is_finite(value: Any) -> bool:
    """Whether this is a number that a float can hold, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if not (is_finite(value) and low <= value < high):
        expected = f"a number from {low:g} to below {high:g}" if high != float("inf") else f"a number from {low:g} on"
        raise StudyError(f"{name} is {shown(value)}: expected {expected}.")


def _check_shape(arm: Arm) -> None:
    if isinstance(arm.model, str):
        if arm.options:
            raise StudyError(
                f"options {sorted(arm.options)} are for a model of your own; the family {arm.model!r} takes the fields "
                f"{', '.join(SHAPE)}."
            )
        return
    if not callable(arm.model):
        raise StudyError(
            f"model is {shown(arm.model)}: expected the name of a family, or a function that builds a module."
        )
    defaults = {f.name: f.default for f in fields(Arm)}
    given = [name for name in SHAPE if getattr(arm, name) != defaults[name]]
    if given:
        raise StudyError(
            f"{', '.join(given)} are for built-in families; a model of your own takes keyword arguments: "
            f"options={{{', '.join(f'{name!r}: ...' for name in given)}}}."
        )


def _check_base(arm: Arm) -> None:
    known = ("width", "depth") if isinstance(arm.model, str) else tuple(arm.options)
    wrong = [name for name in arm.base if name not in known]
    if wrong:
        raise StudyError(
            f"base has {wrong[0]!r}, which is no size of this arm.{nearest(wrong[0], known)} It has: "
            f"{', '.join(known) or 'no options'}."
        )
    for name, value in arm.base.items():
        check_count(f"base[{name!r}]", value, max(COUNTS.values()))
    if arm.parameterization != "standard" and not arm.base:
        raise StudyError(
            f"parameterization is {arm.parameterization!r}, which is relative to a size: give base={{'width': 32}}, "
            "that of which the learning rate is."
        )
    if arm.parameterization != "standard" and arm.init == "lsuv":
        raise StudyError("init is 'lsuv', which sets every scale by a batch: a parameterization sets it by the size.")


def _told(value: Any) -> Any:
    """A JSON value that stands for `value`, the same in every process."""
    if callable(value):
        return _told_function(value)
    if isinstance(value, Mapping):
        return {str(name): _told(each) for name, each in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


@cache
def _told_function(function: Callable[..., Any]) -> str:
    """Its name and a hash of its file, since it may use all of that; of its own source where it is in no file.

    Read once a process: a file that is edited while a study runs is not what runs.
    """
    own = function if inspect.isfunction(function) or inspect.isclass(function) else type(function)
    where = f"{own.__module__}:{own.__qualname__}"
    try:
        file = Path(inspect.getsourcefile(own) or "")
        source = file.read_bytes() if file.is_file() else inspect.getsource(own).encode()
    except (OSError, TypeError):
        return where
    return f"{where}#{hashlib.sha256(source).hexdigest()[:12]}"

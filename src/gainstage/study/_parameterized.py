"""Arms whose start and rates follow from a smaller size of the same model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.study._arm import Arm
from gainstage.study._build import build, said
from gainstage.study._data import Data
from gainstage.study._errors import StudyError
from gainstage.transfer import Transfer, transfer

LIKE = {"sgd": "sgd", "momentum": "sgd", "adam": "adam", "adamw": "adam", "rmsprop": "adam"}  # steps of one size
FOLLOWS = {"adam": ("lr", "eps"), "adamw": ("lr", "eps", "weight_decay"), "rmsprop": ("lr", "eps")}


def transferred(arm: Arm, data: Data, example: Tensor, init: str | Law | None) -> Transfer:
    """From `arm.base` to the arm's own size, by its rule and for its optimizer.

    Raises:
        StudyError: one of the sizes cannot be built, or nothing grows from the one to the other.
    """

    def make(**size: Any) -> nn.Module:
        sized = replace(arm, **size) if isinstance(arm.model, str) else replace(arm, options={**arm.options, **size})
        return build(sized, data, seed=int(torch.randint(2**31, ())))  # the draw is the caller's to choose

    own: Mapping[str, Any] = vars(arm) if isinstance(arm.model, str) else arm.options
    target = {name: own[name] for name in arm.base}
    try:
        return transfer(
            make, dict(arm.base), target, optimizer=LIKE[arm.optimizer], rule=arm.parameterization, example=example,
            scheme="own" if init is None else init,
        )  # fmt: skip
    except GainstageError as error:
        raise StudyError(f"the arm {said(arm)} has no size to be scaled from: {error}") from error


def scales(arm: Arm, move: Transfer) -> dict[str, dict[str, float]]:
    """By parameter, factors on the options of the arm's optimizer.

    Weight decay follows where it is decoupled, as AdamW's is: the product with the rate stays.
    """
    keys = FOLLOWS.get(arm.optimizer, ("lr",))
    return {name: {key: getattr(each, key) for key in keys} for name, each in move.scalings.items()}

"""Names as the user's own model has them, whatever it is wrapped in."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.optim.swa_utils import AveragedModel

from gainstage.run import bare_names, class_name, named_modules, named_parameters

WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "AveragedModel": AveragedModel,
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
    "checkpoint_wrapper": checkpoint_wrapper,
    "all of them": lambda m: AveragedModel(nn.DataParallel(torch.compile(checkpoint_wrapper(m), backend="eager"))),
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(2, 2)  # a user's own name that a wrapper has too
        self.body = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
        self.scale = nn.Parameter(torch.ones(2))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_model_has_the_names_of_the_bare_one(wrapper: str) -> None:
    model, wrapped = Net(), WRAPPERS[wrapper](Net())
    assert [name for name, _ in named_parameters(wrapped)] == [name for name, _ in model.named_parameters()]
    assert {name for name, _ in named_modules(wrapped)} == {name for name, _ in model.named_modules()}
    assert class_name(wrapped) == "Net"


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_parts_have_the_names_of_the_bare_ones(wrapper: str) -> None:
    model = Net()
    model.module, model.body[1] = WRAPPERS[wrapper](model.module), WRAPPERS[wrapper](model.body[1])
    assert [name for name, _ in named_parameters(model)] == [name for name, _ in Net().named_parameters()]
    assert set(bare_names(model).values()) == {name for name, _ in Net().named_modules()}


def test_a_class_that_only_has_the_name_of_a_wrapper_is_none() -> None:
    class DataParallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)

    assert [name for name, _ in named_parameters(DataParallel())] == ["module.weight", "module.bias"]


def test_a_class_derived_from_a_wrapper_counts_as_one() -> None:
    class Mine(AveragedModel):
        pass

    assert [name for name, _ in named_parameters(Mine(nn.Linear(2, 2)))] == ["weight", "bias"]
    assert class_name(Mine(nn.Linear(2, 2))) == "Linear"


def test_shared_parameters_and_modules_have_all_their_names() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model.append(model[0])
    wrapped = AveragedModel(model)
    expected = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert [name for name, _ in named_parameters(wrapped, remove_duplicate=False)] == expected
    assert [name for name, _ in named_parameters(wrapped)] == ["0.weight", "0.bias", "1.bias"]

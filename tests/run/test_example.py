"""What a model is called with, and what it returns: any nest of anything, found, copied, moved and told."""

from collections import OrderedDict, UserDict, defaultdict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gainstage.run import (
    batch_size,
    call,
    call_on,
    describe,
    map_tensors,
    own_copy,
    tensors_in,
)

Pair = namedtuple("Pair", "a b")


class Encoding(UserDict):
    """What a tokenizer returns: a mapping that is no dict, with its items as attributes."""

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.data = state["data"]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Batch:
    x: Tensor
    size: int = 0


class Graph:
    def __init__(self, x: Tensor) -> None:
        self.x, self.further = x, {"edges": torch.ones(2, 3)}


class Uncopied:
    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot be copied")


def nests(x: Tensor) -> dict[str, Any]:
    packed = pack_padded_sequence(x.reshape(2, 2, 1), torch.tensor([2, 1]), batch_first=True)
    return {
        "tensor": x,
        "tuple": (x, [x + 1]),
        "named tuple": Pair(x, {"y": x + 1}),
        "ordered": OrderedDict(x=x),
        "encoding": Encoding(x=x, y=x + 1),
        "dataclass": Batch(x),
        "object": Graph(x),
        "object in a tuple": (Graph(x), 3),
        "packed": packed,
        "packed in a tuple": (packed, None),
    }


KINDS = tuple(nests(torch.ones(2, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_the_same_tensors_and_none_of_the_memory(kind: str) -> None:
    example = nests(torch.arange(4.0).reshape(2, 2))[kind]
    copy = own_copy(example)
    before, after = list(tensors_in(example)), list(tensors_in(copy))
    assert type(copy) is type(example)
    assert before
    assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in zip(before, after, strict=True))


def test_what_is_given_twice_stays_one_thing() -> None:
    x = torch.ones(2)
    graph = Graph(x)
    copy = own_copy({"a": x, "b": [x, graph], "c": graph})
    assert copy["a"] is copy["b"][0] is copy["c"].x
    assert copy["b"][1] is copy["c"]


def test_parameters_modules_and_what_cannot_be_copied_stay_themselves() -> None:
    weight, uncopied = nn.Parameter(torch.ones(2)), Uncopied(torch.ones(2))
    linear = nn.Linear(1, 1)
    copy = own_copy((weight, uncopied, linear, "text", None))
    assert copy[0] is weight
    assert copy[1] is uncopied
    assert copy[2] is linear
    assert copy[3:] == ("text", None)


def test_copies_require_gradients_as_the_example_does() -> None:
    leaf = torch.ones(2, requires_grad=True)
    copies = own_copy((torch.ones(2), leaf, 2 * leaf))
    assert [t.requires_grad for t in copies] == [False, True, True]
    assert [t.is_leaf for t in copies] == [True, True, False]
    assert (2 * copies[2]).sum().grad_fn is not None


def test_non_leaf_tensors_inside_objects_are_copied_too() -> None:
    made = 2 * torch.ones(2, requires_grad=True)
    weight = nn.Parameter(torch.ones(2))
    for kind in (Batch, Graph, lambda x: Encoding(x=x), lambda x: (Graph(x), x)):
        first = next(tensors_in(own_copy(kind(made))))
        assert first is not made
        assert first.requires_grad
        assert next(tensors_in(own_copy(kind(weight)))) is weight


def test_views_and_expanded_tensors_can_be_written_to_in_a_copy() -> None:
    row = torch.zeros(1, 4)
    copy = own_copy(row.expand(3, 4))
    copy.add_(torch.arange(12.0).reshape(3, 4))
    assert float(copy[2, 3]) == 11
    assert not row.any()


def test_a_call_leaves_the_example_as_it_is() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor, items: list[Tensor]) -> Tensor:
            items.append(x.add_(1))
            return x

    x, items = torch.zeros(2), []
    for example in ((x, items), {"x": x, "items": items}):
        assert call(Writes(), example).tolist() == [1, 1]
    assert x.tolist() == [0, 0]
    assert items == []


def test_how_a_model_is_called() -> None:
    class Shows(nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    x = torch.ones(1)
    assert call_on(Shows(), x) == ((x,), {})
    assert call_on(Shows(), (x, 1)) == ((x, 1), {})
    assert call_on(Shows(), [x]) == (([x],), {})
    assert call_on(Shows(), {"a": x}) == ((), {"a": x})
    assert call_on(Shows(), Encoding(a=x)) == ((), {"a": x})
    assert call_on(Shows(), Pair(x, 1)) == ((Pair(x, 1),), {})


def test_tensors_are_found_once_wherever_they_are() -> None:
    x, y = torch.ones(1), torch.ones(2)
    loop: list[Any] = [x, y]
    loop.append(loop)
    assert list(tensors_in((x, {"k": [x, y]}, loop))) == [x, y]
    assert next(tensors_in(Graph(x))) is x
    assert list(tensors_in((nn.Linear(1, 1), print, Graph, "text", None))) == []


def test_a_nest_keeps_its_types_when_its_tensors_change() -> None:
    nest = Pair({"k": torch.ones(1)}, [torch.ones(1), "text"])
    doubled = map_tensors(nest, lambda t: 2 * t)
    assert type(doubled) is Pair
    assert float(doubled.a["k"]) == float(doubled.b[0]) == 2
    assert doubled.b[1] == "text"


def test_kinds_of_dictionary_and_tuple_stay_what_they_are() -> None:
    nest = defaultdict(list, x=torch.ones(1))
    doubled = map_tensors(nest, lambda t: 2 * t)
    assert type(doubled) is defaultdict
    assert float(doubled["x"]) == 2
    assert doubled["new"] == []
    assert "new" not in nest
    for kept in (torch.Size([2]), torch.max(torch.ones(2, 2), 1)):
        assert type(map_tensors(kept, lambda t: 2 * t)) is type(kept)


def test_the_batch_is_the_size_that_most_tensors_share() -> None:
    linear = nn.Linear(2, 2)
    assert batch_size(linear, {"a": torch.ones(4, 2), "b": torch.ones(4), "c": torch.ones(7)}, None) == 4
    assert batch_size(linear, (torch.ones(4, 2), torch.ones(7, 2)), torch.ones(7)) == 7
    assert batch_size(linear, {"n": 3}, None) is None
    assert batch_size(nn.LSTM(2, 2), torch.ones(5, 4, 2), None) == 4
    assert batch_size(nn.LSTM(2, 2, batch_first=True), torch.ones(5, 4, 2), None) == 5


def test_an_example_is_told_in_a_few_words() -> None:
    assert describe((torch.ones(2, 3), torch.tensor(1))) == "float32 2x3, int64 scalar"
    assert describe({"n": 3}) == "dict"
    assert isinstance(own_copy(nests(torch.ones(2, 2))["packed"]), PackedSequence)

"""An array over a tensor's memory: the same numbers, both ways, and a storage that is as it was."""

import gc

import numpy as np
import pytest
import torch

from gainstage import init
from gainstage._memory import array_over
from gainstage.errors import GainstageError

TYPES = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.float16,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.int16: np.int16,
    torch.int8: np.int8,
    torch.uint64: np.uint64,
    torch.uint32: np.uint32,
    torch.uint16: np.uint16,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
}


def resizable(tensor):
    return tensor.untyped_storage().resizable()


@pytest.mark.parametrize("dtype", TYPES)
def test_the_array_is_the_memory_of_the_tensor(dtype):
    x = (torch.arange(12) % 2).view(3, 4).to(dtype)
    array = array_over(x)
    assert array.dtype == TYPES[dtype]
    assert array.shape == (3, 4)
    assert array.tolist() == x.tolist()
    array[1, 2] = 1
    assert x[1, 2] == 1
    x[0, 0] = 1
    assert array[0, 0] == 1
    assert array.flags.writeable
    assert resizable(x)


def test_bfloat16_comes_as_its_bits():
    x = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    assert array_over(x).dtype == np.uint16
    assert array_over(x).tolist() == [0x3F80, 0xC000]


def test_a_view_is_the_part_it_shows():
    x = torch.arange(20.0)
    array_over(x[5:9])[:] = -1
    assert x.tolist() == [*range(5), *[-1] * 4, *range(9, 20)]
    assert array_over(torch.tensor(3.0)).shape == ()


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4, 2)])
def test_no_elements(shape):
    array = array_over(torch.empty(shape))
    assert array.shape == shape
    assert array.dtype == np.float32


def test_the_array_keeps_the_memory_alive():
    array = array_over(torch.full((100_000,), 7.0))
    gc.collect()
    others = [torch.zeros(100_000) for _ in range(20)]
    assert bool((array == 7).all())
    assert len(others) == 20


def test_parameters_graphs_and_inference():
    p = torch.nn.Parameter(torch.zeros(3))
    array_over(p)[0] = 2
    assert p.tolist() == [2, 0, 0]
    with torch.inference_mode():
        x = torch.zeros(3)
    array_over(x)[0] = 2
    assert x.tolist() == [2, 0, 0]


class Plain(torch.Tensor):
    pass


def test_a_plain_subclass_has_memory():
    x = torch.zeros(3).as_subclass(Plain)
    array_over(x)[1] = 2
    assert x.tolist() == [0, 2, 0]


UNSEEN = {
    "transposed": lambda: torch.zeros(3, 4).t(),
    "expanded": lambda: torch.zeros(1, 4).expand(3, 4),
    "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "meta": lambda: torch.zeros(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "negated": lambda: torch.zeros(1, dtype=torch.complex64).conj().imag,
    "float8": lambda: torch.zeros(3).to(torch.float8_e5m2),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_numpy_cannot_see_is_said(name):
    with pytest.raises(GainstageError, match="contiguous tensor of real numbers"):
        array_over(UNSEEN[name]())


def test_a_tensor_without_memory_is_said():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.zeros(3)
    with pytest.warns(UserWarning, match="FakeTensor"), pytest.raises(GainstageError, match="memory of its own"):
        array_over(fake)


LAWS = [init.normal(), init.uniform(), init.truncated_normal(), init.zeros(), init.orthogonal(), init.mirrored(),
        init.mimetic("q", pair="a"), init.sparse(), init.zero(),
        init.blocks((init.normal(), init.orthogonal()))]  # fmt: skip


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_filled_tensor_can_still_be_resized(law, dtype):
    for w in (torch.empty(12, 12, dtype=dtype), torch.empty(12, 12, dtype=dtype).t()):
        init.fill_(w, law, name="w")
        assert resizable(w)
    assert w.resize_(40, 40).shape == (40, 40)

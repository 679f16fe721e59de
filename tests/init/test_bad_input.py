"""Bad input: an error that says what to write, and a tensor that is as it was."""

import math

import pytest
import torch

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.init.stored import law_from_json

VALUES = [
    (lambda: init.normal(std=-1), "at least 0"),
    (lambda: init.normal(std=math.nan), "finite"),
    (lambda: init.normal(mean=math.inf), "finite"),
    (lambda: init.normal(std="wide"), "number"),
    (lambda: init.uniform(2, 1), "uniform(1, 2)"),
    (lambda: init.trunc_normal(a=1, b=1), "a < b"),
    (lambda: init.trunc_normal(a=2, b=-2), "a < b"),
    (lambda: init.trunc_normal(std=0.02, a=-math.nan), "a < b"),
    (lambda: init.trunc_normal(std=0), "above 0"),
    (lambda: init.trunc_normal(std=0.02, a=1, b=2), "write uniform(1, 2)"),
    (lambda: init.trunc_normal(a=-1e-9, b=1e-9), "write uniform"),
    (lambda: init.truncated_normal(std=-1), "at least 0"),
    (lambda: init.truncated_normal(cut=0), "above 0"),
    (lambda: init.constant(math.nan), "finite"),
    (lambda: init.variance_scaling(-1.0), "at least 0"),
    (lambda: init.variance_scaling(1.0, "fanin"), "Did you mean 'fan_in'"),
    (lambda: init.variance_scaling(1.0, "fan_in", "gaussian"), "normal, uniform, truncated_normal"),
    (lambda: init.he_normal(nonlinearity="gelo"), "Did you mean 'gelu'"),
    (lambda: init.orthogonal(scale="fan_out"), '"fan_in"'),
    (lambda: init.orthogonal(heads=0), "at least 1"),
    (lambda: init.mirrored(rows=False, columns=False), "orthogonal("),
    (lambda: init.sparse(1.5), "from 0 to 1"),
    (lambda: init.blocks(()), "blocks((zeros(), ones()))"),
    (lambda: init.blocks(("zeros",)), "blocks((zeros(), ones()))"),
    (lambda: init.mimetic("w", pair="a"), "'q', 'k', 'v', 'o'"),
    (lambda: init.mimetic("q", pair=""), "pair="),
    (lambda: init.gpt2_residual(0), "at least 1"),
    (lambda: init.fixup(3, 1), "at least 2"),
    (lambda: init.normal().scaled(math.nan), "finite"),
    (lambda: init.law("he_norml"), "Did you mean 'he_normal'"),
    (lambda: law_from_json({"law": "normall"}), "Did you mean 'normal'"),
    (lambda: law_from_json({"law": "normal", "width": 3}), "arguments"),
    (lambda: law_from_json({}), "no stored law"),
    (lambda: init.sample(init.normal(), (3,), name="w", dtype="int32"), "dtype='float32'"),
]


@pytest.mark.parametrize(("call", "words"), VALUES, ids=lambda x: x if isinstance(x, str) else "")
def test_values_that_make_no_sense(call, words):
    with pytest.raises(GainstageError) as error:
        call()
    assert words in str(error.value)


FILLS = [
    (torch.ones(3, 4, dtype=torch.int64), init.normal(), "float tensor"),
    (torch.ones(3, 4, dtype=torch.complex64), init.normal(), "float tensor"),
    (torch.ones(3, dtype=torch.bool), init.zeros(), "float tensor"),
    (torch.ones(4), init.he_normal(), "init.zeros()"),
    (torch.ones(()), init.xavier_uniform(), "init.zeros()"),
    (torch.ones(4), init.orthogonal(), "at least 2 dimensions"),
    (torch.ones(6, 4), init.orthogonal(heads=4), "4 heads"),
    (torch.ones(6, 4), init.delta_orthogonal(), "init.orthogonal()"),
    (torch.ones(6, 4, 3), init.delta_orthogonal(groups=4), "4 groups"),
    (torch.ones(5, 4), init.mirrored(), "6 units"),
    (torch.ones(4, 5), init.mirrored(), "columns=False"),
    (torch.ones(4), init.mirrored(), "2 to 5 dimensions"),
    (torch.ones(4), init.identity(), "(out, in)"),
    (torch.ones(4, 4, 4), init.sparse(), "matrices"),
    (torch.ones(4, 6), init.mimetic("q", pair="a"), "square"),
    (torch.ones(7), init.blocks((init.zeros(), init.ones())), "2 blocks"),
    (torch.ones(8), init.blocks((init.zeros(), init.ones()), dim=1), "axis 1"),
    (torch.ones(8), init.blocks((init.zeros(), init.he_normal())), "init.zeros()"),
    (torch.ones(1, 4).expand(3, 4), init.normal(), ".contiguous()"),
    (torch.ones(3, 4).to_sparse(), init.normal(), "dense"),
]


@pytest.mark.parametrize(("tensor", "law", "words"), FILLS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_failed_fill_says_why_and_leaves_the_tensor(tensor, law, words):
    before = tensor.clone()
    with pytest.raises(GainstageError) as error:
        init.fill_(tensor, law, name="w")
    assert words in str(error.value)
    assert torch.equal(tensor.to_dense(), before.to_dense())


def test_fans_that_make_no_sense():
    for fans in (init.Fans(0, 3), init.Fans(-1, 3), init.Fans(3, math.nan)):
        with pytest.raises(init.CannotFill, match="above 0"):
            init.fill_(torch.ones(3, 3), init.he_normal(), name="w", fans=fans)


def test_a_name_must_be_a_text():
    with pytest.raises(init.CannotFill, match="text"):
        init.fill_(torch.ones(3), init.zeros(), name=3)


def test_a_name_used_twice():
    a, b = torch.ones(3, 3), torch.ones(4, 4)
    with pytest.raises(init.CannotFill, match=r"\(3, 3\) and \(4, 4\)"):
        init.fill_all_([("w", a, init.zeros()), ("w", b, init.zeros())])
    assert a.sum() == 9
    init.fill_all_([("w", a, init.zeros()), ("w", a, init.zeros())])  # a tie, listed twice, is one parameter
    assert a.sum() == 0


def test_all_or_nothing():
    a, b = torch.ones(3, 3), torch.ones(3)
    with pytest.raises(init.CannotFill):
        init.fill_all_([("a", a, init.he_normal()), ("b", b, init.he_normal())])
    assert a.sum() == 9
    init.fill_all_([("a", a, init.he_normal(), init.Fans(50, 1)), ("b", b, init.zeros(), None)], seed=2)
    assert torch.equal(a, init.fill_(torch.empty(3, 3), init.he_normal(), seed=2, name="a", fans=init.Fans(50, 1)))

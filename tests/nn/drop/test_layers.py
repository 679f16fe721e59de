"""What all layers share: the ends of the range, generators, errors; and what only one of them does."""

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gainstage.nn import LayerError
from gainstage.nn.drop import (
    AlphaDropout,
    DropBlock1d,
    DropBlock2d,
    DropBlock3d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    DropPath,
    EmbeddingDropout,
    FeatureAlphaDropout,
    LockedDropout,
    SpatialDropout1d,
    SpatialDropout2d,
    SpatialDropout3d,
    alpha_dropout,
    drop_path,
    dropout,
)

Make = Callable[..., nn.Module]
ENTRIES: dict[str, tuple[Make, tuple[int, ...]]] = {
    "dropout": (Dropout, (4, 6)),
    "alpha": (AlphaDropout, (4, 6)),
    "feature-alpha": (FeatureAlphaDropout, (4, 6, 3)),
    "dropout-1d": (Dropout1d, (4, 6, 5)),
    "dropout-2d": (Dropout2d, (4, 6, 5, 5)),
    "dropout-3d": (Dropout3d, (4, 6, 3, 5, 5)),
    "block-coupled": (lambda p, **kw: DropBlock2d(p, 3, True, **kw), (4, 6, 5, 5)),
    "spatial-1d": (SpatialDropout1d, (4, 6, 5)),
    "spatial-2d": (SpatialDropout2d, (4, 6, 5, 5)),
    "spatial-3d": (SpatialDropout3d, (4, 6, 3, 5, 5)),
    "block-1d": (lambda p, **kw: DropBlock1d(p, 3, **kw), (4, 6, 5)),
    "block-2d": (lambda p, **kw: DropBlock2d(p, 3, **kw), (4, 6, 5, 5)),
    "block-3d": (lambda p, **kw: DropBlock3d(p, 3, **kw), (4, 6, 3, 5, 5)),
    "path-row": (DropPath, (16, 6)),
    "path-batch": (lambda p, **kw: DropPath(p, "batch", **kw), (4, 6)),
    "locked": (LockedDropout, (7, 4, 6)),
}
entries = pytest.mark.parametrize(("make", "shape"), ENTRIES.values(), ids=ENTRIES)
UNBIASED = {name: entry for name, entry in ENTRIES.items() if "alpha" not in name}
unbiased = pytest.mark.parametrize(("make", "shape"), UNBIASED.values(), ids=UNBIASED)


@entries
@pytest.mark.parametrize("generator", [None, 0])
def test_rate_0_is_the_input_itself(make: Make, shape: tuple[int, ...], generator: int | None) -> None:
    x = torch.randn(shape)
    assert make(0.0, generator=generator and torch.Generator())(x) is x
    assert make(0.7).eval()(x) is x


@entries
@pytest.mark.parametrize("seed", [None, 0])
def test_rate_1_gives_zeros_and_zero_gradients_also_for_infinite_entries(
    make: Make, shape: tuple[int, ...], seed: int | None
) -> None:
    x = torch.randn(shape)
    x.view(-1)[:3] = torch.tensor([math.inf, -math.inf, math.nan])
    x.requires_grad_()
    y = make(1.0, generator=None if seed is None else torch.Generator().manual_seed(seed))(x)
    assert torch.equal(y, torch.zeros(shape))
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros(shape))


@entries
def test_a_generator_alone_decides_and_the_global_state_is_left_alone(make: Make, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)

    def drawn(seed: int) -> list[Tensor]:
        layer = make(0.5, generator=torch.Generator().manual_seed(seed))
        return [layer(x) for _ in range(8)]

    first = drawn(1)
    torch.manual_seed(77)
    state = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(drawn(1), first, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert any(not torch.equal(a, b) for a, b in zip(drawn(2), first, strict=True))


@entries
def test_without_a_generator_torchs_seed_decides(make: Make, shape: tuple[int, ...]) -> None:
    x, layer = torch.randn(shape), make(0.5)

    def drawn(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return [layer(x) for _ in range(8)]

    assert all(torch.equal(a, b) for a, b in zip(drawn(1), drawn(1), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(drawn(1), drawn(2), strict=True))


@entries
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_goes_on_from_the_same_state_with_a_generator_of_its_own(
    make: Make, shape: tuple[int, ...], duplicate: Callable[[nn.Module], nn.Module]
) -> None:
    x, layer = torch.randn(shape), make(0.5, generator=torch.Generator().manual_seed(5))
    layer(x)
    twin = duplicate(layer)
    mine = [layer(x) for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(mine, [twin(x) for _ in range(4)], strict=True))


@entries
@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan, "0.5", None])
def test_a_rate_outside_0_to_1_is_refused_when_made_and_when_set(make: Make, shape: tuple[int, ...], p: object) -> None:
    with pytest.raises(LayerError, match="expected the probability of dropping"):
        make(p)
    layer = make(0.5)
    layer.p = p
    with pytest.raises(LayerError, match="from 0 to 1"):
        layer(torch.randn(shape))


def test_percent_are_recognized() -> None:
    with pytest.raises(LayerError, match=r"write p=0\.3\."):
        Dropout(30)


def test_a_generator_on_another_device_is_refused_with_what_to_write() -> None:
    with pytest.raises(LayerError, match=r"Generator\(device='meta'\)"):
        dropout(torch.ones(3, device="meta"), generator=torch.Generator())


@unbiased
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_round_the_factor(make: Make, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.full(shape, 1.8, dtype=dtype)
    y = make(0.1, generator=torch.Generator().manual_seed(0))(x)
    assert y.dtype == dtype
    assert torch.equal(y[y != 0].unique(), (x.double() / 0.9).to(dtype).unique())


@entries
def test_members_of_a_vmapped_ensemble_draw_their_own_masks(make: Make, shape: tuple[int, ...]) -> None:
    layer = make(0.5)
    torch.manual_seed(0)
    ys = vmap(layer, randomness="different")(torch.ones(8, *shape))
    assert len({tuple(y.flatten().tolist()) for y in ys}) > 1
    x = torch.ones(shape)  # the same for all members
    ys = vmap(lambda _: layer(x), randomness="different")(torch.zeros(8))
    assert len({tuple(y.flatten().tolist()) for y in ys}) > 1


@unbiased
def test_the_expectation_is_the_input(make: Make, shape: tuple[int, ...]) -> None:
    layer = make(0.25, generator=torch.Generator().manual_seed(0))
    mean = torch.stack([layer(torch.ones(shape)) for _ in range(1000)]).mean(0)
    # each entry: 1000 draws of 0 or 4/3, standard error 0.0183; 0.15 is 8.2 of them, at most 1800 entries: < 1e-11
    assert (mean - 1).abs().max() < 0.15


@unbiased
def test_what_is_dropped_does_not_overflow_first(make: Make, shape: tuple[int, ...]) -> None:
    y = make(0.5, generator=torch.Generator().manual_seed(0))(torch.full(shape, 6e4, dtype=torch.float16))
    assert not y.isnan().any()


def test_dropout_without_a_generator_is_torchs() -> None:
    x = torch.randn(50, 50)
    torch.manual_seed(0)
    mine = dropout(x, 0.3)
    torch.manual_seed(0)
    assert torch.equal(mine, nn.functional.dropout(x, 0.3))


def test_alpha_dropout_maps_values_as_torch_does() -> None:
    x = torch.zeros(10_000, dtype=torch.float64)
    mine, theirs = alpha_dropout(x, 0.3).unique(), nn.functional.alpha_dropout(x, 0.3, True).unique()
    torch.testing.assert_close(mine, theirs)


def test_drop_path_at_rate_1_leaves_the_residual_stream() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    y = x + drop_path(x * 5, 1.0)
    assert torch.equal(y, x)


def test_a_mode_that_is_none_names_the_two_there_are() -> None:
    with pytest.raises(LayerError, match=r"'row'.*'batch'"):
        DropPath(0.1, "rows")
    with pytest.raises(LayerError, match="without dimensions"):
        drop_path(torch.tensor(1.0), 0.5)


@pytest.mark.parametrize("layer", [SpatialDropout2d(0.5), DropBlock2d(0.5, 3)])
def test_a_layout_that_does_not_fit_is_refused_in_training_and_in_evaluation(layer: nn.Module) -> None:
    for training in (True, False):
        with pytest.raises(LayerError, match=r"\(3, 4\).*\[n, channels, height, width\]"):
            layer.train(training)(torch.ones(3, 4))


@pytest.mark.parametrize("block", [0, (3,), (3, 0), 2.0])
def test_a_block_without_extent_is_refused(block: object) -> None:
    with pytest.raises((LayerError, TypeError)):
        DropBlock2d(0.5, block)


def test_a_packed_sequence_has_one_mask_a_sample() -> None:
    x = torch.ones(5, 3, 200)
    packed = pack_padded_sequence(x, torch.tensor([2, 5, 3]), enforce_sorted=False)
    layer = LockedDropout(0.5, generator=torch.Generator().manual_seed(0))
    y, lengths = pad_packed_sequence(layer(packed))
    assert lengths.tolist() == [2, 5, 3]
    masks = [y[:length, n] for n, length in enumerate(lengths)]
    for mask in masks:
        assert bool((mask == mask[:1]).all())
        assert 50 < int((mask[0] == 0).sum()) < 150  # Binomial(200, 0.5) beyond it: 1e-12; the seed is fixed
    assert len({tuple(mask[0].tolist()) for mask in masks}) == 3
    assert layer.eval()(packed) is packed


def test_embedding_dropout_leaves_padding_sparsity_and_the_tie_alone() -> None:
    embedding = nn.Embedding(50, 4, padding_idx=0, sparse=True)
    words = EmbeddingDropout(embedding, 0.5, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(50)
    y = words(ids)
    assert torch.equal(y[0], torch.zeros(4))
    y.sum().backward()
    assert embedding.weight.grad.is_sparse
    dropped = (y[1:] == 0).all(1)
    grad = embedding.weight.grad.to_dense()[1:]
    assert torch.equal(grad, torch.where(dropped, 0.0, 2.0)[:, None].expand(-1, 4))
    assert words.embedding.weight is embedding.weight
    assert torch.equal(words.eval()(ids), embedding(ids))

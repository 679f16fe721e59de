"""mixup and cutmix: the share of the labels is the share of the samples, whatever is mixed."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from gainstage.train import Mixed, Mixer, TrainError, cutmix, fit, mixed_accuracy, mixed_loss, mixup
from gainstage.train._mixing import partners, symmetric_beta

pers = st.sampled_from(["batch", "pair", "element"])
sizes = st.integers(2, 9)
seeds = st.integers(0, 2**32)
shapes = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)  # vectors, sequences, images, volumes
some = settings(max_examples=60, deadline=None)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share(lam: Tensor, like: Tensor) -> Tensor:
    return lam.double().view(-1, *[1] * (like.dim() - 1))


# ------------------------------------------------------------------------------------------------------ the draws


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_shares_are_beta_distributed(alpha: float) -> None:
    lam = symmetric_beta(alpha, (20_000,), seeded(1))
    assert ((lam >= 0) & (lam <= 1)).all()
    at = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    empirical = torch.searchsorted(lam.sort().values, at, right=True).double() / 20_000
    exact = torch.from_numpy(beta(alpha, alpha).cdf(at.numpy()))
    assert (empirical - exact).abs().max() < 0.022  # Dvoretzky-Kiefer-Wolfowitz: fails with 2 exp(-2 n 0.022^2) < 1e-8


def test_extreme_alphas_are_numbers() -> None:
    for alpha in (1e-6, 1e6):
        lam = symmetric_beta(alpha, (1000,), seeded(0))
        assert lam.isfinite().all()
        assert float((lam - 0.5).abs().mean()) == pytest.approx(0.5 if alpha < 1 else 0, abs=1e-2)
    with pytest.raises(TrainError, match="above 0"):
        symmetric_beta(0.0, (1,), None)


@some
@given(sizes, pers, seeds)
def test_nobody_is_mixed_with_itself_and_pairs_share_a_draw(n: int, per: str, seed: int) -> None:
    partner, draw = partners(n, per, seeded(seed))
    assert (partner != torch.arange(n)).all()
    back = partner[partner] == torch.arange(n)
    if per == "pair":
        assert int((~back).sum()) == n % 2
        assert (draw[back] == draw[partner[back]]).all()
        assert len(draw.unique()) == (n + 1) // 2
    else:
        assert sorted(partner.tolist()) == list(range(n))
        assert len(draw.unique()) == (1 if per == "batch" else n)


# ------------------------------------------------------------------------------------------------- mixup and cutmix


@some
@given(sizes, shapes, pers, seeds, st.floats(0.05, 10))
def test_mixup_is_the_convex_combination_that_it_says(n: int, shape: Any, per: str, seed: int, alpha: float) -> None:
    x = torch.randn(n, *shape, generator=seeded(seed), dtype=torch.float64)
    before = x.clone()
    mixed, (y_a, y_b, lam) = mixup(x, torch.arange(n), alpha, per=per, generator=seeded(seed))
    assert lam.shape == (() if per == "batch" else (n,))
    assert ((lam >= 0) & (lam <= 1)).all()
    assert torch.equal(y_a, torch.arange(n))
    torch.testing.assert_close(mixed, share(lam, x) * x[y_a] + (1 - share(lam, x)) * x[y_b])
    assert torch.equal(x, before)


@some
@given(sizes, shapes, pers, seeds, st.floats(0.05, 10), st.sampled_from([torch.float32, torch.uint8, torch.bool]))
def test_the_label_share_of_cutmix_is_the_share_of_the_positions(
    n: int, shape: Any, per: str, seed: int, alpha: float, dtype: torch.dtype
) -> None:
    ids = torch.arange(n).view(-1, *[1] * len(shape)).expand(n, *shape)
    x = ids.clone() if dtype != torch.bool else ids % 2 == 0
    x = x.to(dtype)
    before = x.clone()
    mixed, (y_a, y_b, lam) = cutmix(x, torch.arange(n), alpha, per=per, generator=seeded(seed))
    assert mixed.dtype == dtype
    if dtype != torch.bool:
        kept = (mixed == x).flatten(1).double().mean(1)
        torch.testing.assert_close(kept, lam.double().expand(n), rtol=0, atol=1e-7)  # float32's rounding of lam
        assert torch.equal(torch.where(mixed == x, x, x[y_b]), mixed)
    assert torch.equal(y_a, torch.arange(n))
    assert torch.equal(x, before)


def test_the_pasted_part_is_a_box_at_the_asked_size_or_cut_off_at_the_border() -> None:
    x = torch.zeros(2, 1, 20, 30)
    x[1] = 1
    clipped = 0
    for seed in range(60):
        _, (_, _, lam) = mixed, target = cutmix(x, None, generator=seeded(seed))
        assert target.y_a is None
        pasted = mixed[0, 0] == 1
        rows, columns = pasted.any(1), pasted.any(0)
        assert torch.equal(pasted, rows[:, None] & columns[None])
        for edge in (rows, columns):
            at = edge.nonzero().flatten()
            assert len(at) == 0 or int(at[-1] - at[0]) + 1 == len(at)
        clipped += bool(pasted[0].any() or pasted[-1].any() or pasted[:, 0].any() or pasted[:, -1].any())
        assert float(lam) == pytest.approx(1 - float(pasted.double().mean()), abs=1e-7)
    assert 10 < clipped < 60


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize("per", ["batch", "pair", "element"])
def test_a_generator_alone_decides_and_the_global_state_is_left_alone(mix: Callable[..., Any], per: str) -> None:
    x, y = torch.randn(7, 2, 9), torch.arange(7)
    first, (_, y_b, lam) = mix(x, y, per=per, generator=seeded(3))
    torch.manual_seed(4)
    state = torch.get_rng_state()
    again, (_, again_b, again_lam) = mix(x, y, per=per, generator=seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert torch.equal(y_b, again_b)
    assert torch.equal(lam, again_lam)
    torch.manual_seed(5)
    one = mix(x, y, per=per)
    torch.manual_seed(5)
    assert torch.equal(one[0], mix(x, y, per=per)[0])
    torch.manual_seed(6)
    assert not torch.equal(one[1].lam, mix(x, y, per=per)[1].lam)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_once(dtype: torch.dtype) -> None:
    x = torch.randn(2, 500, generator=seeded(1)).to(dtype)
    for per in ("batch", "element"):
        mixed, (_, _, lam) = mixup(x, None, per=per, generator=seeded(7))
        assert mixed.dtype == dtype
        exact = share(lam, x) * x.double() + (1 - share(lam, x)) * x.double().flip(0)
        assert ((mixed.double() - exact).abs() <= exact.abs() * torch.finfo(dtype).eps * 0.501 + 1e-7).all()


def test_boxes_lie_anywhere_alike() -> None:
    x = torch.arange(4000)[:, None].expand(4000, 501)
    mixed, _ = cutmix(x, None, per="element", generator=seeded(0))
    pasted = (mixed != x).double()
    first, last, middle = (float(pasted[:, at].mean()) for at in (0, -1, 250))
    # Rates of about 0.25 at the ends, standard error of the difference 0.01; of 0.45 in the middle: bounds at 7 of it
    assert abs(first - last) < 0.07
    assert middle > first + 0.07


def test_batches_of_several_tensors_are_mixed_alike() -> None:
    x = {"a": torch.randn(5, 3), "more": (torch.randn(5, 2, 4), "a name", None)}
    y = {"class": torch.arange(5), "box": torch.randn(5, 4)}
    mixed, (y_a, y_b, lam) = mixup(x, y, per="element", generator=seeded(0))
    assert y_a is y
    index = y_b["class"]
    assert torch.equal(y_b["box"], y["box"][index])
    torch.testing.assert_close(mixed["a"], lam[:, None] * x["a"] + (1 - lam)[:, None] * x["a"][index])
    inner = lam[:, None, None] * x["more"][0] + (1 - lam)[:, None, None] * x["more"][0][index]
    torch.testing.assert_close(mixed["more"][0], inner)
    assert mixed["more"][1:] == ("a name", None)


def test_an_image_and_its_map_are_cut_alike() -> None:
    ids = torch.arange(4)
    x = {"image": ids.view(4, 1, 1, 1).expand(4, 3, 6, 8).float(), "map": ids.view(4, 1, 1).expand(4, 6, 8)}
    mixed, _ = cutmix(x, None, per="element", dims=(-2, -1), generator=seeded(1))
    assert torch.equal(mixed["image"][:, 0], mixed["map"].float())
    assert torch.equal(mixed["image"][:, 0], mixed["image"][:, 2])
    with pytest.raises(TrainError, match="one box must fit"):
        cutmix(x, None)


def test_tokens_are_cut_along_their_length() -> None:
    x = torch.arange(3).view(3, 1, 1).expand(3, 10, 4)
    mixed, (_, _, lam) = cutmix(x, None, dims=(1,), generator=seeded(2))
    assert (mixed == mixed[:, :, :1]).all()
    torch.testing.assert_close((mixed == x)[:, :, 0].float().mean(1), lam.expand(3))


def test_gradients_flow_to_both_samples_at_their_share() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    mixed, (_, _, lam) = mixup(x, None, generator=seeded(0))
    mixed[0].sum().backward()
    torch.testing.assert_close(x.grad, torch.stack([lam, 1 - lam])[:, None].expand(2, 3))


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_others_are_mixed_in_instead(mix: Callable[..., Any]) -> None:
    one, other = torch.zeros(1, 1, 40), torch.ones(1, 1, 40)
    mixed, (y_a, y_b, lam) = mix(one, torch.tensor([3]), others=(other, torch.tensor([8])), generator=seeded(0))
    assert float(mixed.mean()) == pytest.approx(1 - float(lam), abs=1e-6)
    assert (y_a.item(), y_b.item()) == (3, 8)
    with pytest.raises(TrainError, match="others differs"):
        mix(one, torch.tensor([3]), others=(other[..., :5], torch.tensor([8])))


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize(
    ("x", "y", "options", "says"),
    [
        (torch.ones(1, 3), torch.ones(1), {}, "batch of 1 has no other sample.*use Mixer"),
        (torch.ones(0, 3), torch.ones(0), {}, "batch of 0"),
        (torch.ones(3, 3), torch.ones(2), {}, "differ in their first dimension.*x 3, y 2"),
        ({"a": torch.ones(3, 3), "b": torch.ones(())}, None, {}, r"\['b'\] None"),
        ("text", None, {}, "holds no tensor"),
        (torch.ones(3, 3), None, {"per": "elem"}, "'batch', 'pair' or 'element'"),
        (torch.ones(3, 3), None, {"alpha": -1.0}, "above 0"),
    ],
)
def test_what_cannot_be_mixed_says_why(mix: Callable[..., Any], x: Any, y: Any, options: Any, says: str) -> None:
    with pytest.raises(TrainError, match=says):
        mix(x, y, **options)


def test_integers_are_not_averaged() -> None:
    with pytest.raises(TrainError, match=r"x\['ids'\] is torch.int64.*use cutmix"):
        mixup({"ids": torch.ones(3, 4, dtype=torch.long)}, None)


@pytest.mark.parametrize("dims", [(0, 1), (5,), (), (1, 1)])
def test_dimensions_that_cannot_be_cut_are_refused(dims: tuple[int, ...]) -> None:
    with pytest.raises(TrainError, match="does not fit"):
        cutmix(torch.ones(3, 2, 4), None, dims=dims)


# -------------------------------------------------------------------------------------------------------- targets


@some
@given(sizes, st.floats(0, 1), st.floats(0, 1), seeds)
def test_soft_classes_sum_to_one_and_carry_the_share(n: int, lam: float, smoothing: float, seed: int) -> None:
    a, b = torch.randint(5, (2, n), generator=seeded(seed))
    soft = Mixed(a, b, torch.tensor(lam)).soft(5, smoothing=smoothing)
    torch.testing.assert_close(soft.sum(1), torch.ones(n))
    expected = torch.zeros(n, 5)
    for i in range(n):
        expected[i] += smoothing / 5
        expected[i, a[i]] += (1 - smoothing) * lam
        expected[i, b[i]] += (1 - smoothing) * (1 - lam)
    torch.testing.assert_close(soft, expected)


def test_other_targets_are_mixed_as_they_are() -> None:
    lam = torch.tensor([0.25, 1.0])
    labels = Mixed(torch.tensor([[1, 0, 1], [0, 0, 1]]), torch.tensor([[1, 1, 0], [1, 1, 1]]), lam)
    assert labels.soft(3).tolist() == [[1, 0.75, 0.25], [0, 0, 1]]
    assert Mixed(labels.y_a.bool(), labels.y_b.bool(), lam).soft().tolist() == labels.soft(3).tolist()
    values = Mixed(torch.tensor([2.0, 3.0]), torch.tensor([6.0, 7.0]), lam)
    assert values.soft().tolist() == [5.0, 3.0]


@pytest.mark.parametrize(
    ("y", "arguments", "says"),
    [
        (torch.tensor([0, 1]), {}, r"soft\(num_classes\)"),
        (torch.tensor([0, 3]), {"num_classes": 3}, "from 0 to 3, and num_classes is 3"),
        (torch.tensor([0, -1]), {"num_classes": 3}, "from -1"),
        (torch.zeros(2, 3), {"smoothing": 0.1}, "smoothing is for classes"),
        (torch.zeros(2, 4, dtype=torch.long), {"num_classes": 3}, "indicators"),
        ({"a": 1}, {}, "targets are a dict"),
    ],
)
def test_targets_that_cannot_be_soft_say_why(y: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainError, match=says):
        Mixed(y, y, torch.tensor(0.5)).soft(**arguments)


@pytest.mark.parametrize("per", ["batch", "element"])
def test_the_mixed_loss_of_classes_is_that_of_the_soft_target(per: str) -> None:
    x, target = mixup(torch.randn(6, 4), torch.arange(6) % 4, per=per, generator=seeded(0))
    loss = partial(cross_entropy, reduction="none") if per == "element" else cross_entropy
    torch.testing.assert_close(mixed_loss(loss)(x, target), cross_entropy(x, target.soft(4)))


def test_the_mixed_squared_error_has_the_gradient_of_the_soft_target() -> None:
    output = torch.randn(6, requires_grad=True)
    _, target = mixup(torch.randn(6, 4), torch.randn(6), generator=seeded(0))
    (one,) = torch.autograd.grad(mixed_loss(mse_loss)(output, target), output)
    (other,) = torch.autograd.grad(mse_loss(output, target.soft()), output)
    torch.testing.assert_close(one, other)


def test_a_loss_that_was_averaged_cannot_be_weighed_by_sample() -> None:
    target = Mixed(torch.arange(3), torch.arange(3), torch.ones(3))
    with pytest.raises(TrainError, match='reduction="none"'):
        mixed_loss(cross_entropy)(torch.randn(3, 4), target)


def test_mixed_accuracy_counts_shares() -> None:
    scores = torch.tensor([[9.0, 0], [9, 0], [0, 9], [float("nan"), 9]])  # the last would be 0
    target = Mixed(torch.tensor([0, 1, 1, 0]), torch.tensor([1, 0, 1, 0]), torch.tensor([0.5, 0.25, 0.5, 0.5]))
    assert mixed_accuracy(scores, target) == pytest.approx((0.5 + 0.75 + 1 + 0) / 4)
    hot = Mixed(nn.functional.one_hot(target.y_a).float(), nn.functional.one_hot(target.y_b).float(), target.lam)
    assert mixed_accuracy(scores, hot) == pytest.approx(mixed_accuracy(scores, target))
    with pytest.raises(TrainError, match="expected classes"):
        mixed_accuracy(scores, Mixed(torch.ones(3), torch.ones(3), torch.ones(())))


# ---------------------------------------------------------------------------------------------------------- Mixer


def test_the_mixer_takes_turns_and_mixes_at_the_asked_rates() -> None:
    mixer = Mixer(mixup=1.0, cutmix=1.0, p=0.8, switch=0.25, generator=seeded(0))
    x = torch.zeros(2, 1, 64)
    x[1] = 1
    counts = {"none": 0, "cutmix": 0, "mixup": 0}
    for _ in range(2000):
        mixed, target = mixer(x, torch.arange(2))
        values = len(mixed[0].unique())
        if mixed is x:
            assert target.lam == 1
            assert target.y_b is target.y_a
            counts["none"] += 1
        else:
            counts["cutmix" if values == 2 or float(mixed[0, 0, 0]) in (0, 1) else "mixup"] += 1
    # 2000 draws at rates 0.2, 0.2, 0.6: standard deviations 18, 18, 22; the bounds are at 6.6 of them, < 1e-10
    assert abs(counts["none"] - 400) < 120
    assert abs(counts["cutmix"] - 400) < 120
    assert abs(counts["mixup"] - 1200) < 146


def test_nothing_is_mixed_from_the_stop_epoch_on() -> None:
    mixer = Mixer(mixup=1.0, stop_epoch=2, per="element", generator=seeded(0))
    x, y = torch.randn(3, 2), torch.arange(3)
    for epoch, on in ((0, True), (1, True), (2, False), (3, False), (1, True)):
        mixer.set_epoch(epoch)
        mixed, target = mixer(x, y)
        assert mixer.on == on
        assert (mixed is x) == (not on)
        assert target.lam.shape == (3,)
        assert bool((target.lam == 1).all()) == (not on)


def test_a_batch_of_one_is_mixed_with_the_batch_before() -> None:
    mixer = Mixer(mixup=1.0, generator=seeded(0))
    ones, two = torch.ones(1, 5), torch.full((3, 5), 2.0)
    first, target = mixer(ones, torch.tensor([1]))
    assert first is ones
    assert target.lam == 1
    mixer(two, torch.tensor([5, 6, 7]))
    mixed, (y_a, y_b, lam) = mixer(ones, torch.tensor([1]))
    torch.testing.assert_close(mixed, (lam + (1 - lam) * 2).expand(1, 5))
    assert (y_a.item(), y_b.item()) == (1, 7)
    assert 0 < float(lam) < 1
    assert mixer(torch.ones(1, 4), torch.tensor([1]))[1].lam == 1  # another shape cannot be mixed with it


def test_an_empty_batch_passes() -> None:
    x = torch.ones(0, 3)
    assert Mixer(cutmix=1.0)(x, torch.ones(0))[0] is x


def test_a_saved_mixer_goes_on_as_if_it_had_not_stopped() -> None:
    x, y, one = torch.randn(4, 2, 8), torch.arange(4), torch.randn(1, 2, 8)
    mixer = Mixer(mixup=0.4, cutmix=1.0, generator=seeded(1))
    mixer(x, y)
    state = copy.deepcopy(mixer.state_dict())
    resumed = Mixer(mixup=0.4, cutmix=1.0, generator=seeded(99))
    resumed.load_state_dict(state)
    for batch, target in ((one, y[:1]), (x, y), (x, y)):
        mine, theirs = mixer(batch, target), resumed(batch, target)
        assert torch.equal(mine[0], theirs[0])
        assert torch.equal(mine[1].lam, theirs[1].lam)
    with pytest.raises(TrainError, match="with one for a generator"):
        Mixer(mixup=0.4).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "at least one alpha"),
        ({"mixup": -1}, "at least one alpha"),
        ({"mixup": 1, "p": 1.5}, r"p is 1\.5"),
        ({"cutmix": 1, "switch": -1}, "switch is -1"),
    ],
)
def test_a_mixer_that_cannot_mix_is_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(TrainError, match=says):
        Mixer(**options)


def test_it_trains_with_fit() -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 5)
    y = (x[:, 0] > 0).long()
    model = nn.Linear(5, 2)
    mixer = Mixer(mixup=0.2, generator=seeded(0))
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    run = fit(model, (mixer(x, y) for _ in range(40)), loss=mixed_loss(cross_entropy), optimizer=sgd)
    assert run.losses[-1] < run.losses[0]
    assert float((model(x).argmax(1) == y).float().mean()) > 0.9

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gainstage.nn import LayerError
from gainstage.nn.drop import DropBlock2d, DropPath, RateScheduler, depth_rates, linear_schedule

unit = st.floats(0, 1)


@given(unit, unit, st.integers(1, 1000), st.integers(0, 100), st.integers(0, 2000))
def test_a_line_keeps_within_its_ends_and_reaches_them(a: float, b: float, steps: int, wait: int, t: int) -> None:
    line = linear_schedule(a, b, steps, wait=wait)
    assert line(0) == line(wait) == a
    assert line(wait + steps) == line(wait + steps + t) == b
    assert min(a, b) - 1e-12 <= line(t) <= max(a, b) + 1e-12
    assert (line(t + 1) - line(t)) * (b - a) >= -1e-12


@given(unit, st.integers(1, 200))
def test_depth_rates_rise_evenly_to_the_last(p: float, depth: int) -> None:
    rates = depth_rates(p, depth)
    assert len(rates) == depth
    assert rates[-1] == pytest.approx(p)
    assert rates[0] == pytest.approx(p / depth)
    assert all(0 <= r <= 1 for r in rates)


def model() -> nn.Sequential:
    return nn.Sequential(*[DropPath(p) for p in depth_rates(0.4, 4)], DropBlock2d(0.2, 3), nn.Dropout(0.1), nn.ReLU())


def rates(layers: nn.Sequential) -> list[float]:
    return [layer.p for layer in layers if hasattr(layer, "p")]


def test_every_layer_keeps_its_share_of_the_schedule() -> None:
    layers = model()
    base = rates(layers)
    scheduler = RateScheduler(layers, linear_schedule(0, 1, 10))
    assert rates(layers) == [0] * 6
    for step in range(1, 13):
        scheduler.step()
        assert rates(layers) == pytest.approx([p * min(1, step / 10) for p in base])


def test_only_the_layers_that_are_given_change() -> None:
    layers = model()
    RateScheduler([layers[4]], lambda _: 0.5)
    assert rates(layers) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.1, 0.1])


def test_a_saved_scheduler_goes_on_where_it_was() -> None:
    layers, resumed = model(), model()
    scheduler = RateScheduler(layers, linear_schedule(0, 1, 10))
    for _ in range(4):
        scheduler.step()
    other = RateScheduler(resumed, linear_schedule(0, 1, 10))
    other.load_state_dict(scheduler.state_dict())
    assert rates(resumed) == rates(layers)
    scheduler.step(), other.step()
    assert rates(resumed) == rates(layers)
    with pytest.raises(LayerError, match="6 rates, and there are 1 layers"):
        RateScheduler([nn.Dropout()], lambda _: 1).load_state_dict(scheduler.state_dict())


def test_a_factor_that_leads_out_of_range_changes_nothing() -> None:
    layers = model()
    scheduler = RateScheduler(layers, lambda step: 1.0 if step == 0 else 4.0)
    before = rates(layers)
    with pytest.raises(LayerError, match=r"the rate of DropPath at step 1 is 1\.2"):
        scheduler.step()
    assert rates(layers) == before
    assert scheduler.state_dict()["step"] == 0


def test_nothing_to_schedule_is_refused() -> None:
    with pytest.raises(LayerError, match="no dropout layer"):
        RateScheduler(nn.Linear(2, 2), lambda _: 1)
    with pytest.raises(LayerError, match="Linear has no rate p"):
        RateScheduler([nn.Linear(2, 2)], lambda _: 1)
    with pytest.raises(LayerError, match="at least 1 step"):
        linear_schedule(0, 1, 0)

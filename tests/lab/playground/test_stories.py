"""Every story on the page says what its run shows: each number in its text is measured here."""

from collections.abc import Callable
from itertools import pairwise
from math import log
from typing import Any

import pytest

Engine = Callable[..., Any]

RUN = """(modules, { title, set, steps }) => {
  const { STORIES } = modules["page/stories.js"];
  const { Training } = modules["engine/training.js"];
  const settings = { ...STORIES.find((story) => story.title === title).settings, ...set };
  const training = new Training(settings);
  const first = training.evaluate("train").loss;
  for (let k = 0; k < steps && training.finite; k++) training.step();
  const looked = training.look();
  const layers = looked.map(({ tensors, ...levels }) => levels);
  const recent = training.losses.slice(-30);
  return {
    first, layers, steps: training.steps, finite: training.finite,
    outputs: looked.map(({ tensors }) => modules["engine/measure.js"].rms(tensors.outputs)),
    weights: looked.map(({ tensors }) => [Math.min(...tensors.weights), Math.max(...tensors.weights)]),
    batch: recent.reduce((sum, loss) => sum + loss / recent.length, 0),
    ...training.evaluate("train"),
    test: training.evaluate("test").accuracy,
  };
}"""


@pytest.fixture
def tell(engine: Engine) -> Callable[..., dict[str, Any]]:
    def run(title: str, steps: int = 0, **changed: Any) -> dict[str, Any]:
        return engine(RUN, {"title": title, "steps": steps, "set": changed})

    return run


Tell = Callable[..., dict[str, Any]]


def column(run: dict[str, Any], name: str) -> list[float]:
    return [layer[name] for layer in run["layers"]]


def test_a_healthy_start(tell: Tell) -> None:
    start, later = tell("A healthy start"), tell("A healthy start", 100)
    assert 0.5 < start["layers"][-1]["signal"] / start["layers"][0]["signal"] < 2
    assert 0.3 < start["layers"][0]["gradient"] / start["layers"][-1]["gradient"] < 3
    assert later["loss"] < 0.1 < 0.6 < start["first"]
    small = tell("A healthy start", 100, law="small_normal")
    assert small["loss"] == pytest.approx(log(2), abs=0.01)


def test_vanishing_tanh(tell: Tell) -> None:
    start, later = tell("Vanishing tanh"), tell("Vanishing tanh", 100)
    factor = (start["layers"][-1]["signal"] / start["layers"][0]["signal"]) ** (1 / 7)
    assert factor == pytest.approx(0.2, rel=0.1)
    assert start["layers"][0]["gradient"] < 1e-4 * start["layers"][-1]["gradient"]
    assert later["loss"] == pytest.approx(log(2), abs=0.002)
    assert tell("Vanishing tanh", 100, scale=1)["loss"] < 0.3


def test_xavier_under_relu(tell: Tell) -> None:
    signal = column(tell("Xavier under ReLU"), "signal")
    assert signal[0] / signal[-1] == pytest.approx(2**14.5, rel=0.5)
    he = column(tell("Xavier under ReLU", law="he_normal"), "signal")
    assert 0.5 < he[-1] / he[0] < 2


def test_he_at_depth_30(tell: Tell) -> None:
    assert tell("He at depth 30", 100)["accuracy"] > 0.9
    ends = {}
    for width in (8, 64):
        runs = [column(tell("He at depth 30", seed=seed, width=width), "signal") for seed in range(4)]
        ends[width] = max(s[-1] / s[0] for s in runs) / min(s[-1] / s[0] for s in runs)
    assert ends[8] > 2 * ends[64]


def test_dead_relu(tell: Tell) -> None:
    run = tell("Dead ReLU", 50)
    assert run["layers"][5]["dead"] == 1
    assert column(run, "gradient") == [0] * 6
    assert run["finite"]
    assert tell("Dead ReLU", 200, rate=0.1)["accuracy"] > 0.95
    assert max(column(tell("Dead ReLU", 50, activation="leaky_relu"), "dead")) == 0


def test_sigmoid_and_depth(tell: Tell) -> None:
    gradient = column(tell("Sigmoid and depth"), "gradient")
    assert (gradient[0] / gradient[-1]) ** (1 / 7) == pytest.approx(0.25, abs=0.03)
    update = column(tell("Sigmoid and depth", 20), "update")
    assert update[0] < 1e-4 * update[-1]
    tanh = column(tell("Sigmoid and depth", activation="tanh"), "gradient")
    assert tanh[0] > 0.05 * tanh[-1]


def test_residual_without_and_with_scaling(tell: Tell) -> None:
    grown = tell("Residual without scaling")
    signal = column(grown, "signal")
    assert signal[-1] / signal[0] == pytest.approx(2**14.5, rel=0.5)
    assert grown["first"] > 1000
    kept = tell("Residual, scaled")
    signal, gradient = column(kept, "signal"), column(kept, "gradient")
    assert max(signal) / min(signal) < 3
    assert max(gradient) / min(gradient) < 3
    assert tell("Residual, scaled", 120)["accuracy"] > 0.9
    assert tell("Residual, scaled", 0, depth=40)["layers"][-1]["signal"] < 3 * signal[0]


def test_batch_norm_to_the_rescue(tell: Tell) -> None:
    start = tell("Batch norm to the rescue")
    assert max(start["outputs"]) < 1.1 * min(start["outputs"])
    assert tell("Batch norm to the rescue", 400)["accuracy"] > 0.9
    assert tell("Batch norm to the rescue", 400, norm="none")["accuracy"] < 0.6
    large = tell("Batch norm to the rescue", scale=3)
    assert large["outputs"] == pytest.approx(start["outputs"], rel=0.05)
    assert column(large, "update")[4] < 0.1 * column(start, "update")[4]


def test_equal_weights(tell: Tell) -> None:
    run = tell("Equal weights", 300)
    for low, high in run["weights"][1:]:
        assert low == high  # every hidden weight is one number, to the last bit
    assert 0.55 < run["accuracy"] < 0.75
    assert tell("Equal weights", 300, law="he_normal")["accuracy"] > 0.95


def test_orthogonal_at_depth_40(tell: Tell) -> None:
    def scatter(**changed: Any) -> float:
        gradient = column(tell("Orthogonal at depth 40", **changed), "gradient")
        steps = [log(b / a) for a, b in pairwise(gradient)]
        mean = sum(steps) / len(steps)
        return sum((step - mean) ** 2 for step in steps) ** 0.5

    assert 10 < scatter(law="lecun_normal") / scatter() < 40


def test_dropout_shifts(tell: Tell) -> None:
    run = tell("Dropout shifts", 300)
    used = column(run, "used")
    assert used[0] == pytest.approx(1, abs=0.01)
    assert used[1] < 0.9
    assert run["loss"] > 1.7 * run["batch"]
    run = tell("Dropout shifts", 300, dropout=0)
    assert run["loss"] < 0.5 * run["batch"]


def test_every_story_is_told_here(engine: Engine) -> None:
    titles = engine('(modules) => modules["page/stories.js"].STORIES.map((story) => story.title)')
    assert len(set(titles)) == len(titles) == 12


@pytest.mark.parametrize("data", ["circles", "xor", "spirals", "gaussians", "digits"])
def test_every_data_set_is_standardized_and_can_be_learned(engine: Engine, data: str) -> None:
    code = """(modules, data) => {
      const { Training } = modules["engine/training.js"];
      const { STORIES } = modules["page/stories.js"];
      const set = { data, width: 32, optimizer: "adam", rate: 0.01 };
      const training = new Training({ ...STORIES[0].settings, ...set });
      const { x, labels } = training.data.train;
      const level = modules["engine/measure.js"].rms(x);
      for (let k = 0; k < 300; k++) training.step();
      const { accuracy } = training.evaluate("test");
      return { level, mean: x.reduce((a, b) => a + b, 0) / x.length, accuracy, labels: Array.from(labels) };
    }"""
    found = engine(code, data)
    assert found["level"] == pytest.approx(1)
    assert found["mean"] == pytest.approx(0, abs=1e-9)
    assert found["accuracy"] > (0.7 if data == "digits" else 0.85)
    counts = [found["labels"].count(label) for label in set(found["labels"])]
    assert max(counts) < 1.2 * min(counts)


def test_the_digits_are_those_of_scikit_learn(engine: Engine) -> None:
    from sklearn.datasets import load_digits

    code = """(modules) => {
      const { train, test } = modules["engine/data.js"].load("digits", { seed: 0 });
      return { x: [...train.x, ...test.x], labels: [...train.labels, ...test.labels] };
    }"""
    found = engine(code)
    pixels, labels = load_digits(return_X_y=True)
    mean, spread = pixels[:480].mean(), pixels[:480].std()
    assert found["labels"] == labels[:600].tolist()
    assert found["x"] == pytest.approx(((pixels[:600] - mean) / spread).ravel().tolist())

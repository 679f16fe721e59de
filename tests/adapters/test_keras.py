"""Keras programs on the torch backend: the healthy ones pass, of the faulty ones the cause is named first."""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras_programs as programs
import numpy as np
import pytest
import torch

import gainstage as gs
from gainstage.adapters.keras import subject
from gainstage.check._engine import FAILED
from gainstage.errors import ForwardError

keras = pytest.importorskip("keras", minversion="3.10", reason="keras is not installed: pip install 'gainstage[test]'")
if keras.backend.backend() != "torch":
    pytest.skip(f"KERAS_BACKEND is {keras.backend.backend()!r}, these tests need 'torch'", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras", "ignore:You are using a softmax over axis")


def checked(program: programs.Keras, seed: int) -> gs.Report:
    keras.utils.set_random_seed(seed)
    s = subject(*program.build())
    given = {"target": s.target, "loss": s.loss, "optimizer": s.optimizer, "train_step": s.train_step}
    report = gs.check(s.model, s.example, **given)
    assert not [n for n in report.not_judged if FAILED in n.why]
    return report


@pytest.mark.parametrize("name", programs.HEALTHY)
def test_a_healthy_program_is_passed(name: str) -> None:
    for seed in range(3):
        report = checked(programs.HEALTHY[name], seed)
        assert report.ok, str(report)


@pytest.mark.parametrize("name", programs.FAULTY)
def test_the_cause_is_named_first(name: str) -> None:
    program = programs.FAULTY[name]
    for seed in range(2):
        report = checked(program, seed)
        severities = (program.severity,) if program.severity else ("error", "warning")
        assert report.findings, program.code
        assert report.findings[0].code == program.code, str(report)
        assert report.findings[0].severity in severities, str(report)


def test_labels_that_are_no_probabilities_are_refused_with_the_place() -> None:
    x, y = programs.real("breast_cancer")
    model = programs.sequential((30,), programs.dense(1, "sigmoid"))
    s = subject(*programs.compiled(model, "adam", "binary_crossentropy", x, 255.0 * y))
    with pytest.raises(ForwardError, match="the loss raised at binary_cross_entropy"):
        gs.check(s.model, s.example, target=s.target, loss=s.loss)


def everything(model: object) -> list[np.ndarray]:
    metrics = [v for metric in model.metrics for v in metric.variables]
    return [v.numpy().copy() for v in (*model.variables, *model.optimizer.variables, *metrics)]


@pytest.mark.parametrize("name", ["batch_normalization_and_dropout", "padded_reviews", "residual_network"])
def test_the_outputs_the_loss_and_the_steps_are_those_of_keras_and_nothing_is_left_behind(name: str) -> None:
    model, x, y = programs.HEALTHY[name].build()
    s = subject(model, x, y)
    before, attributes = everything(model), [set(vars(layer)) for layer in model._flatten_layers()]
    gs.check(s.model, s.example, target=s.target, loss=s.loss, optimizer=s.optimizer, train_step=s.train_step)
    gs.plan(s.model, s.example)
    assert all(map(np.array_equal, before, everything(model)))
    assert len(before) == len(everything(model))
    assert attributes == [set(vars(layer)) for layer in model._flatten_layers()]
    for training in (False, True):
        torch.manual_seed(0)
        ours = s.model.train(training)(s.example)
        torch.manual_seed(0)
        theirs = model(s.example, training=training)
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-5)
        target = torch.as_tensor(y)
        torch.testing.assert_close(s.loss(ours, target), model.compute_loss(None, target, ours))


def test_the_optimizer_steps_as_keras_does() -> None:
    def build() -> tuple[object, np.ndarray, np.ndarray]:
        keras.utils.set_random_seed(0)
        x, y = programs.real("iris")
        model = programs.sequential((4,), programs.dense(8, "relu"), programs.dense(3, "softmax"))
        return programs.compiled(model, keras.optimizers.Adam(0.01), "categorical_crossentropy", x, programs.one_hot(y))

    model, x, y = build()
    other = build()[0]
    s = subject(model, x, y)
    for _ in range(3):
        s.model.zero_grad()
        s.loss(s.model(s.example), s.target).backward()
        s.optimizer.step()
        other.train_on_batch(x, y)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        torch.testing.assert_close(ours.value, theirs.value, rtol=1e-4, atol=1e-5)


def test_names_are_those_of_the_layers_and_a_plan_fills_the_model() -> None:
    from keras import layers

    into = h = layers.Input((8, 8, 3))
    h = layers.Conv2D(8, 3, use_bias=False, name="stem")(h)
    h = layers.ReLU(name="act")(layers.BatchNormalization(name="norm")(h))
    shared = programs.dense(8, name="shared")
    h = shared(shared(layers.GlobalAveragePooling2D(name="pool")(h)))
    model = keras.Model(into, programs.dense(3, name="head")(layers.LayerNormalization(name="ln")(h)))
    s = subject(model, programs.noise(8, 8, 3))
    assert [p[0] for p in s.model.named_parameters()] == [
        "stem.kernel", "norm.gamma", "norm.beta", "shared.kernel", "shared.bias", "ln.gamma", "ln.beta", "head.kernel",
        "head.bias",
    ]  # fmt: skip
    names = [site.name for site in gs.record(s.model, s.example)]
    assert names[:3] == ["stem/conv2d#0", "norm/batch_norm#0", "act/relu#0"]
    assert {"shared/matmul#0", "shared/matmul#1", "ln/layer_norm#0", "head/matmul#0"} <= set(names)
    plan = gs.initialize(s.model, s.example, scheme="theory")
    assert plan["stem.kernel"].role.endswith("batch_norm")
    assert (plan["norm.gamma"].role, plan["norm.beta"].role) == ("norm scale", "norm shift")
    std = float(model.get_layer("stem").kernel.numpy().std())
    assert std == pytest.approx((2 / 27) ** 0.5, rel=0.2)  # he_normal; 216 entries: 0.2 is over 4 standard errors
    assert gs.check(s.model, s.example).ok


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(gs.GainstageError, match="set KERAS_BACKEND=torch"):
        subject(None, None)


def test_importing_gainstage_imports_no_keras() -> None:
    import subprocess

    code = "import sys, gainstage, gainstage.adapters.keras; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

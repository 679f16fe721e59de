"""Keras 3 models on the torch backend, as `gs.Subject`."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.errors import GainstageError
from gainstage.run import Subject


def subject(model: Any, x: Any, y: Any = None) -> Subject:
    """Wrap a Keras model, with its data, for `gs.check`, `gs.plan`, `gs.initialize` and `gs.record`.

    A compiled model brings its loss, penalties included, its optimizer, and `train_on_batch` as the training step.
    Parameters get the names of their layers, `dense_1.kernel`. Batch and layer normalization run as torch's own
    functions, and `categorical_crossentropy` of one-hot rows as that of their labels, which is the same number.

    Args:
        model: a `keras.Model`, compiled or not; nothing in it is changed.
        x: an array or tensor, or a tuple of them for several inputs; samples first.
        y: what the compiled loss compares the output with.

    Returns:
        The subject: its `model` is an `nn.Module` in training mode that shares the parameters.

    Raises:
        GainstageError: Keras is missing, or runs on another backend.

    Example:
        >>> import os, pytest
        >>> os.environ["KERAS_BACKEND"] = "torch"
        >>> keras = pytest.importorskip("keras")
        >>> import numpy as np, gainstage as gs
        >>> from gainstage.adapters.keras import subject
        >>> model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(1, "softmax")])
        >>> model.compile("adam", "binary_crossentropy")
        >>> s = subject(model, np.random.randn(32, 8).astype("float32"), np.arange(32.0)[:, None] % 2)
        >>> gs.check(s.model, s.example, target=s.target, loss=s.loss).findings[0].name
        'softmax-over-one'
    """
    try:
        import keras
    except ModuleNotFoundError:
        raise GainstageError("Keras models need Keras; install it with: pip install 'gainstage[keras]'") from None

    if keras.backend.backend() != "torch":
        raise GainstageError(
            f"Keras runs on {keras.backend.backend()!r}, expected 'torch': set KERAS_BACKEND=torch in the environment "
            "before keras is imported"
        )
    example = keras.tree.map_structure(torch.as_tensor, x)
    target = None if y is None else keras.tree.map_structure(torch.as_tensor, y)
    with torch.no_grad():
        model(keras.tree.map_structure(lambda t: t[:1], example), training=False)  # builds what is not built yet
    module = _Model(model, {}).train()
    if not getattr(model, "compiled", False) or model.loss is None:
        return Subject(module, example)
    optimizer = _named(model.optimizer, _Optimizer)(model.optimizer, model.trainable_variables)
    # A partial shows the check what a step changes besides parameters: the optimizer's and the metrics' variables.
    step = partial(_step, model, x, y, model.optimizer, model.metrics)
    return Subject(module, example, target, partial(_loss, model), optimizer, step)


def at_backward(losses: tuple[Tensor, ...]) -> Subject | None:
    """The subject of the `fit` that runs now, asked for from inside its backward pass; None where none does."""
    if "keras" not in sys.modules:
        return None
    frame = sys._getframe(1)
    while frame is not None:
        held = frame.f_locals
        if frame.f_code.co_name == "train_step" and "data" in held and hasattr(held.get("self"), "train_on_batch"):
            x, y, _ = sys.modules["keras"].utils.unpack_x_y_sample_weight(held["data"])
            return subject(held["self"], x, y)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def parts(model: Any) -> tuple[nn.Module, Optimizer]:
    """A compiled Keras model as a module that shares its parameters, and its optimizer with the interface of torch."""
    module = _Model(model, {}).train()
    return module, _named(model.optimizer, _Optimizer)(model.optimizer, model.trainable_variables)


def _named(like: Any, base: Any) -> Any:
    """`base` under the name of another class, which messages show."""
    return type(type(like).__name__, (base,), {})


class _Layer(nn.Module):
    """A Keras layer as a module: its variables, the layers inside, and its call."""

    def __init__(self, layer: Any, seen: dict[int, nn.Module]) -> None:
        super().__init__()
        self.of = (layer,)  # inside a tuple torch does not take it for a child
        seen[id(layer)] = self
        for variables, put in (
            (layer._trainable_variables, self.register_parameter),
            (layer._non_trainable_variables, self.register_buffer),
        ):
            for variable in variables:
                put(_free(self, variable.name), variable.value)
        for inner in layer._layers:
            if id(inner) not in seen:
                _named(inner, _Layer)(inner, seen)
            self.add_module(_free(self, inner.name), seen[id(inner)])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (layer,) = self.of
        native: Callable[..., Any] = _NATIVE.get(type(layer).__name__, _as_written)
        return native(layer, type(layer).call, *args, **kwargs)


class _Model(_Layer):
    """The whole model: while it runs, every layer's call goes through its module, whose hooks see it."""

    def forward(self, *inputs: Any, **named: Any) -> Any:
        (model,) = self.of
        layers = [(module.of[0], module) for module in self.modules() if isinstance(module, _Layer)][1:]
        try:
            for layer, module in layers:
                layer.__dict__["call"] = module
            return model(named or (inputs[0] if len(inputs) == 1 else inputs), training=self.training)
        finally:
            for layer, _ in layers:
                layer.__dict__.pop("call", None)


class _Optimizer(Optimizer):
    """A Keras optimizer with the interface of torch."""

    def __init__(self, of: Any, variables: list[Any]) -> None:
        self.of, self.of_variables = of, variables
        super().__init__([v.value for v in variables], {"lr": float(of.learning_rate)})

    def step(self, closure: Any = None) -> Any:
        rate = self.param_groups[0]["lr"]
        if rate != self.defaults["lr"]:
            self.of.learning_rate = rate
        self.of.apply([v.value.grad for v in self.of_variables], self.of_variables)


def _step(model: Any, x: Any, y: Any, *changed: Any) -> float:
    logs = model.train_on_batch(x, y)
    return float(logs[0] if isinstance(logs, list | tuple) else logs)


def _loss(model: Any, output: Any, target: Any) -> Tensor:
    from keras.src.backend import nn as backend

    written = backend.categorical_crossentropy

    def by_labels(target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1) -> Any:
        one_hot = target.shape == output.shape and bool(
            (target.amax(axis) == 1).all() & (target.abs().sum(axis) == 1).all()
        )
        if not one_hot:
            return written(target, output, from_logits, axis)
        return backend.sparse_categorical_crossentropy(target.argmax(axis), output, from_logits, axis)

    with patch.object(backend, "categorical_crossentropy", by_labels):
        value: Tensor = model.compute_loss(None, target, output)
    return value


def _free(module: nn.Module, name: str) -> str:
    name = name.replace(".", "_")
    return _free(module, name + "_") if hasattr(module, name) else name


def _as_written(layer: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return call(layer, *args, **kwargs)


def _values(*variables: Any) -> Any:
    return [None if variable is None else variable.value for variable in variables]


def _batch_norm(layer: Any, call: Callable[..., Any], x: Tensor, training: bool = False, mask: Any = None) -> Any:
    if mask is not None or layer.renorm or x.dtype != layer.moving_mean.value.dtype:
        return call(layer, x, training=training, mask=mask)
    mean, variance, gamma, beta = _values(layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
    use = bool(training and layer.trainable)
    normal = F.batch_norm(x.movedim(layer.axis, 1), mean, variance, gamma, beta, use, 1 - layer.momentum, layer.epsilon)
    return normal.movedim(1, layer.axis)


def _layer_norm(layer: Any, call: Callable[..., Any], x: Tensor) -> Any:
    if layer.rms_scaling or layer.axis not in (-1, [-1], x.dim() - 1, [x.dim() - 1]):
        return call(layer, x)
    gamma, beta = _values(layer.gamma, layer.beta)
    return F.layer_norm(x, x.shape[-1:], gamma, beta, layer.epsilon)


_NATIVE: dict[str, Callable[..., Any]] = {"BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm}

"""Keras programs, healthy and faulty, of the kind that questions on public forums hold."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

Program = tuple[Any, Any, Any]


@dataclass(frozen=True)
class Keras:
    build: Callable[[], Program]
    code: str = ""
    severity: str = ""  # an error or a warning, by the seed, where empty


HEALTHY: dict[str, Keras] = {}
FAULTY: dict[str, Keras] = {}
N = 64


def healthy(build: Callable[[], Program]) -> Callable[[], Program]:
    HEALTHY[build.__name__] = Keras(build)
    return build


def faulty(code: str, severity: str = "error") -> Callable[[Callable[[], Program]], Callable[[], Program]]:
    def register(build: Callable[[], Program]) -> Callable[[], Program]:
        FAULTY[build.__name__] = Keras(build, code, severity)
        return build

    return register


def sequential(shape: tuple[int, ...], *layers: Any) -> Any:
    import keras

    return keras.Sequential([keras.layers.Input(shape), *layers])


def compiled(model: Any, optimizer: Any, loss: Any, x: Any, y: Any, **options: Any) -> Program:
    model.compile(optimizer, loss, **options)
    return model, x, y


def dense(units: int, activation: str | None = None, **options: Any) -> Any:
    import keras

    return keras.layers.Dense(units, activation, **options)


@cache
def real(name: str, scaled: bool = True) -> tuple[Any, Any]:
    """A small real data set, its first batch of shuffled rows; features as stored, or standardized by column."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(x))[:N]
    if scaled:
        x = (x - x.mean(0)) / (x.std(0) + 1e-8)
    return x[rows], y[rows]


def one_hot(y: Any) -> Any:
    return np.eye(int(y.max()) + 1, dtype="float32")[y]


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal((N, *shape)).astype("float32")


def classes(count: int) -> Any:
    return np.arange(N) % count


# --- healthy ---------------------------------------------------------------------------------------------------------


@healthy
def mlp_of_iris() -> Program:
    x, y = real("iris", scaled=False)
    model = sequential((4,), dense(16, "relu"), dense(16, "relu"), dense(3, "softmax"))
    return compiled(model, "adam", "categorical_crossentropy", x, one_hot(y), metrics=["accuracy"])


@healthy
def digits_by_pictures() -> Program:
    from keras import layers

    x, y = real("digits", scaled=False)
    model = sequential(
        (8, 8, 1), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 2, activation="relu"), layers.Flatten(), dense(64, "relu"),
        layers.Dropout(0.5), dense(10, "softmax"),
    )  # fmt: skip
    return compiled(model, "adam", "sparse_categorical_crossentropy", x.reshape(-1, 8, 8, 1) / 16, y)


@healthy
def batch_normalization_and_dropout() -> Program:
    import keras
    from keras import layers

    x, y = real("digits")
    model = sequential(
        (64,), dense(64, use_bias=False), layers.BatchNormalization(), layers.Activation("relu"), layers.Dropout(0.3),
        dense(10),
    )  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(model, keras.optimizers.SGD(0.05, momentum=0.9), loss, x, y)


@healthy
def cancer_standardized() -> Program:
    x, y = real("breast_cancer")
    model = sequential((30,), dense(16, "relu"), dense(8, "relu"), dense(1, "sigmoid"))
    return compiled(model, "rmsprop", "binary_crossentropy", x, y)


@healthy
def diabetes_standardized() -> Program:
    import keras

    x, y = real("diabetes")
    model = sequential((10,), dense(32, "relu", kernel_regularizer=keras.regularizers.L2(1e-4)), dense(1))
    return compiled(model, "adam", "mse", x, (y - y.mean()) / y.std(), metrics=["mae"])


@healthy
def padded_reviews() -> Program:
    from keras import layers

    words = np.random.default_rng(0).integers(1, 300, (N, 12)) * (np.arange(12) < np.arange(N)[:, None] % 12 + 1)
    model = sequential((12,), layers.Embedding(300, 32, mask_zero=True), layers.LSTM(16), dense(1, "sigmoid"))
    return compiled(model, "adam", "binary_crossentropy", words, classes(2)[:, None])


@healthy
def residual_network() -> Program:
    import keras
    from keras import layers

    into = h = layers.Input((12, 12, 3))
    h = layers.Conv2D(16, 3, padding="same")(h)
    for _ in range(3):
        b = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(h))
        b = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same", use_bias=False)(layers.ReLU()(b)))
        h = layers.ReLU()(layers.Add()([h, b]))
    model = keras.Model(into, dense(5, "softmax")(layers.GlobalAveragePooling2D()(h)))
    return compiled(model, "adam", "sparse_categorical_crossentropy", noise(12, 12, 3), classes(5))


@healthy
def transformer_block() -> Program:
    import keras
    from keras import layers

    into = layers.Input((10,))
    h = layers.Embedding(100, 32)(into)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, 16)(h, h))
    h = layers.LayerNormalization()(h + dense(32)(dense(64, "gelu")(h)))
    model = keras.Model(into, dense(4)(layers.GlobalAveragePooling1D()(h)))
    words = np.random.default_rng(0).integers(0, 100, (N, 10))
    return compiled(model, "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), words, classes(4))


# --- the input and the targets ---------------------------------------------------------------------------------------


@faulty("DAT602")
def cancer_as_it_is() -> Program:
    x, y = real("breast_cancer", scaled=False)
    model = sequential((30,), dense(30, "relu"), dense(15, "relu"), dense(1, "sigmoid"))
    return compiled(model, "adam", "binary_crossentropy", x, y, metrics=["accuracy"])


@faulty("DAT601", "note")
def digits_from_0_to_16() -> Program:
    x, y = real("digits", scaled=False)
    model = sequential((64,), dense(64, "relu"), dense(64, "relu"), dense(10, "softmax"))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("DAT602", "")
def wine_as_it_is() -> Program:
    x, y = real("wine", scaled=False)
    model = sequential((13,), dense(32, "relu"), dense(3, "softmax"))
    return compiled(model, "sgd", "categorical_crossentropy", x, one_hot(y))


@faulty("DAT601", "")
def pixels_of_255() -> Program:
    x, y = real("digits", scaled=False)
    model = sequential((64,), dense(128, "relu"), dense(64, "relu"), dense(10, "softmax"))
    return compiled(model, "sgd", "sparse_categorical_crossentropy", x / 16 * 255, y)


@faulty("DAT603", "warning")
def diabetes_as_it_is() -> Program:
    x, y = real("diabetes", scaled=False)
    return compiled(sequential((10,), dense(64, "relu"), dense(64, "relu"), dense(1)), "adam", "mse", x, y)


@faulty("DAT603")
def prices_of_houses() -> Program:
    y = 2e5 + 2e4 * noise(1)
    return compiled(sequential((8,), dense(32, "relu"), dense(1)), "sgd", "mse", noise(8), y)


# --- the output and the loss -----------------------------------------------------------------------------------------


@faulty("OUT502")
def one_softmax_unit() -> Program:
    x, y = real("breast_cancer")
    return compiled(sequential((30,), dense(12, "relu"), dense(1, "softmax")), "adam", "binary_crossentropy", x, y)


@faulty("OUT502")
def one_softmax_unit_for_a_number() -> Program:
    x, y = real("diabetes")
    return compiled(sequential((10,), dense(64, "relu"), dense(1, "softmax")), "rmsprop", "mse", x, y)


@faulty("OUT505")
def sigmoid_for_a_number() -> Program:
    x, y = real("diabetes")
    return compiled(sequential((10,), dense(32, "relu"), dense(1, "sigmoid")), "adam", "mse", x, y)


@faulty("OUT504")
def logits_as_probabilities() -> Program:
    x, y = real("digits")
    model = sequential((64,), dense(64, "relu"), dense(10))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("OUT504")
def logits_as_probabilities_of_one_hot_rows() -> Program:
    x, y = real("digits")
    return compiled(sequential((64,), dense(64, "relu"), dense(10)), "adam", "categorical_crossentropy", x, one_hot(y))


@faulty("OUT504")
def tanh_as_probabilities() -> Program:
    x, y = real("iris")
    model = sequential((4,), dense(16, "tanh"), dense(3, "tanh"))
    return compiled(model, "adam", "categorical_crossentropy", x, one_hot(y))


@faulty("OUT503", "warning")
def softmax_twice() -> Program:
    import keras

    x, y = real("digits")
    model = sequential((64,), dense(64, "relu"), dense(10, "softmax"))
    return compiled(model, "adam", keras.losses.CategoricalCrossentropy(from_logits=True), x, one_hot(y))


@faulty("OUT503", "warning")
def sigmoid_twice() -> Program:
    import keras

    x, y = real("breast_cancer")
    model = sequential((30,), dense(16, "relu"), dense(1, "sigmoid"))
    return compiled(model, "adam", keras.losses.BinaryCrossentropy(from_logits=True), x, y)


@faulty("OUT504", "warning")
def rectified_probability() -> Program:
    x, y = real("breast_cancer")
    return compiled(sequential((30,), dense(12, "relu"), dense(1, "relu")), "adam", "binary_crossentropy", x, y)


@faulty("OUT504", "warning")
def tanh_as_a_probability() -> Program:
    x, y = real("breast_cancer")
    return compiled(sequential((30,), dense(8, "tanh"), dense(1, "tanh")), "sgd", "binary_crossentropy", x, y)


@faulty("OUT510", "note")
def squared_error_of_softmax() -> Program:
    x, y = real("digits")
    return compiled(sequential((64,), dense(64, "relu"), dense(10, "softmax")), "sgd", "mse", x, one_hot(y))


@faulty("OUT510", "note")
def digit_as_a_number() -> Program:
    x, y = real("digits")
    return compiled(sequential((64,), dense(64, "relu"), dense(1)), "adam", "mse", x, y)


# --- the start, the step, regularization -----------------------------------------------------------------------------


@faulty("INI102")
def zeros() -> Program:
    x, y = real("digits")
    model = sequential((64,), *(dense(k, a, kernel_initializer="zeros") for k, a in ((64, "relu"), (10, "softmax"))))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("INI101")
def ones() -> Program:
    x, y = real("iris")
    model = sequential((4,), *(dense(k, a, kernel_initializer="ones") for k, a in ((16, "relu"), (3, "softmax"))))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("INI105")
def standard_normal() -> Program:
    x, y = real("digits")
    layers = (dense(64, "relu", kernel_initializer="random_normal") for _ in range(5))
    model = sequential((64,), *layers, dense(10, "softmax"))
    for layer in model.layers:
        layer.kernel.assign(layer.kernel * 20)
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("FWD201", "warning")
def eight_sigmoids() -> Program:
    x, y = real("digits")
    model = sequential((64,), *(dense(64, "sigmoid") for _ in range(8)), dense(10, "softmax"))
    return compiled(model, "sgd", "categorical_crossentropy", x, one_hot(y))


@faulty("FWD201")
def forty_layers() -> Program:
    x, y = real("digits")
    model = sequential((64,), *(dense(32, "relu") for _ in range(40)), dense(10, "softmax"))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("OPT804")
def sgd_at_ten() -> Program:
    import keras

    x, y = real("digits")
    model = sequential((64,), dense(64, "relu"), dense(10, "softmax"))
    return compiled(model, keras.optimizers.SGD(10.0), "sparse_categorical_crossentropy", x, y)


@faulty("OPT804")
def adam_at_one() -> Program:
    import keras

    x, y = real("digits")
    model = sequential((64,), dense(64, "relu"), dense(64, "relu"), dense(10, "softmax"))
    return compiled(model, keras.optimizers.Adam(1.0), "sparse_categorical_crossentropy", x, y)


@faulty("OPT805", "warning")
def sgd_at_a_ten_millionth() -> Program:
    import keras

    x, y = real("digits")
    model = sequential((64,), dense(64, "relu"), dense(10, "softmax"))
    return compiled(model, keras.optimizers.SGD(1e-7), "sparse_categorical_crossentropy", x, y)


@faulty("REG701")
def dropout_of_95_percent() -> Program:
    from keras import layers

    x, y = real("digits")
    model = sequential((64,), dense(64, "relu"), layers.Dropout(0.95), dense(10, "softmax"))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)


@faulty("REG704")
def a_penalty_of_ten() -> Program:
    import keras

    x, y = real("digits")
    model = sequential((64,), dense(64, "relu", kernel_regularizer=keras.regularizers.L2(10.0)), dense(10, "softmax"))
    return compiled(model, "adam", "sparse_categorical_crossentropy", x, y)

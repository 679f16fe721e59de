"""Programs whose output or loss is wrong, of the kinds that are asked about most often in public forums."""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from faulty import faulty
from torch import Tensor, nn

from gainstage.run import Subject

N = 64


def dense(*widths: int, act: type[nn.Module] = nn.ReLU, end: nn.Module | None = None) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), act()]
    return nn.Sequential(*layers[:-1], *([end] if end is not None else []))


def digits_cnn(classes: int = 10, end: nn.Module | None = None) -> nn.Sequential:
    body = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(16 * 25, classes), *([end] if end is not None else []))


def blobs(classes: int, features: int = 8) -> tuple[Tensor, Tensor]:
    y = torch.arange(N) % classes
    return torch.randn(classes, features)[y] + 0.5 * torch.randn(N, features), y


def curve() -> tuple[Tensor, Tensor]:
    x = torch.randn(N, 8)
    return x, torch.sin(x[:, :1]) + x[:, 1:2] + 0.1 * torch.randn(N, 1)


# --- softmax -----------------------------------------------------------------------------------------------------


@faulty("OUT502")
def diabetes_with_one_softmax_unit() -> Subject:
    x, y = blobs(2)
    return Subject(dense(8, 12, 8, 1, end=nn.Softmax(dim=1)), x, y[:, None].float(), F.binary_cross_entropy)


@faulty("OUT502")
def one_softmax_unit_with_squared_error() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = nn.Linear(8, 16), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return F.softmax(self.out(torch.tanh(self.hidden(x))), dim=-1)

    x, y = blobs(2)
    return Subject(Model(), x, y[:, None].float(), nn.MSELoss())


@faulty("OUT502")
def cross_entropy_of_one_output() -> Subject:
    return Subject(dense(8, 16, 1), torch.randn(N, 8), torch.zeros(N, dtype=torch.long), nn.CrossEntropyLoss())


@faulty("OUT509")
def softmax_over_the_batch() -> Subject:
    x, y = blobs(3)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(output.log(), target)

    return Subject(dense(8, 16, 3, end=nn.Softmax(dim=0)), x, y, loss)


@faulty("OUT509")
def softmax_over_the_batch_and_cross_entropy() -> Subject:
    x, y = blobs(3)
    return Subject(dense(8, 16, 3, end=nn.Softmax(dim=0)), x, y, F.cross_entropy)


@faulty("OUT503", "warning")
def cnn_with_softmax_and_cross_entropy() -> Subject:
    return Subject(
        digits_cnn(end=nn.Softmax(dim=1)), torch.rand(N, 1, 14, 14), torch.arange(N) % 10, nn.CrossEntropyLoss()
    )


@faulty("OUT503", "warning")
def softmax_by_hand_and_cross_entropy() -> Subject:
    class Softmax(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            e = torch.exp(z - z.max(1, keepdim=True).values)
            return e / e.sum(1, keepdim=True)

    x, y = blobs(4)
    return Subject(dense(8, 16, 4, end=Softmax()), x, y, F.cross_entropy)


@faulty("OUT503", "warning")
def iris_with_softmax_and_log_softmax() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(F.log_softmax(output, dim=1), target)

    x, y = blobs(3, 4)
    return Subject(dense(4, 16, 16, 3, end=nn.Softmax(dim=1)), torch.cat([x], 1), y, loss)


@faulty("OUT503", "warning")
def sigmoid_and_bce_with_logits() -> Subject:
    x, y = blobs(2)
    return Subject(dense(8, 32, 1, end=nn.Sigmoid()), x, y[:, None].float(), nn.BCEWithLogitsLoss())


@faulty("OUT503", "warning")
def sigmoid_outputs_and_cross_entropy() -> Subject:
    x, y = blobs(5)
    return Subject(dense(8, 32, 5, end=nn.Sigmoid()), x, y, nn.CrossEntropyLoss())


@faulty("OUT503", "warning")
def sigmoid_by_hand_and_bce_with_logits() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = dense(8, 32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return (1 / (1 + torch.exp(-self.body(x)))).squeeze(1)

    x, y = blobs(2)
    return Subject(Model(), x, y.float(), nn.BCEWithLogitsLoss())


@faulty("OUT503")
def softmax_and_cross_entropy_of_many_classes() -> Subject:
    x, y = torch.randn(N, 32), torch.arange(N) * 15
    return Subject(dense(32, 64, 1000, end=nn.Softmax(dim=-1)), x, y, F.cross_entropy)


@faulty("OUT503", "note")
def log_softmax_and_cross_entropy() -> Subject:
    x, y = blobs(4)
    return Subject(dense(8, 16, 4, end=nn.LogSoftmax(dim=1)), x, y, F.cross_entropy)


# --- logarithms --------------------------------------------------------------------------------------------------


@faulty("OUT504")
def nll_loss_of_logits() -> Subject:
    return Subject(digits_cnn(), torch.rand(N, 1, 14, 14), torch.arange(N) % 10, nn.NLLLoss())


@faulty("OUT504", "warning")
def nll_loss_of_probabilities() -> Subject:
    x, y = blobs(4)
    return Subject(dense(8, 16, 4, end=nn.Softmax(dim=1)), x, y, nn.NLLLoss())


@faulty("OUT504")
def nll_loss_of_sigmoids() -> Subject:
    x, y = blobs(4)
    return Subject(dense(8, 16, 4, end=nn.Sigmoid()), x, y, nn.NLLLoss())


@faulty("OUT504")
def logarithm_of_log_softmax() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(torch.log(output), target)

    x, y = blobs(4)
    return Subject(dense(8, 16, 4, end=nn.LogSoftmax(dim=1)), x, y, loss)


@faulty("OUT504", "warning")
def distillation_without_a_logarithm() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(output.softmax(1), target, reduction="batchmean")

    return Subject(dense(8, 16, 4), torch.randn(N, 8), torch.randn(N, 4).softmax(1), loss)


# --- what the output can reach -----------------------------------------------------------------------------------


@faulty("OUT505")
def relu_output_for_standardized_targets() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 64, 1, end=nn.ReLU()), x, (y - y.mean()) / y.std(), nn.MSELoss())


@faulty("OUT505")
def sigmoid_output_for_prices() -> Subject:
    x, y = curve()
    return Subject(dense(8, 32, 1, end=nn.Sigmoid()), x, 22 + 9 * y, nn.MSELoss())


@faulty("OUT505")
def tanh_output_for_degrees() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.LSTM(3, 16, batch_first=True), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.out(self.rnn(x)[0][:, -1])).squeeze(-1)

    return Subject(Model(), torch.randn(N, 12, 3), 15 + 8 * torch.randn(N), nn.L1Loss())


@faulty("OUT505")
def sigmoid_autoencoder_of_standardized_columns() -> Subject:
    x = torch.randn(N, 20)
    return Subject(dense(20, 8, 20, end=nn.Sigmoid()), x, x, nn.MSELoss())


@faulty("OUT505", "warning")
def tanh_output_for_standardized_targets() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return ((output - target) ** 2).mean()

    return Subject(dense(8, 64, 1, end=nn.Tanh()), torch.randn(N, 8), torch.randn(N, 1) * 1.2, loss)


@faulty("OUT505")
def softmax_for_amounts() -> Subject:
    return Subject(
        dense(8, 32, 3, end=nn.Softmax(dim=1)),
        torch.randn(N, 8),
        5 * torch.rand(N, 3),
        lambda o, t: (t - o).abs().mean(),
    )


@faulty("OUT505", "warning")
def tanh_logits_of_a_hundred_classes() -> Subject:
    return Subject(dense(16, 64, 100, end=nn.Tanh()), torch.randn(N, 16), torch.arange(N), F.cross_entropy)


@faulty("OUT505", "note")
def tanh_logits_of_ten_classes() -> Subject:
    return Subject(dense(16, 64, 10, end=nn.Tanh()), torch.randn(N, 16), torch.arange(N) % 10, F.cross_entropy)


@faulty("OUT505", "warning")
def rectified_logits_of_dead_classes() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 10)
            with torch.no_grad():
                self.c.bias[:3] = -1.0

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.c(F.relu(self.b(F.relu(self.a(x))))))

    return Subject(Model(), torch.rand(N, 16), torch.arange(N) % 10, nn.CrossEntropyLoss())


@faulty("OUT505", "warning")
def relu_and_bce_with_logits() -> Subject:
    x, y = blobs(2)
    return Subject(dense(8, 32, 1, end=nn.ReLU()), x, y[:, None].float(), nn.BCEWithLogitsLoss())


# --- targets -----------------------------------------------------------------------------------------------------


@faulty("OUT506")
def labels_of_minus_one_and_one() -> Subject:
    x, y = blobs(2)
    return Subject(dense(8, 32, 1), x, (2 * y - 1)[:, None].float(), nn.BCEWithLogitsLoss())


@faulty("OUT506")
def three_classes_on_one_sigmoid() -> Subject:
    x, y = blobs(3)
    return Subject(dense(8, 32, 1), x, y[:, None].float(), F.binary_cross_entropy_with_logits)


@faulty("OUT506")
def autoencoder_of_standardized_columns_with_bce() -> Subject:
    x = torch.randn(N, 20)
    return Subject(dense(20, 8, 20), x, x, F.binary_cross_entropy_with_logits)


@faulty("OUT506", "warning")
def tags_with_cross_entropy() -> Subject:
    tags = (torch.rand(N, 6) < 0.4).float()
    return Subject(dense(8, 32, 6), torch.randn(N, 8), tags, F.cross_entropy)


@faulty("OUT507")
def column_against_row() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 1), x, y.squeeze(1), nn.MSELoss())


@faulty("OUT507")
def column_against_row_by_hand() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return torch.mean((target - output) ** 2)

    x, y = curve()
    return Subject(dense(8, 64, 64, 1), x, y.squeeze(1), loss)


@faulty("OUT507")
def column_against_row_of_a_huber_loss() -> Subject:
    class Q(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = dense(4, 64, 2)

        def forward(self, state: Tensor, action: Tensor) -> Tensor:
            return self.body(state).gather(1, action[:, None])

    returns = 1 + 0.99 * torch.randn(N)
    return Subject(Q(), (torch.randn(N, 4), torch.randint(0, 2, (N,))), returns, nn.SmoothL1Loss())


@faulty("OUT510")
def squared_error_of_ten_outputs_to_the_label() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target.view(-1, 1).float())

    return Subject(digits_cnn(), torch.rand(N, 1, 14, 14), torch.arange(N) % 10, loss)


@faulty("OUT510")
def squared_error_of_softmax_to_the_label() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return ((output - target[:, None].float()) ** 2).mean()

    x, y = blobs(3)
    return Subject(dense(8, 16, 3, end=nn.Softmax(dim=1)), x, y, loss)


@faulty("OUT510", "note")
def digit_as_a_number() -> Subject:
    x, y = blobs(4)
    return Subject(dense(8, 64, 64, 1), x, y[:, None].float(), nn.MSELoss())


@faulty("OUT511", "note")
def a_thousand_outputs_for_ten_classes() -> Subject:
    return Subject(dense(16, 64, 1000), torch.randn(N, 16), torch.arange(N) % 10, F.cross_entropy)


@faulty("OUT512")
def segmentation_flattened_without_moving_classes() -> Subject:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output.view(-1, 5), target.view(-1))

    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 5, 1))
    return Subject(model, torch.randn(8, 3, 16, 16), torch.randint(0, 5, (8, 16, 16)), loss)


@faulty("OUT512")
def tagger_flattened_without_moving_classes() -> Subject:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.conv = nn.Embedding(100, 16), nn.Conv1d(16, 32, 3, padding=1)
            self.out = nn.Conv1d(32, 7, 1)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(F.relu(self.conv(self.embed(tokens).transpose(1, 2)))).reshape(-1, 7)

    tokens, tags = torch.randint(0, 100, (16, 12)), torch.randint(0, 7, (16 * 12,))
    return Subject(Tagger(), tokens, tags, nn.CrossEntropyLoss())


# --- size of the loss --------------------------------------------------------------------------------------------


@faulty("OUT508")
def summed_loss_with_sgd() -> Subject:
    x, y = curve()
    model = dense(8, 64, 1)
    return Subject(model, x, y, nn.MSELoss(reduction="sum"), torch.optim.SGD(model.parameters(), lr=0.1))


@faulty("OUT508", "note")
def summed_loss() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 1), x, y, nn.MSELoss(reduction="sum"))


@faulty("OUT501", "warning")
def binary_head_of_standard_normal_weights() -> Subject:
    x, y = torch.randn(N, 8), torch.arange(N) % 2
    model = dense(8, 256, 1)
    nn.init.normal_(model[2].weight, std=10.0)
    return Subject(model, x, y[:, None].float(), nn.BCEWithLogitsLoss())


@faulty("OUT501", "warning")
def outputs_far_larger_than_the_targets() -> Subject:
    x, y = curve()
    model: Any = dense(8, 64, 1)
    nn.init.normal_(model[2].weight, std=1.0)
    return Subject(model, x, 0.01 * y, nn.MSELoss())


@faulty("OUT513")
def binary_cross_entropy_in_the_order_of_keras() -> Subject:
    x, y = blobs(2)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(target, output)

    return Subject(dense(8, 32, 1, end=nn.Sigmoid()), x, y[:, None].float(), loss)


@faulty("OUT513")
def logits_in_the_order_of_keras() -> Subject:
    x, y = blobs(2)
    criterion = nn.BCEWithLogitsLoss()
    return Subject(dense(8, 32, 1), x, y[:, None].float(), lambda output, target: criterion(target, output))


@faulty("OUT505")
def squared_error_in_the_order_of_keras_of_a_relu() -> Subject:
    x, y = curve()
    return Subject(dense(8, 32, 1, end=nn.ReLU()), x, y - y.mean(), lambda output, target: F.mse_loss(target, output))


@faulty("OUT510", "note")
def squared_error_of_one_hot_rows() -> Subject:
    x, y = blobs(4)
    return Subject(dense(8, 32, 4, end=nn.Softmax(dim=1)), x, F.one_hot(y, 4).float(), nn.MSELoss())

"""Programs whose data is wrong: not scaled, not shuffled, not read, mixed between samples."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from faulty import faulty
from faulty_output import blobs, curve, dense, digits_cnn
from torch import Tensor, nn

from gainstage.run import Subject

N = 64


def pixels(*shape: int) -> Tensor:
    """Strokes on black, 0 to 255, as an image loader gives them."""
    grey = F.avg_pool2d(torch.rand(N, 1, 16, 16).sub(0.55).relu(), 3, stride=1)
    return (255 * grey / grey.amax((1, 2, 3), keepdim=True)).reshape(N, *shape)


# --- the input ---------------------------------------------------------------------------------------------------


@faulty("DAT601", "warning")
def pixels_into_a_relu_network() -> Subject:
    return Subject(dense(196, 128, 64, 10), pixels(196), torch.arange(N) % 10, F.cross_entropy)


@faulty("DAT601", "warning")
def pixels_into_a_cnn() -> Subject:
    return Subject(digits_cnn(), pixels(1, 14, 14), torch.arange(N) % 10, F.cross_entropy)


@faulty("DAT601", "warning")
def pixels_into_sigmoids() -> Subject:
    model = dense(196, 64, 10, act=nn.Sigmoid)
    return Subject(model, pixels(196), torch.arange(N) % 10, F.cross_entropy)


@faulty("DAT601", "warning")
def signals_of_a_sensor_in_counts() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 64, 1), 1000 * x, y, nn.MSELoss())


@faulty("DAT601")
def pixels_divided_twice() -> Subject:
    return Subject(dense(196, 128, 10), pixels(196) / 255 / 255, torch.arange(N) % 10, F.cross_entropy)


@faulty("DAT601")
def years_as_they_are() -> Subject:
    x, y = blobs(3, 4)
    return Subject(dense(4, 32, 3), 2000 + 10 * x, y, F.cross_entropy)


@faulty("DAT601")
def temperatures_in_kelvin() -> Subject:
    x, y = curve()
    return Subject(dense(8, 32, 1, act=nn.Tanh), 290 + 15 * x, y, nn.MSELoss())


@faulty("DAT602")
def age_and_income() -> Subject:
    x = torch.stack(
        [40 + 12 * torch.randn(N), 5e4 + 2e4 * torch.randn(N), torch.randint(0, 5, (N,)).float(), torch.rand(N)], 1
    )
    return Subject(dense(4, 32, 16, 1, end=nn.Sigmoid()), x, (x[:, :1] > 40).float(), F.binary_cross_entropy)


@faulty("DAT602", "warning")
def a_column_in_hundreds() -> Subject:
    x, y = blobs(3)
    return Subject(dense(8, 32, 3), x * torch.tensor([100.0] + 7 * [1.0]) / 20, y, F.cross_entropy)


# --- targets -----------------------------------------------------------------------------------------------------


@faulty("DAT603")
def house_prices() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 64, 1), x, 180_000 + 80_000 * y, nn.MSELoss())


@faulty("DAT603", "warning")
def targets_of_five_hundred() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 1), x, 500 + 100 * y, nn.L1Loss())


@faulty("DAT603")
def targets_of_five_hundred_with_sgd() -> Subject:
    x, y = curve()
    model = dense(8, 64, 1)
    return Subject(model, x, 500 + 100 * y, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01))


@faulty("DAT603", "warning")
def diabetes_as_it_is() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 1), x, 152 + 60 * y, nn.MSELoss())


@faulty("DAT603", "warning")
def targets_far_from_zero() -> Subject:
    x, y = curve()
    return Subject(dense(8, 64, 64, 1), x, 60 + y, lambda output, target: (output - target).pow(2).mean())


@faulty("DAT604", "warning")
def sorted_by_class() -> Subject:
    return Subject(digits_cnn(), torch.rand(N, 1, 14, 14), torch.zeros(N, dtype=torch.long), F.cross_entropy)


@faulty("DAT605", "warning")
def mask_of_0_and_255() -> Subject:
    mask = 255 * (torch.rand(8, 12, 12) < 0.3).long()
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 256, 1))
    return Subject(model, torch.randn(8, 3, 12, 12), mask, F.cross_entropy)


@faulty("DAT605", "warning")
def labels_divided_with_the_pixels() -> Subject:
    x, y = blobs(2)
    return Subject(dense(8, 32, 1, end=nn.Sigmoid()), x, y[:, None].float() / 255, F.binary_cross_entropy)


# --- samples -----------------------------------------------------------------------------------------------------


@faulty("DAT606")
def hidden_state_instead_of_the_input() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.first, self.out = nn.Parameter(torch.randn(16)), nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.first(x))
            h = self.hidden.expand_as(h)
            return self.out(torch.relu(h))

    x, y = blobs(4)
    return Subject(Model(), x, y, F.cross_entropy)


class Recurrent(nn.Module):
    def __init__(self, cell: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.out = cell(8, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0][:, -1])


@faulty("DAT607", "warning")
def lstm_along_the_samples() -> Subject:
    return Subject(Recurrent(nn.LSTM), torch.randn(N, 10, 8), torch.arange(N) % 4, F.cross_entropy)


@faulty("DAT607", "warning")
def gru_along_the_samples() -> Subject:
    return Subject(Recurrent(nn.GRU), torch.randn(N, 10, 8), torch.arange(N) % 4, F.cross_entropy)


@faulty("DAT607", "warning")
def attention_along_the_samples() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(8, 32)
            self.layer, self.out = nn.TransformerEncoderLayer(32, 4, 64), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.layer(self.first(x)).mean(1))

    return Subject(Model(), torch.randn(N, 10, 8), torch.arange(N) % 4, F.cross_entropy)


@faulty("DAT607", "warning")
def view_instead_of_transpose() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.LSTM(8, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = x.view(x.shape[1], x.shape[0], -1)
            return self.out(self.rnn(x)[0][-1])

    return Subject(Model(), torch.randn(N, 10, 8), torch.arange(N) % 4, F.cross_entropy)


@faulty("DAT607", "warning")
def centred_over_the_batch() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Conv2d(1, 8, 3), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.first(x))
            return self.out((h - h.mean(0)).amax((2, 3)))

    return Subject(Model(), torch.randn(N, 1, 9, 9), torch.arange(N) % 4, F.cross_entropy)


@faulty("DAT608", "note")
def one_buffer_for_several_samples() -> Subject:
    x, y = blobs(4)
    return Subject(dense(8, 32, 4), x[:16].repeat_interleave(4, 0), y, F.cross_entropy)


@faulty("DAT609")
def a_missing_value() -> Subject:
    x, y = blobs(4)
    x[5, 2] = float("nan")
    return Subject(dense(8, 32, 4), x, y, F.cross_entropy)


@faulty("DAT609")
def a_missing_target() -> Subject:
    x, y = curve()
    y[7] = float("nan")
    return Subject(dense(8, 32, 1), x, y, nn.MSELoss())


@faulty("DAT609")
def an_infinite_ratio() -> Subject:
    x, y = curve()
    x[3] = x[3] / 0.0
    return Subject(dense(8, 32, 1), x, y, nn.MSELoss())


@faulty("DAT601", "warning")
def passengers_into_an_lstm() -> Subject:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = nn.LSTM(1, 32, batch_first=True), nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.rnn(x)[0][:, -1])

    start = 100 + 400 * torch.rand(N, 1, 1)
    return Subject(Model(), start + 50 * torch.randn(N, 12, 1), (start[:, 0] - 300) / 120, nn.MSELoss())


@faulty("DAT601")
def square_feet_with_sgd() -> Subject:
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    x = 500 + 3000 * torch.rand(N, 1)
    y = (x - 2000) / 900 + 0.1 * torch.randn(N, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return Subject(model, x, y, nn.MSELoss(), optimizer)


@faulty("DAT610", "note")
def standardized_in_place() -> Subject:
    class Standardizing(nn.Module):  # the second epoch over the same tensor reads other data than the first
        def __init__(self) -> None:
            super().__init__()
            self.body = dense(8, 32, 4)

        def forward(self, x: Tensor) -> Tensor:
            x -= 0.5
            x /= 2.0
            return self.body(x)

    x, y = blobs(4)
    return Subject(Standardizing(), x, y, F.cross_entropy)


# --- masks and axes ----------------------------------------------------------------------------------------------


class Padded(nn.Module):
    """Reads a set of tokens by attention; `mask` turns what marks real tokens into what attention is given."""

    def __init__(self, mask: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.token, self.query, self.head = nn.Embedding(8, 16), nn.Parameter(torch.randn(1, 16)), nn.Linear(16, 4)
        self.mask = mask

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        tokens = self.token(ids)
        query = self.query.expand(len(ids), -1, -1)
        return self.head(F.scaled_dot_product_attention(query, tokens, tokens, attn_mask=self.mask(real))[:, 0])


def padded(mask: Callable[[Tensor], Tensor]) -> Subject:
    real = torch.arange(9) < torch.randint(3, 10, (N, 1))
    ids, y = torch.randint(0, 8, (N, 9)), torch.randint(0, 4, (N,))
    return Subject(Padded(lambda real: mask(real)[:, None]), (ids, real), y, F.cross_entropy)


@faulty("DAT613")
def mask_of_padding_turned_round() -> Subject:
    return padded(lambda real: ~real | (real.all(1, keepdim=True)))


@faulty("DAT613", "warning")
def mask_of_padding_added_as_ones() -> Subject:
    return padded(lambda real: real.float())


class Heads(nn.Module):
    def __init__(self, cut: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.token, self.head, self.cut = nn.Linear(6, 32), nn.Linear(32, 4), cut

    def forward(self, x: Tensor) -> Tensor:
        heads = self.cut(self.token(x))
        return self.head(F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2).mean(1))


@faulty("FWD215", "warning")
def heads_cut_by_a_view() -> Subject:
    model = Heads(lambda x: x.view(len(x), 4, x.shape[1], 8))
    return Subject(model, torch.randn(N, 10, 6), torch.randint(0, 4, (N,)), F.cross_entropy)


class First(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(3, 24, batch_first=True), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, 0])


@faulty("DAT606", "warning")
def state_read_at_the_first_step() -> Subject:
    return Subject(First(), torch.randn(N, 7, 3), torch.randint(0, 4, (N,)), F.cross_entropy)

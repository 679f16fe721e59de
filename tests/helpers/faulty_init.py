"""Initializations that are wrong on purpose, beyond symmetry."""

import torch
import torch.nn.functional as F
from faulty import faulty, mlp, start, subject
from torch import Tensor, nn

from gainstage.run import Subject


@faulty("INI104")
def weights_of_a_hundredth() -> Subject:
    return subject(start(mlp(8), lambda w: nn.init.normal_(w, std=0.01)))


@faulty("INI104")
def fifty_relu_layers_of_a_hundredth_underflow() -> Subject:
    return subject(start(mlp(50), lambda w: nn.init.normal_(w, std=0.01)))


@faulty("INI104")
def fifty_tanh_layers_of_a_hundredth_underflow() -> Subject:
    return subject(start(mlp(50, nn.Tanh), lambda w: nn.init.normal_(w, std=0.01)))


@faulty("INI104")
def a_cnn_of_a_hundredth() -> Subject:
    convs = [part for _ in range(8) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(nn.Conv2d(3, 16, 3), *convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return subject(start(model, lambda w: nn.init.normal_(w, std=0.01)), 3, 12, 12)


@faulty("INI104")
def one_layer_of_a_billionth() -> Subject:
    model = mlp(4, nn.Tanh)
    nn.init.normal_(model[2].weight, std=1e-9)
    return subject(model)


@faulty("INI105", "warning")
def standard_normal_weights() -> Subject:
    return subject(start(mlp(4, width=256), lambda w: nn.init.normal_(w)))


@faulty("INI105", "warning")
def standard_normal_weights_before_sigmoids() -> Subject:
    return subject(start(mlp(3, nn.Sigmoid, width=256), lambda w: nn.init.normal_(w, std=2.0)))


@faulty("INI106", "note")
def a_weight_stored_as_in_and_out() -> Subject:
    class Stored(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(20, 512), nn.Linear(64, 10)
            self.second = nn.Parameter(nn.init.kaiming_normal_(torch.empty(512, 64)))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(torch.relu(self.first(x)) @ self.second))

    return subject(Stored())


@faulty("INI106", "note")
def a_transposed_convolution_by_its_stored_fans() -> Subject:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, 3, 1)
    )
    nn.init.kaiming_normal_(model[2].weight)
    x = torch.randn(16, 3, 16, 16)
    return Subject(model, x, x, F.mse_loss)


@faulty("INI106", "note")
def a_depthwise_convolution_by_fan_out() -> Subject:
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3, groups=64), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    nn.init.kaiming_normal_(model[2].weight, mode="fan_out")
    return subject(model, 3, 12, 12)


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 32, 2), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x.transpose(0, 1))[0][-1])


@faulty("INI107", "note")
def a_long_sequence_through_an_lstm() -> Subject:
    return subject(Last(), 60, 8)


def random_bits(*shape: int) -> Tensor:
    """What memory may hold that nobody wrote."""
    return torch.randint(-(2**31), 2**31 - 1, shape).to(torch.int32).view(torch.float32)


@faulty("INI108")
def memory_that_nobody_wrote() -> Subject:
    model = mlp(3)
    with torch.no_grad():
        model[2].weight.copy_(random_bits(64, 64))
    return subject(model)


@faulty("INI108")
def weights_that_were_never_loaded() -> Subject:
    model = mlp(3)
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    return subject(model)


@faulty("INI108", "warning")
def a_branch_left_on_meta() -> Subject:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.auxiliary = mlp(3), nn.Linear(64, 10, device="meta")

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    return subject(Half())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(100, 64), nn.GRU(64, 64, batch_first=True)
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 100, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.rnn(self.embed(tokens))[0])).flatten(0, 1)


@faulty("INI110", "warning")
def a_head_tied_to_a_standard_normal_table() -> Subject:
    tokens = torch.randint(0, 100, (16, 8))
    return Subject(Tied(), tokens, torch.randint(0, 100, (128,)), F.cross_entropy)


@faulty("INI111")
def every_parameter_drawn_from_a_fiftieth() -> Subject:
    block = (lambda: nn.Conv2d(16, 16, 3, padding=1, bias=False), lambda: nn.BatchNorm2d(16, eps=1e-3), nn.ReLU)
    convs = [part() for _ in range(12) for part in block]
    model = nn.Sequential(nn.Conv2d(3, 16, 3), *convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.02)
    return subject(model, 3, 12, 12)


@faulty("INI111", "warning")
def twelve_layers_drawn_from_a_fiftieth() -> Subject:
    block = (lambda: nn.Linear(64, 64, bias=False), lambda: nn.BatchNorm1d(64), nn.ReLU)
    model = nn.Sequential(nn.Linear(20, 64), *[part() for _ in range(12) for part in block], nn.Linear(64, 10))
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.02)
    return subject(model)


@faulty("INI111", "note")
def one_drawn_scale() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, 10))
    nn.init.normal_(model[1].weight, 0, 0.5)
    return subject(model)


# --- wrong, but not by the scale of single weights ---------------------------------------------------------------


@faulty("FWD202")
def default_relu_without_biases() -> Subject:
    return subject(mlp(40, bias=False))


@faulty("FWD203", "warning")
def five_halves_of_he() -> Subject:
    return subject(start(mlp(8), lambda w: nn.init.normal_(w, std=2.5 * (2 / w.shape[1]) ** 0.5)))


@faulty("FWD205")
def biases_that_saturate() -> Subject:
    model = mlp(3, nn.Tanh)
    nn.init.constant_(model[0].bias, 8.0)
    return subject(model)

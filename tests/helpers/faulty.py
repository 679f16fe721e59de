"""A zoo of models that are wrong on purpose, each with the code of its cause and the severity it deserves."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.run import Subject


@dataclass(frozen=True)
class Fault:
    build: Callable[[], Subject]
    code: str
    severity: str


FAULTY: dict[str, Fault] = {}


def faulty(code: str, severity: str = "error") -> Callable[[Callable[[], Subject]], Callable[[], Subject]]:
    def register(build: Callable[[], Subject]) -> Callable[[], Subject]:
        FAULTY[build.__name__] = Fault(build, code, severity)
        return build

    return register


def subject(model: nn.Module, *shape: int, classes: int = 10, n: int = 64) -> Subject:
    return Subject(model, torch.randn(n, *(shape or (20,))), torch.arange(n) % classes, F.cross_entropy)


def mlp(depth: int, act: type[nn.Module] = nn.ReLU, width: int = 64, bias: bool = True) -> nn.Sequential:
    sizes = [20] + [width] * (depth - 1)
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b, bias=bias), act())]
    return nn.Sequential(*layers, nn.Linear(width, 10, bias=bias))


def start(model: nn.Module, weight: Callable[[Tensor], object]) -> nn.Module:
    for parameter in model.parameters():
        weight(parameter) if parameter.dim() > 1 else nn.init.zeros_(parameter)
    return model


# --- initialization --------------------------------------------------------------------------------------------


@faulty("INI101")
def constant_weights() -> Subject:
    return subject(start(mlp(3), lambda w: nn.init.constant_(w, 0.1)))


@faulty("INI101")
def constant_weights_with_dropout() -> Subject:
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 10))
    return subject(start(model, lambda w: nn.init.constant_(w, 0.1)))


@faulty("INI101")
def constant_cnn() -> Subject:
    convs = [nn.Conv2d(3, 16, 3), nn.Tanh(), nn.Conv2d(16, 16, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return subject(start(nn.Sequential(*convs, nn.Linear(16, 10)), lambda w: nn.init.constant_(w, 0.02)), 3, 8, 8)


@faulty("INI101")
def constant_lstm() -> Subject:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    return subject(start(Last(), lambda w: nn.init.constant_(w, 0.05)), 6, 8, classes=4)


@faulty("INI101", "warning")
def a_quarter_of_the_units_copied() -> Subject:
    model = mlp(3)
    with torch.no_grad():
        for tensor, axis in ((model[0].weight, 0), (model[0].bias, 0), (model[2].weight, 1)):
            tensor.narrow(axis, 0, 16).copy_(tensor.narrow(axis, 0, 1).expand_as(tensor.narrow(axis, 0, 16)))
    return subject(model)


@faulty("INI102")
def all_zeros() -> Subject:
    return subject(start(mlp(3), nn.init.zeros_))


@faulty("INI102")
def a_zero_hidden_layer() -> Subject:
    model = mlp(4)
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return subject(model)


@faulty("INI102")
def two_zero_layers_in_a_row() -> Subject:
    model = mlp(5, nn.Tanh)
    for layer in (model[2], model[4]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return subject(model)


@faulty("INI102", "warning")
def zero_weight_behind_a_zero_gate() -> Subject:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(20, 32), mlp(3)
            self.branch = nn.Linear(32, 32, bias=False)
            self.gate, self.narrow = nn.Parameter(torch.zeros(())), nn.Linear(32, 20)
            nn.init.zeros_(self.branch.weight)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head(self.narrow(x + self.gate * self.branch(x)))

    return subject(Gated())


@faulty("INI103", "warning")
def an_ensemble_of_copies() -> Subject:
    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            member = mlp(3)
            self.members = nn.ModuleList(copy.deepcopy(member) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([member(x) for member in self.members]).mean(0)

    return subject(Ensemble())


@faulty("INI103", "note")
def stacked_copies() -> Subject:
    layer = nn.Linear(20, 20)
    copies = [part for _ in range(4) for part in (copy.deepcopy(layer), nn.Tanh())]
    return subject(nn.Sequential(*copies, nn.Linear(20, 10)))


# --- forward ---------------------------------------------------------------------------------------------------


@faulty("FWD201")
def default_relu_30() -> Subject:
    return subject(mlp(30))


@faulty("FWD201")
def default_relu_100() -> Subject:
    return subject(mlp(100))


@faulty("FWD201")
def default_tanh_50() -> Subject:
    return subject(mlp(50, nn.Tanh))


@faulty("FWD201", "warning")
def default_sigmoid_8() -> Subject:
    return subject(mlp(8, nn.Sigmoid))


@faulty("FWD201")
def default_plain_cnn_30() -> Subject:
    convs = [part for _ in range(30) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    return subject(
        nn.Sequential(nn.Conv2d(3, 16, 3), *convs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)), 3, 12, 12
    )


@faulty("FWD201")
def default_relu_30_with_dropout() -> Subject:
    layers = [part for _ in range(30) for part in (nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.2))]
    return subject(nn.Sequential(nn.Linear(20, 64), *layers, nn.Linear(64, 10)))


@faulty("INI104")
def tiny_uniform_weights() -> Subject:
    return subject(start(mlp(10, bias=False), lambda w: nn.init.uniform_(w, -0.02, 0.02)))


@faulty("INI105", "warning")
def large_weights() -> Subject:
    return subject(start(mlp(6), lambda w: nn.init.normal_(w, std=1.0)))


@faulty("INI105")
def huge_weights() -> Subject:
    return subject(start(mlp(10), lambda w: nn.init.normal_(w, std=2.0)))


@faulty("FWD204")
def a_dead_layer() -> Subject:
    model = mlp(4)
    nn.init.constant_(model[2].bias, -30.0)
    return subject(model)


@faulty("FWD204", "warning")
def nine_tenths_dead() -> Subject:
    model = mlp(3)
    with torch.no_grad():
        model[0].bias[:58] = -30.0
    return subject(model)


@faulty("INI105")
def saturated_tanh() -> Subject:
    return subject(start(mlp(3, nn.Tanh), lambda w: nn.init.normal_(w, std=40.0)))


@faulty("DAT601", "warning")
def pixels_of_255_into_a_sigmoid() -> Subject:
    s = subject(mlp(2, nn.Sigmoid))
    return Subject(s.model, torch.rand(64, 20) * 255, s.target, s.loss)


@faulty("FWD206")
def a_nan_weight() -> Subject:
    model = mlp(3)
    with torch.no_grad():
        model[2].weight[3, 5] = float("nan")
    return subject(model)


@faulty("FWD206")
def log_of_a_negative() -> Subject:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(x)

    return subject(nn.Sequential(nn.Linear(20, 32), Log(), nn.Linear(32, 10)))


@faulty("FWD206")
def softmax_then_log_of_zero() -> Subject:
    def nll(probabilities: Tensor, target: Tensor) -> Tensor:
        return -(probabilities.log().gather(1, target[:, None])).mean()

    model = nn.Sequential(mlp(2), nn.Softmax(-1))
    with torch.no_grad():
        model[0][2].bias[0] = -1000.0
    return Subject(model, torch.randn(64, 20), torch.arange(64) % 10, nll)


@faulty("FWD207")
def an_unnormalized_stream() -> Subject:
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(20, 32), nn.Linear(32, 10)
            self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(40))
            for block in self.blocks:
                nn.init.normal_(block.weight, std=32**-0.5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for block in self.blocks:
                x = x + block(x)
            return self.head(x)

    return subject(Stream())


# --- backward --------------------------------------------------------------------------------------------------


@faulty("BWD302")
def chaotic_tanh() -> Subject:
    return subject(start(mlp(30, nn.Tanh), lambda w: nn.init.normal_(w, std=0.5)))


@faulty("BWD302")
def chaotic_tanh_behind_a_concatenation() -> Subject:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x[:, :10], x[:, 10:]], 1)

    return subject(nn.Sequential(Halves(), *start(mlp(30, nn.Tanh), lambda w: nn.init.normal_(w, std=0.5))))


def batch_norm_mlp(depth: int) -> Subject:
    layers = [part for _ in range(depth) for part in (nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU())]
    return subject(nn.Sequential(nn.Linear(20, 64), *layers, nn.Linear(64, 10)))


# Accuracy on digits after 300 steps of Adam: 0.53 to 0.70 at depth 30, 0.11 to 0.13 at depth 50; 0.97 at depth 10.
FAULTY["batch_norm_30_deep"] = Fault(lambda: batch_norm_mlp(30), "BWD302", "warning")
FAULTY["batch_norm_50_deep"] = Fault(lambda: batch_norm_mlp(50), "BWD302", "error")


@faulty("BWD301", "warning")
def a_gradient_scaled_away() -> Subject:
    class Shrink(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:
            return grad * 1e-4

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.rest = mlp(3), nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 10))

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(Shrink.apply(self.first(x)))

    return subject(Body())


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = mlp(3), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).detach())


FAULTY["detached_body"] = Fault(lambda: subject(Detached()), "BWD303", "error")


@faulty("BWD303", "note")
def a_forgotten_layer() -> Subject:
    class Forgotten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.forgotten = mlp(2), nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    return subject(Forgotten())


@faulty("BWD303", "warning")
def no_grad_around_a_layer() -> Subject:
    class Careless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.rest = nn.Linear(20, 20), mlp(4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.first(x)
            return self.rest(x)

    return subject(Careless())


@faulty("BWD304")
def distance_to_itself() -> Subject:
    class Distance(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = mlp(2), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.body(x)
            return self.head((x[:, None] - x[None]).square().sum(-1).sqrt())

    return subject(Distance())


# --- loss ------------------------------------------------------------------------------------------------------


@faulty("OUT501", "warning")
def a_large_head() -> Subject:
    model = mlp(2)
    nn.init.normal_(model[2].weight, std=4.0)
    return subject(model)


@faulty("INI110", "warning")
def tied_head_of_a_standard_normal_embedding() -> Subject:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm = nn.Embedding(200, 64), nn.LayerNorm(64)
            self.body = nn.Linear(64, 64)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embed(tokens)
            return F.linear(self.norm(x + self.body(x)), self.embed.weight).flatten(0, 1)

    tokens = torch.randint(0, 200, (16, 12))
    return Subject(Tied(), tokens, torch.randint(0, 200, (16 * 12,)), F.cross_entropy)


@faulty("OUT501", "note")
def labels_in_the_input() -> Subject:
    target = torch.arange(64) % 10
    model = nn.Linear(10, 10)
    nn.init.eye_(model.weight)
    return Subject(model, 20.0 * F.one_hot(target, 10).float(), target, F.cross_entropy)

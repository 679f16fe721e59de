"""Whole programs with one mistake, of the kind that public collections of bugs hold, on small real data."""

import torch
import torch.nn.functional as F
from faulty import faulty
from faulty_output import dense
from sklearn import datasets
from torch import Tensor, nn

from gainstage.run import Subject

N = 64


def real(name: str, scaled: bool = True) -> tuple[Tensor, Tensor]:
    """The first rows of a data set, shuffled; features as stored, or standardized by column."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    x = (x - x.mean(0)) / (x.std(0) + 1e-8) if scaled else x
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:N]
    return x[rows], y[rows]


def loop(model: nn.Module, x: Tensor, y: Tensor, loss: nn.Module, optimizer: torch.optim.Optimizer) -> Subject:
    """The usual loop around it."""

    def train_step() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return Subject(model, x, y, loss, optimizer, train_step)


def adam(model: nn.Module, lr: float = 1e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr)


# --- data as it comes ------------------------------------------------------------------------------------------------


@faulty("DAT602")
def cancer_without_scaling() -> Subject:
    x, y = real("breast_cancer", scaled=False)
    model = dense(30, 16, 8, 1, end=nn.Sigmoid())
    return loop(model, x, y[:, None].float(), nn.BCELoss(), adam(model))


@faulty("DAT602", "warning")
def wine_without_scaling() -> Subject:
    x, y = real("wine", scaled=False)
    model = dense(13, 32, 3)
    return loop(model, x, y, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1))


@faulty("DAT601", "warning")
def digits_of_255() -> Subject:
    x, y = real("digits", scaled=False)
    model = dense(64, 128, 64, 10)
    return loop(model, x * 15.9375, y, nn.CrossEntropyLoss(), adam(model))


@faulty("DAT603", "warning")
def diabetes_without_scaling() -> Subject:
    x, y = real("diabetes", scaled=False)
    model = dense(10, 64, 32, 1)
    return loop(model, x, y[:, None].float(), nn.MSELoss(), adam(model))


@faulty("DAT603")
def diabetes_by_plain_descent() -> Subject:
    x, y = real("diabetes")
    model = dense(10, 64, 32, 1)
    return loop(model, x, y[:, None].float(), nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01))


@faulty("DAT604", "warning")
def iris_sorted_by_species() -> Subject:
    data = datasets.load_iris()
    x, y = torch.tensor(data.data[:50], dtype=torch.float32), torch.tensor(data.target[:50])
    model = dense(4, 16, 3)
    return loop(model, x, y, nn.CrossEntropyLoss(), adam(model))


# --- the output and the loss -----------------------------------------------------------------------------------------


@faulty("OUT503", "warning")
def iris_with_softmax_and_cross_entropy() -> Subject:
    x, y = real("iris")
    model = dense(4, 16, 3, end=nn.Softmax(dim=1))
    return loop(model, x, y, nn.CrossEntropyLoss(), adam(model, 0.01))


@faulty("OUT503", "warning")
def cancer_with_sigmoid_and_logits_loss() -> Subject:
    x, y = real("breast_cancer")
    model = dense(30, 16, 1, end=nn.Sigmoid())
    return loop(model, x, y[:, None].float(), nn.BCEWithLogitsLoss(), adam(model))


@faulty("OUT504")
def digits_with_nll_and_no_log_softmax() -> Subject:
    x, y = real("digits")
    model = dense(64, 64, 10)
    return loop(model, x, y, nn.NLLLoss(), adam(model))


@faulty("OUT505")
def diabetes_behind_a_sigmoid() -> Subject:
    x, y = real("diabetes")
    model = dense(10, 32, 1, end=nn.Sigmoid())
    return loop(model, x, y[:, None].float(), nn.MSELoss(), adam(model))


@faulty("OUT507")
def diabetes_against_a_row() -> Subject:
    x, y = real("diabetes")
    model = dense(10, 64, 1)
    return loop(model, x, (y - y.mean()).div(y.std()).float(), nn.MSELoss(), adam(model))


@faulty("OUT502")
def cancer_with_one_softmax_unit() -> Subject:
    x, y = real("breast_cancer")
    model = dense(30, 16, 1, end=nn.Softmax(dim=1))
    return loop(model, x, y[:, None].float(), nn.BCELoss(), adam(model))


@faulty("OUT509")
def wine_with_softmax_over_the_batch() -> Subject:
    x, y = real("wine")
    model = dense(13, 32, 3, end=nn.Softmax(dim=0))
    return loop(model, x, y, nn.CrossEntropyLoss(), adam(model))


@faulty("OUT510", "note")
def digits_as_numbers() -> Subject:
    x, y = real("digits")
    model = dense(64, 64, 1)
    return loop(model, x, y[:, None].float(), nn.MSELoss(), adam(model))


@faulty("OUT504", "warning")
def cross_entropy_by_hand_of_clipped_logits() -> Subject:
    class Loss(nn.Module):
        def forward(self, p: Tensor, y: Tensor) -> Tensor:
            p = p.clamp(1e-7, 1 - 1e-7)
            return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    x, y = real("digits")
    model = dense(64, 64, 10)
    return loop(model, x, F.one_hot(y, 10).float(), Loss(), adam(model))


# --- the start and the step ------------------------------------------------------------------------------------------


@faulty("INI101")
def digits_from_constant_weights() -> Subject:
    x, y = real("digits")
    model = dense(64, 64, 10)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.01)
    return loop(model, x, y, nn.CrossEntropyLoss(), adam(model))


@faulty("INI105")
def digits_from_standard_normal_weights() -> Subject:
    x, y = real("digits")
    model = dense(64, 128, 128, 128, 128, 10)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return loop(model, x, y, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01))


@faulty("FWD201")
def digits_through_ten_sigmoids() -> Subject:
    x, y = real("digits")
    model = dense(64, *([64] * 10), 10, act=nn.Sigmoid)
    return loop(model, x, y, nn.CrossEntropyLoss(), adam(model))


@faulty("OPT804")
def digits_at_a_rate_of_ten() -> Subject:
    x, y = real("digits")
    model = dense(64, 64, 10)
    return loop(model, x, y, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=10.0))


@faulty("OPT807")
def digits_without_zero_grad() -> Subject:
    x, y = real("digits")
    model = dense(64, 64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def train_step() -> Tensor:
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return Subject(model, x, y, F.cross_entropy, optimizer, train_step)


@faulty("OPT802")
def a_head_for_iris_made_after_the_optimizer() -> Subject:
    x, y = real("iris")
    model = dense(4, 32, 10)
    optimizer = adam(model)
    model[2] = nn.Linear(32, 3)
    return loop(model, x, y, nn.CrossEntropyLoss(), optimizer)


@faulty("INI111")
def efficient_net_of_a_library() -> Subject:
    """transformers 5 draws the scales of its batch normalizations from N(0, 0.02): the signal dies out."""
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    config = EfficientNetConfig(
        width_coefficient=0.25, depth_coefficient=0.3, image_size=64, hidden_dim=320, num_labels=10
    )
    model = EfficientNetForImageClassification(config).train()
    return Subject(model, {"pixel_values": torch.randn(16, 3, 64, 64), "labels": torch.arange(16) % 10})

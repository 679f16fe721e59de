"""Weight averages of trained models: one model that costs no more than one."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gainstage.train._batchnorm import update_batchnorm
from gainstage.train._errors import TrainError


@dataclass(frozen=True)
class Soup:
    """An average of models.

    Attributes:
        model: holds the averaged weights.
        members: the places of the models that were averaged, in the order in which they were taken.
        score: of the model, if one was asked for.
    """

    model: nn.Module
    members: tuple[int, ...]
    score: float | None = None


def uniform_soup(models: Sequence[nn.Module], *, loader: Iterable[Any] | None = None) -> Soup:
    r"""The mean of all weights.

    $$ \theta = \frac1K \sum_k \theta_k $$

    It helps where the models lie in one basin, as fine-tunings of one model do; models from different starts do not.

    Args:
        models: of one architecture.
        loader: batches for the statistics of batch normalization, as for `update_batchnorm`; needed where there are
            any, since statistics of averaged weights are not averages of statistics.

    Returns:
        A soup with a new module; the models stay as they are.

    Raises:
        TrainError: no models, other names or shapes, or batch normalization without a loader.

    Example:
        >>> a, b = nn.Linear(1, 1), nn.Linear(1, 1)
        >>> soup = uniform_soup([a, b]).model
        >>> torch.allclose(soup.weight, (a.weight + b.weight) / 2)
        True

    References:
        Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy without
        increasing inference time*, ICML 2022.
    """
    _check(models, loader)
    return Soup(_averaged(models, range(len(models)), loader), tuple(range(len(models))))


def greedy_soup(
    models: Sequence[nn.Module], score: Callable[[nn.Module], float], *, loader: Iterable[Any] | None = None
) -> Soup:
    """Take models in the order of their score, and keep each one that does not make the average worse.

    The score of the soup is therefore at least that of the best model, on the samples of `score`: measure the result on
    others. Where there is batch normalization the best model's statistics are renewed too, and the promise holds for
    the models with renewed statistics.

    Args:
        models: of one architecture.
        score: larger is better, for instance validation accuracy. Called `2 K - 1` times for K models.
        loader: as for `uniform_soup`; iterated anew for every average, so no generator.

    Returns:
        The soup, its members and its score.

    Raises:
        TrainError: as `uniform_soup`, or no model has a score above minus infinity.

    Example:
        >>> models = [nn.Linear(1, 1, bias=False) for _ in range(3)]
        >>> for model, value in zip(models, (1.0, 3.0, 9.0)):
        ...     _ = nn.init.constant_(model.weight, value)
        >>> soup = greedy_soup(models, lambda model: -abs(model.weight.item() - 2.2))
        >>> soup.members, soup.model.weight.item()
        ((1, 0), 2.0)

    References:
        Wortsman et al., *Model soups*, ICML 2022, recipe 1.
    """
    _check(models, loader)
    scores = [_number(score(model)) for model in models]
    order = sorted(range(len(models)), key=lambda k: -scores[k])
    if scores[order[0]] == -float("inf"):
        raise TrainError("no model has a score: each was minus infinity or not a number")
    members, best = [order[0]], scores[order[0]]
    soup = _averaged(models, members, loader)
    if loader is not None:
        best = _number(score(soup))
    for k in order[1:]:
        tried = _averaged(models, [*members, k], loader)
        if scores[k] > -float("inf") and (value := _number(score(tried))) >= best:
            members, best, soup = [*members, k], value, tried
    return Soup(soup, tuple(members), best)


def _averaged(models: Sequence[nn.Module], members: Iterable[int], loader: Iterable[Any] | None) -> nn.Module:
    taken = [models[k] for k in members]
    soup = copy.deepcopy(taken[0])
    states = [_tensors(model) for model in taken]
    with torch.no_grad():
        for name, tensor in _tensors(soup).items():
            if tensor.is_floating_point() or tensor.is_complex():
                wide = torch.promote_types(tensor.dtype, torch.float64)
                mean = torch.zeros_like(tensor, dtype=wide)
                for state in states:
                    mean += state[name].to(tensor.device, wide) / len(states)
                tensor.copy_(mean)
    if loader is not None and has_running_statistics(soup):
        update_batchnorm(soup, loader)
    return soup


def _check(models: Sequence[nn.Module], loader: Iterable[Any] | None) -> None:
    if not models:
        raise TrainError("there are no models: give at least one")
    first = {name: t.shape for name, t in _tensors(models[0]).items()}
    for k, model in enumerate(models):
        if {name: t.shape for name, t in _tensors(model).items()} != first:
            raise TrainError(f"model {k} has other names or shapes than model 0: a soup is of one architecture")
    if loader is None and has_running_statistics(models[0]):
        raise TrainError(
            "the models have batch normalization, whose statistics must be renewed for averaged weights: give "
            "loader=, batches of training inputs"
        )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def has_running_statistics(model: nn.Module) -> bool:
    """Whether batch normalization keeps statistics in it."""
    return any(isinstance(m, _BatchNorm) and m.running_mean is not None for m in model.modules())


def _number(value: float) -> float:
    return float(value) if value == value else -float("inf")

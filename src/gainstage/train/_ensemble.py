"""Several networks that answer together."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.train._combining import Average, combine, vote, weights_of
from gainstage.train._errors import TrainError
from gainstage.train._loop import Fit
from gainstage.train.many import fit_many, predict_many


class Ensemble(nn.Module):
    r"""Networks that are trained apart and asked together.

    $$ f(x) = \log \sum_k w_k\, \text{softmax}(f_k(x)) $$

    The answer is a tensor of log-probabilities (see `combine`), so `cross_entropy`, `accuracy` and the calibration
    metrics are right on it as they are. Members that are small and alike are trained as one program, and asked in one
    pass; others one by one, to the same numbers.

    Args:
        members: modules of any architectures with the same kind of output; no two may have equal parameters.
        average: what is averaged: `"probabilities"`, `"logits"`, or `"outputs"` for a regression.
        weights: one for each member; equal by default.

    Raises:
        TrainError: no members, two that are identical, or weights that do not fit.

    Example:
        >>> ensemble = Ensemble.make(lambda seed: nn.Linear(2, 3), 4)
        >>> x, y = torch.randn(64, 2), torch.randint(0, 3, (64,))
        >>> runs = ensemble.fit(x, y, loss=nn.functional.cross_entropy, lr=0.1, steps=20, batch_size=16)
        >>> ensemble.predict(x).exp().sum(1).allclose(torch.ones(64))
        True

    References:
        Hansen & Salamon, *Neural network ensembles*, TPAMI 1990.
        Lakshminarayanan, Pritzel & Blundell, *Simple and scalable predictive uncertainty estimation using deep
        ensembles*, NeurIPS 2017.
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        *,
        average: Average = "probabilities",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not members:
            raise TrainError("an ensemble has at least one member")
        _all_differ(members)
        self.members = nn.ModuleList(members)
        self.average = average
        self.register_buffer("weights", weights_of(weights, len(members)))
        combine(torch.zeros(len(members), 1, 1), average=average)  # its complaint about `average` comes now

    @classmethod
    def make(
        cls,
        factory: Callable[[int], nn.Module],
        size: int,
        *,
        seed: int = 0,
        average: Average = "probabilities",
        weights: Sequence[float] | None = None,
    ) -> "Ensemble":
        """An ensemble of `factory(seed)`, `factory(seed + 1)`, ...

        While the factory runs, torch's random state is set from its seed, and afterwards it is as before: a factory
        that ignores its argument still gives members that differ, the same ones each time.

        Args:
            factory: makes one member from a seed.
            size: number of members.
            seed: of the first.
            average: as for `Ensemble`.
            weights: as for `Ensemble`.
        """
        members = []
        for own in range(seed, seed + size):
            with torch.random.fork_rng():
                torch.manual_seed(own)
                members.append(factory(own))
        return cls(members, average=average, weights=weights)

    def __len__(self) -> int:
        return len(self.members)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The combined answer, with gradients, each member in the mode that it is in."""
        outputs = torch.stack([member(*args, **kwargs) for member in self.members])
        return combine(outputs, average=self.average, weights=self._weights())

    def fit(self, x: Any, y: Any, *, bootstrap: bool = False, seed: int = 0, **options: Any) -> tuple[Fit, ...]:
        """Train every member on its own, as `fit_many` does.

        Args:
            x: samples `[n, ...]`: a tensor, a tuple of positional or a dict of keyword inputs.
            y: targets `[n, ...]`.
            bootstrap: bagging: each member trains on `n` samples drawn with replacement, by its own seed.
            seed: member `k` has the seed `seed + k` for the order of batches, dropout and its bootstrap sample.
            options: of `fit_many`: `loss`, `lr`, `steps`, `batch_size`, and what else it takes.

        Returns:
            What became of each member. One that diverged stays as it last was with finite values.

        References:
            Breiman, *Bagging predictors*, Machine Learning 1996 (`bootstrap`).
        """
        seeds = options.pop("seeds", range(seed, seed + len(self)))
        if bootstrap:
            n = len(y) if isinstance(y, Tensor) else len(next(iter(y.values() if isinstance(y, dict) else y)))
            options["rows"] = [_drawn_with_replacement(n, own) for own in seeds]
        return fit_many(list(self.members), x, y, seeds=list(seeds), **options)

    def outputs(self, x: Any, *, batch_size: int = 1024, together: bool | None = None) -> Tensor:
        """What every member answers, `[members, n, ...]`, in evaluation mode; see `predict_many`."""
        return predict_many(list(self.members), x, batch_size=batch_size, together=together)

    def predict(self, x: Any, *, batch_size: int = 1024, together: bool | None = None) -> Tensor:
        """The combined answer in evaluation mode, without gradients, all members in one pass where they are alike."""
        outputs = self.outputs(x, batch_size=batch_size, together=together)
        return combine(outputs, average=self.average, weights=self._weights())

    def vote(self, x: Any, *, batch_size: int = 1024, together: bool | None = None) -> Tensor:
        """The class that most members predict, `[n]`; ties go to the larger mean probability."""
        return vote(self.outputs(x, batch_size=batch_size, together=together), weights=self._weights())

    def _weights(self) -> Tensor:
        return self.get_buffer("weights")

    def extra_repr(self) -> str:
        """How the members are combined."""
        return f"average={self.average!r}"


def _all_differ(members: Sequence[nn.Module]) -> None:
    for (j, a), (k, b) in combinations(enumerate(members), 2):
        if type(a) is type(b) and _same(dict(a.named_parameters()), dict(b.named_parameters())):
            raise TrainError(
                f"members {j} and {k} have equal parameters, so they would say the same: make each member anew from "
                "its own seed, as in Ensemble.make(lambda seed: Model(), 5), not by copying one"
            )


def _same(a: dict[str, nn.Parameter], b: dict[str, nn.Parameter]) -> bool:
    if a.keys() != b.keys():
        return False
    pairs = [(a[name], b[name]) for name in a]
    return all(s.shape == t.shape and s.device == t.device and torch.equal(s, t) for s, t in pairs)


def _drawn_with_replacement(n: int, seed: int) -> Tensor:
    return torch.randint(n, (n,), generator=torch.Generator().manual_seed(seed))

"""A second model that learns from out-of-fold answers how far to trust each member."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.train._ensemble import Ensemble
from gainstage.train._errors import TrainError
from gainstage.train.many import fit_many, predict_many


class Stacking:
    r"""Members whose answers are the inputs of a learner of scikit-learn.

    $$ f(x) = \text{meta}\left(f_1(x), \dots, f_K(x)\right) $$

    Folds hold each class in the share that the data does. The learner sees, for every training sample, what members
    said that had not been trained on it: each member is trained once on all samples and once without each fold, from
    the same start. All of these runs are one call of `fit_many`. Classifiers hand on their log-probabilities,
    regressions (a floating `y`) their outputs.

    Args:
        make: `make(seed)` returns one member.
        size: number of members.
        folds: number of parts, 2 or more; drawn at random by `seed`.
        meta: an estimator of scikit-learn; by default `LogisticRegression`, or `Ridge` for a regression.
        seed: of the members and of the folds.

    Attributes:
        classes: the label of each column of `predict`, of the first ones where a member has more outputs than there
            are labels; None before `fit` and for a regression.

    Raises:
        TrainError: fewer than 2 folds, or scikit-learn is not installed (extra `study`).

    Example:
        >>> x = torch.randn(60, 2)
        >>> stacking = Stacking(lambda seed: nn.Linear(2, 2), 3, folds=3)
        >>> stacking = stacking.fit(x, (x[:, 0] > 0).long(), loss=nn.functional.cross_entropy, lr=0.1, steps=50,
        ...                         batch_size=10)
        >>> stacking.predict(x).shape
        torch.Size([60, 2])

    References:
        Wolpert, *Stacked generalization*, Neural Networks 1992.
        Breiman, *Stacked regressions*, Machine Learning 1996.
    """

    def __init__(
        self, make: Callable[[int], nn.Module], size: int, *, folds: int = 5, meta: Any = None, seed: int = 0
    ) -> None:
        if folds < 2:
            raise TrainError(f"folds is {folds}, expected 2 or more")
        self.ensemble = Ensemble.make(make, size, seed=seed)
        self.folds, self.seed = folds, seed
        self.meta = meta
        self.classes: Tensor | None = None
        self._classes = 0

    def fit(self, x: Any, y: Tensor, **options: Any) -> "Stacking":
        """Train the members on all samples and without each fold, then the learner.

        Args:
            x: samples `[n, ...]`.
            y: classes `[n]`, or numbers `[n]` or `[n, outputs]`. Classes that are not among the indices of a member's
                outputs, such as 1 to 3 for three, are numbered in order: `classes` says which column is which.
            options: of `fit_many`: `loss`, `lr`, `steps`, `batch_size`, and what else it takes.

        Returns:
            Itself.

        Raises:
            TrainError: fewer samples than folds, a run that diverged, or an input of `fit_many` that does not fit.
        """
        meta = self._meta(regression=y.is_floating_point())
        members, n = list(self.ensemble.members), len(y)
        if n < 2 * self.folds:
            raise TrainError(f"{n} samples are too few for {self.folds} folds: expected {2 * self.folds} or more")
        if not y.is_floating_point():
            y = self._numbered(x, y)
        fold = self._dealt(y)
        without = [[copy.deepcopy(member) for member in members] for _ in range(self.folds)]
        rows = [torch.arange(n)] * len(members)
        for k in range(self.folds):
            rows += [(fold != k).nonzero()[:, 0]] * len(members)
        seeds = [self.seed + k for k in range(len(members))] * (self.folds + 1)
        models = members + [model for part in without for model in part]
        runs = fit_many(models, x, y, rows=rows, seeds=seeds, **options)
        if any(run.diverged for run in runs):
            raise TrainError(f"{sum(run.diverged for run in runs)} of {len(runs)} runs diverged: use a smaller lr")
        features: Tensor | None = None
        for k, part in enumerate(without):
            index = (fold == k).nonzero()[:, 0]
            answers = self._features(predict_many(part, _at(x, index)), y)
            features = answers.new_empty(n, answers.shape[1]) if features is None else features
            features[index.to(features.device)] = answers
        assert features is not None
        meta.fit(features.cpu().numpy(), y.cpu().numpy())
        self.meta = meta
        return self

    def predict(self, x: Any) -> Tensor:
        """Log-probabilities `[n, outputs]` of a classifier (minus infinity for classes never seen), else numbers.

        Raises:
            TrainError: it was not fitted.
        """
        if not self._classes:
            raise TrainError("the learner was not fitted: call fit(x, y, ...) first")
        features = self._features(self.ensemble.outputs(x), None).cpu().numpy()
        if self._classes < 0:
            return torch.as_tensor(self.meta.predict(features))
        found = torch.as_tensor(self.meta.predict_proba(features)).log()
        scores = found.new_full((len(found), self._classes), -float("inf"))
        scores[:, torch.as_tensor(self.meta.classes_)] = found
        return scores

    def _numbered(self, x: Any, y: Tensor) -> Tensor:
        """The labels as indices of a member's outputs."""
        outputs = self.ensemble.outputs(_at(x, torch.arange(1))).shape[2]
        if int(y.min()) >= 0 and int(y.max()) < outputs:
            self.classes = torch.arange(outputs)
            return y
        found: tuple[Tensor, Tensor] = torch.unique(y, return_inverse=True)
        labels, numbered = found
        if len(labels) > outputs:
            raise TrainError(f"y has {len(labels)} classes and a member {outputs} outputs: give it one for each")
        self.classes = labels.cpu()
        return numbered

    def _dealt(self, y: Tensor) -> Tensor:
        """The fold of each sample, at random; those of one class are dealt out in turn."""
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(self.seed))
        if y.is_floating_point():
            return order % self.folds
        order = order[y.cpu()[order].argsort(stable=True)]
        fold = torch.empty(len(y), dtype=torch.long)
        fold[order] = torch.arange(len(y)) % self.folds
        return fold

    def _features(self, outputs: Tensor, y: Tensor | None) -> Tensor:
        """`[n, members * outputs]` from `[members, n, outputs]`."""
        if y is not None:
            self._classes = -1 if y.is_floating_point() else outputs.shape[2]
        seen = outputs.double() if self._classes < 0 else outputs.double().log_softmax(2)
        return seen.transpose(0, 1).flatten(1)

    def _meta(self, *, regression: bool) -> Any:
        try:
            from sklearn.base import clone
            from sklearn.linear_model import LogisticRegression, Ridge
        except ImportError as error:
            raise TrainError("stacking needs scikit-learn: pip install 'gainstage[study]'") from error
        if self.meta is not None:
            return clone(self.meta)
        return Ridge() if regression else LogisticRegression(max_iter=1000)


def _at(x: Any, index: Tensor) -> Any:
    if isinstance(x, dict):
        return {name: t[index.to(t.device)] for name, t in x.items()}
    return tuple(t[index.to(t.device)] for t in x) if isinstance(x, tuple) else x[index.to(x.device)]

"""Mixer: mixup or cutmix on every batch of a training, until an epoch."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from gainstage.train._cutmix import cutmix
from gainstage.train._errors import TrainError
from gainstage.train._mixed import Mixed
from gainstage.train._mixing import Per, alike, batch_size, take, tensors
from gainstage.train._mixup import mixup


class Mixer:
    """Mixes batches by mixup, cutmix, or one of them at random for each batch.

    A batch of 1 is mixed with a sample of the batch before. Where there is none of its shape, as at the very first, it
    is returned with `lam` 1.

    Args:
        mixup: alpha of mixup; 0 for none.
        cutmix: alpha of cutmix; 0 for none.
        p: the probability that a batch is mixed at all.
        switch: the probability of cutmix where both are on.
        per: one share for the `"batch"`, each `"pair"` or each `"element"`.
        dims: the dimensions that cutmix cuts; see `cutmix`.
        stop_epoch: from this epoch on nothing is mixed; see `set_epoch`.
        generator: where the random numbers come from; torch's own on the CPU by default.

    Raises:
        TrainError: a probability is not within 0 to 1, an alpha is negative, or both are 0.

    Example:
        >>> mixer = Mixer(mixup=0.2, stop_epoch=90, generator=torch.Generator().manual_seed(0))
        >>> x, (y_a, y_b, lam) = mixer(torch.rand(5, 3, 8, 8), torch.arange(5))
        >>> mixer.set_epoch(90)
        >>> mixer(torch.rand(5, 3, 8, 8), torch.arange(5))[1].lam
        tensor(1.)
    """

    def __init__(
        self,
        *,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        p: float = 1.0,
        switch: float = 0.5,
        per: Per = "batch",
        dims: tuple[int, ...] | None = None,
        stop_epoch: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        for name, probability in (("p", p), ("switch", switch)):
            if not 0 <= probability <= 1:
                raise TrainError(f"{name} is {probability}: expected a probability from 0 to 1.")
        if not (mixup >= 0 and cutmix >= 0 and mixup + cutmix > 0):
            raise TrainError(f"mixup={mixup} and cutmix={cutmix}: give at least one alpha above 0, e.g. mixup=0.2.")
        self._alphas = (mixup, cutmix)
        self._p = p
        self._cut = switch if mixup and cutmix else float(bool(cutmix))
        self._per: Per = per
        self._dims = dims
        self._stop = stop_epoch
        self._generator = generator
        self._epoch = 0
        self._last: tuple[Any, Any] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, from 0, the next batches belong to."""
        self._epoch = epoch

    @property
    def on(self) -> bool:
        """Whether this epoch is mixed."""
        return self._stop is None or self._epoch < self._stop

    def __call__(self, x: Any, y: Any) -> tuple[Any, Mixed]:
        """A mixed copy of the batch and its two targets.

        Args:
            x: as for `mixup` and `cutmix`.
            y: targets.

        Returns:
            The samples, and `Mixed(y_a, y_b, lam)`. Where nothing is mixed, `x` itself, `y` twice, and `lam` 1 (of the
            shape that it has otherwise).

        Raises:
            TrainError: as `mixup` and `cutmix`.
        """
        n = batch_size(x, y, (), self._per)
        others = self._last if n == 1 and alike(self._last, (x, y)) else None
        self._last = tree_map(_kept, take((x, y), torch.tensor([n - 1]))) if n and self.on else None
        mix, cut = (self._uniform() < bound for bound in (self._p, self._cut)) if self.on else (False, False)
        if not mix or n == 0 or (n == 1 and others is None):
            lam = torch.ones(() if self._per == "batch" else (n,), device=tensors(x)[0].device)
            return x, Mixed(y, y, lam)
        alpha = self._alphas[cut]
        if cut:
            return cutmix(x, y, alpha, per=self._per, dims=self._dims, others=others, generator=self._generator)
        return mixup(x, y, alpha, per=self._per, others=others, generator=self._generator)

    def state_dict(self) -> dict[str, Any]:
        """The epoch, the generator's state, and the sample that a batch of 1 would be mixed with."""
        state = None if self._generator is None else self._generator.get_state()
        return {"epoch": self._epoch, "generator": state, "last": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        if (state["generator"] is None) != (self._generator is None):
            had = "none" if state["generator"] is None else "one"
            raise TrainError(f"the state was saved with {had} for a generator: make the Mixer alike.")
        if self._generator is not None:
            self._generator.set_state(state["generator"])
        self._epoch, self._last = state["epoch"], state["last"]

    def _uniform(self) -> float:
        device = "cpu" if self._generator is None else self._generator.device
        return float(torch.rand((), generator=self._generator, device=device, dtype=torch.float64))


def _kept(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf

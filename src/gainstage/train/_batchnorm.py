"""The statistics of batch normalization over a whole data set."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy

from gainstage.train._errors import TrainError
from gainstage.train._evaluate import mode
from gainstage.train._freeze import is_kept_in_eval
from gainstage.train._loop import call
from gainstage.train._processes import gathered

Run = Callable[[nn.Module, Any], Any]


def update_batchnorm(model: nn.Module, loader: Iterable[Any], *, run: Run | None = None) -> tuple[str, ...]:
    r"""Replace the running statistics of every batch normalization by those of all samples in `loader`.

    $$ n = n_a + n_b, \quad \delta = \mu_b - \mu_a, \quad \mu = \mu_a + \tfrac{n_b}{n} \delta, \quad
       M = M_a + M_b + \tfrac{n_a n_b}{n} \delta^2, \quad \sigma^2_\text{run} = \tfrac{M}{n - 1} $$

    The batches' means and sums of squared deviations are merged by this formula in float64, so every value weighs the
    same whatever the sizes of the batches. In the pass the normalizations use the statistics of each batch, as in
    training, and everything else (dropout, stochastic depth) is in evaluation mode: what a normalization reads is what
    the layers before it give while training. This is what `torch.optim.swa_utils.update_bn` and fvcore's precise
    batch normalization set out to compute. For deep models the batches should be as large as in training.

    Left as they are: layers without running statistics, layers in evaluation mode inside a model in training mode,
    layers that `transfer` froze, and layers that no sample reaches. Where several processes run, all of them call this
    with as many batches, and get the statistics of all their samples. `num_batches_tracked` counts the batches.

    Args:
        model: trained, or averaged.
        loader: batches. Of a pair or list the first item is the input; an input is a tensor, or a tuple of positional
            or a dict of keyword inputs.
        run: `run(model, batch)`, for any other kind of batch.

    Returns:
        Names of the layers whose statistics were replaced.

    Raises:
        TrainError: no batches, a batch with a single value a channel, or statistics that are not finite; the
            statistics are then as they were, as after any other exception.

    Example:
        >>> norm = nn.BatchNorm1d(1)
        >>> update_batchnorm(norm, torch.tensor([[999.0], [1000.0], [1001.0], [0.0], [2000.0]]).split(3))
        ('',)
        >>> norm.running_mean.item(), norm.running_var.item()
        (1000.0, 500000.5)

    References:
        Chan, Golub & LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*, 1979.
        Wu & Johnson, *Rethinking "Batch" in BatchNorm*, 2021.
    """
    layers = {name: layer for name, layer in model.named_modules() if _updated(layer, model)}
    moments = {name: _Moments(name) for name in layers}
    batches = 0
    with _undone(layers), mode(model, training=False), torch.no_grad(), _watched(layers, moments):
        for layer in layers.values():
            layer.training = True
        for batch in loader:
            batches += 1
            model_input = batch[0] if isinstance(batch, list | tuple) and batch else batch
            _ = call(model, model_input) if run is None else run(model, batch)
        if not batches:
            raise TrainError("the loader gave no batches: a generator can be gone through once only")
        reached = [name for name, m in moments.items() if m.merge_processes()]
        for name in reached:
            moments[name].check()
    with torch.no_grad():
        for name in reached:
            moments[name].write(layers[name], batches)
    return tuple(reached)


class _Moments:
    """Number, mean and sum of squared deviations of every channel, in float64."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, x: Tensor) -> None:
        if x.numel() == 0:
            return
        count = x.numel() // x.shape[1]
        if count == 1:
            raise TrainError(
                f"{self.name!r} gets a batch with one value a channel, which has no variance: choose another batch "
                "size, or drop_last=True"
            )
        exact = (x.cpu() if x.device.type == "mps" else x).double()  # MPS has no float64
        var, mean = torch.var_mean(exact, dim=[0, *range(2, x.dim())], correction=0)
        self.merge(count, mean, var * count)

    def merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        if not self.count:
            self.count, self.mean, self.squares = count, mean, squares
            return
        total, delta = self.count + count, mean - self.mean
        self.mean = self.mean + delta * (count / total)
        self.squares = self.squares + squares + delta.square() * (self.count * count / total)
        self.count = total

    def merge_processes(self) -> int:
        """Merge those of all processes, in their order; how many values there are."""
        parts = gathered((self.count, self.mean.cpu(), self.squares.cpu()))
        if len(parts) > 1:
            self.count = 0
            for count, mean, squares in parts:
                if count:
                    self.merge(count, mean, squares)
        return self.count

    def check(self) -> None:
        if not (self.mean.isfinite().all() and self.squares.isfinite().all()):
            raise TrainError(f"the input of {self.name!r} is not finite everywhere, so it has no mean and variance")

    def write(self, layer: nn.Module, batches: int) -> None:
        layer.running_mean.copy_(self.mean)  # type: ignore[operator]
        layer.running_var.copy_(self.squares / (self.count - 1))  # type: ignore[operator]
        if isinstance(layer.num_batches_tracked, Tensor):
            layer.num_batches_tracked.fill_(batches)


def _updated(layer: nn.Module, model: nn.Module) -> bool:
    if not isinstance(layer, _NormBase) or isinstance(layer, _InstanceNorm) or layer.running_mean is None:
        return False
    return not is_kept_in_eval(layer) and (layer.training or not model.training)


@contextmanager
def _watched(layers: dict[str, nn.Module], moments: dict[str, _Moments]) -> Iterator[None]:
    """Every input of the layers reaches their moments."""

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        return lambda layer, args, kwargs: moments[name].add(args[0] if args else kwargs["input"])

    handles = [layer.register_forward_pre_hook(watch(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _undone(layers: dict[str, nn.Module]) -> Iterator[None]:
    """The pass itself moves the buffers: afterwards they are as before, also when it raises."""
    before = {name: [(b, b.clone()) for b in layer.buffers() if not is_lazy(b)] for name, layer in layers.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for pairs in before.values():
                for buffer, values in pairs:
                    buffer.copy_(values)

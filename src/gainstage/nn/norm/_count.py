"""What a layer holds for each feature: what it learns and what it only keeps."""

from dataclasses import dataclass

from torch import nn

from gainstage.nn._errors import LayerError

_OF_THE_LAYER = frozenset(
    {"num_batches_tracked", "alpha", "shift", "mean_weight", "var_weight", "window_count", "micro_batch"}
)


@dataclass(frozen=True)
class ParameterCount:
    """Numbers that a layer holds.

    Attributes:
        features: of the layer.
        learnable: names of the parameters that are trained, with how many numbers each has.
        buffers: names of what is stored and not trained (running statistics, frozen parameters), likewise.
    """

    features: int
    learnable: dict[str, int]
    buffers: dict[str, int]

    @property
    def total(self) -> int:
        """All numbers: learned and stored."""
        return sum(self.learnable.values()) + sum(self.buffers.values())

    @property
    def learnable_per_feature(self) -> int:
        """Learned numbers that every feature has its own of."""
        return _each(self.learnable, self.features)

    @property
    def buffers_per_feature(self) -> int:
        """Stored numbers that every feature has its own of."""
        return _each(self.buffers, self.features)

    @property
    def per_feature(self) -> int:
        """Numbers that every feature has its own of."""
        return self.learnable_per_feature + self.buffers_per_feature

    def __str__(self) -> str:
        """Says what is learned, what is stored, and what that means."""
        text = (
            f"{self.per_feature} for each of {self.features} features, {self.learnable_per_feature} of them learned"
            f"{_listed(self.learnable)}; {self.buffers_per_feature} stored and not learned{_listed(self.buffers)}. "
        )
        shared = {n: c for n, c in (self.learnable | self.buffers).items() if _shared(n)}
        if shared:
            text += "For the whole layer: " + ", ".join(f"{name} ({count})" for name, count in shared.items()) + ". "
        text += f"{self.total} in all, {sum(self.learnable.values())} of them learned."
        if self.buffers_per_feature:
            text += " Stored numbers take no gradient and no optimizer step, and are saved in the state dict."
        return text


def _shared(name: str) -> bool:
    return name.rpartition(".")[2] in _OF_THE_LAYER


def _each(counts: dict[str, int], features: int) -> int:
    return sum(count // features for name, count in counts.items() if not _shared(name))


def _listed(counts: dict[str, int]) -> str:
    names = [name for name in counts if not _shared(name)]
    return f" ({', '.join(names)})" if names else ""


def parameter_count(layer: nn.Module) -> ParameterCount:
    """How many numbers a normalization layer learns and stores, for each feature and in all.

    Args:
        layer: a layer with `num_features`, `num_channels` or `normalized_shape`: ours, and torch's.

    Returns:
        The counts; as text, what they mean.

    Raises:
        LayerError: the layer does not say how many features it has.

    Example:
        >>> count = parameter_count(nn.BatchNorm2d(64))
        >>> count.per_feature, count.learnable_per_feature, count.total
        (4, 2, 257)
        >>> print(count)  # doctest: +NORMALIZE_WHITESPACE
        4 for each of 64 features, 2 of them learned (weight, bias); 2 stored and not learned (running_mean,
        running_var). For the whole layer: num_batches_tracked (1). 257 in all, 128 of them learned. Stored numbers
        take no gradient and no optimizer step, and are saved in the state dict.
    """
    learnable = {name: p.numel() for name, p in layer.named_parameters() if p.requires_grad}
    frozen = {name: p.numel() for name, p in layer.named_parameters() if not p.requires_grad}
    buffers = {name: buffer.numel() for name, buffer in layer.named_buffers()}
    return ParameterCount(_features(layer), learnable, frozen | buffers)


def _features(layer: nn.Module) -> int:
    for name in ("num_features", "num_channels"):
        if isinstance(size := getattr(layer, name, None), int):
            return size
    shape = getattr(layer, "normalized_shape", None)
    if isinstance(shape, tuple):
        count = 1
        for size in shape:
            count *= size
        return count
    raise LayerError(
        f"{type(layer).__name__} has no num_features, num_channels or normalized_shape. "
        "Ask for one normalization layer: parameter_count(model.norm)."
    )

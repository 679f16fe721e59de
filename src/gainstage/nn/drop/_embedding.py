"""Embedding dropout: whole words."""

import torch
from torch import Tensor, nn

from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate


class EmbeddingDropout(Drop):
    r"""An embedding whose words are dropped whole: all occurrences in the batch, or none.

    $$ y_i = \frac{m_{w_i}}{1 - p}\, E_{w_i}, \qquad m_w \sim \text{Bernoulli}(1 - p) $$

    Only the rows that are looked up are computed; `padding_idx`, `max_norm`, sparse gradients and ties are those of
    the embedding, which stays where it was.

    Args:
        embedding: looked up as before.
        p: the probability of dropping a word, 0 to 1.
        generator: where the random numbers come from; torch's own by default.

    Raises:
        LayerError: `p` is not within 0 to 1.

    Example:
        >>> words = EmbeddingDropout(nn.Embedding(100, 8), 0.5)
        >>> y = words(torch.tensor([[7, 7, 7]]))
        >>> bool((y[0, 0] == y[0, 1]).all())
        True

    References:
        Gal, Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent Neural Networks*, NeurIPS 2016.
    """

    def __init__(self, embedding: nn.Embedding, p: float = 0.1, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator=generator)
        self.embedding = embedding

    def forward(self, input: Tensor) -> Tensor:
        """`[...]` ids to `[..., features]`, words dropped in training."""
        y: Tensor = self.embedding(input)
        if not self.training or rate(self.p) == 0:
            return y
        dropped = drop_mask(y, (self.embedding.num_embeddings,), self.p, self.generator)
        return drop(y, dropped[input][..., None], self.p)

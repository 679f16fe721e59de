"""Fused attention written out, for those who need what `scaled_dot_product_attention` keeps to itself."""

import torch
from torch import Tensor


def attention_scores(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The logits of an attention before and after its mask, and the values that their softmax weighs.

    $$ s = \frac{Q K^\top}{\sqrt d}, \qquad \text{result} = \operatorname{softmax}(s + m)\, V $$

    Args:
        query, key, value: `[..., heads, positions, features]`, as `torch.nn.functional.scaled_dot_product_attention`
            takes them, and so are the others.

    Returns:
        Logits, logits with the mask, and values, whose heads are repeated where a group of queries shares one.

    Example:
        >>> x = torch.eye(2)[None]
        >>> scores, masked, value = attention_scores(x, x, x, is_causal=True, scale=1.0)
        >>> scores.tolist(), masked.tolist()
        ([[[1.0, 0.0], [0.0, 1.0]]], [[[1.0, -inf], [0.0, 1.0]]])
    """
    if enable_gqa and query.shape[-3] != key.shape[-3]:
        repeat = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(repeat, -3), value.repeat_interleave(repeat, -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    masked = scores
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        masked = masked.masked_fill(~allowed, float("-inf"))
    if attn_mask is not None:
        masked = masked.masked_fill(~attn_mask, float("-inf")) if attn_mask.dtype == torch.bool else masked + attn_mask
    return scores, masked, value

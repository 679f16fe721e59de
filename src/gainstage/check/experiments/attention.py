"""How peaked fused attention is: the weights that `scaled_dot_product_attention` keeps to itself."""

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.check.experiments._plain import plain
from gainstage.run import call
from gainstage.signal import unchecked

_ROWS = 256  # queries of each call that are looked at


def sharpness(model: nn.Module, example: Any, *, seed: int = 0) -> list[float]:
    r"""For every fused attention call, $\mathrm{E}\left[\sum_k p_k^2\right]$: 1 where each query reads one key.

    One forward pass; each call's attention is worked out again for a few queries, without its mask.
    """
    found: list[float] = []
    with plain(model, seed=seed), _Fused(found):
        call(model, example)
    return found


class _Fused(TorchFunctionMode):
    def __init__(self, found: list[float]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:  # look inside
            with self:
                return unchecked(func)(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            query, key = (args[i] if len(args) > i else kwargs[name] for i, name in ((0, "query"), (1, "key")))
            self.found.append(_sharpness(query, key, kwargs.get("scale")))
        return func(*args, **kwargs)


def _sharpness(query: Tensor, key: Tensor, scale: float | None) -> float:
    heads = query.shape[-3] // key.shape[-3] if query.dim() > 3 else 1
    key = key.repeat_interleave(heads, -3) if heads > 1 else key
    batch = query.flatten(0, -3) if query.dim() > 3 else query
    keys = key.expand(*query.shape[:-2], *key.shape[-2:]).flatten(0, -3) if query.dim() > 3 else key
    few = max(1, _ROWS // query.shape[-2])
    logits = batch[:few].float() @ keys[:few].float().mT * (scale or 1 / math.sqrt(query.shape[-1]))
    return float(logits.softmax(-1).square().sum(-1).mean())

"""The sites of one watched forward pass: a few numbers each, on their device, under the names that the tape has."""

from collections import Counter
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.run import tensors_among, tensors_in
from gainstage.signal import Modules, attention_scores, op_name, ops, sample_axis, unchecked
from gainstage.watch._levels import QUERIES, Numbers, entropy, host, idle, levels, part, peaks, rms, statistics

WINDOW = 5  # reports in which a dead unit was never active
MASKED = -1e4  # logits below are a mask
_SKIPPED = ops.names("rearrange") | ops.names("factory") | {"dropout", "detach", "__get__"}
_RECTIFIERS = frozenset(n for n in ops.names("activation") if ops.named(n).rectifies)
_CHOICES = {"topk", "argmax", "sort", "argsort", "max"}
_PRODUCTS = {"matmul", "bmm", "einsum", "baddbmm", "mm"}
Row = tuple[str, str, Numbers]


class Sites(TorchFunctionMode):
    """Measures what the model computes while it is entered; recomputation in the backward pass is not seen.

    Attributes:
        rows: kind, name and numbers of each site, still on its device.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.modules = model, Modules(model)
        self._idle: dict[str, tuple[int, Any]] = {}  # of a rectifier: reports, and those since each unit was active
        self._stack: ExitStack | None = None
        self.rows: list[Row] = []
        self.begin()

    def begin(self) -> None:
        """Forget the last pass, but for the units that were active in the last ones."""
        self.rows = []
        self.batch: int | None = None
        self._count: Counter[str] = Counter()
        self._weights: dict[int, tuple[Tensor, str]] = {}

    def start(self, module: nn.Module, given: Any) -> None:
        """From here on: the forward pass of a module, in whose hook this is, on these inputs."""
        first = self.modules.stack[0] if self.modules.stack else ("", "")
        self.modules.stack[:] = [first, self.modules.paths.get(id(module), first)]
        sizes = [t.shape[0] for t in tensors_in(given) if t.dim()]
        self.batch = max(sizes, key=sizes.count) if sizes else None
        self._stack = ExitStack()
        self._stack.enter_context(self.modules.hooked())
        self._stack.enter_context(self)

    def stop(self) -> None:
        """The forward pass has ended, or raised."""
        if self._stack is not None:
            self._stack.close()
            self._stack = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            with self:
                return unchecked(func)(*args, **kwargs)
        result = func(*args, **kwargs)
        op = _looked_at(func)
        if op is not None and args and torch.is_grad_enabled():
            x = result if isinstance(result, Tensor) else next(tensors_among(result), None)
            if x is not None and x.dim() and (x.requires_grad or op in _CHOICES):
                with torch._C.DisableTorchFunction(), torch.no_grad():
                    self._look(op, result, x, args, kwargs)
        return result

    def _look(self, op: str, result: Any, x: Tensor, args: Any, kwargs: Any) -> None:
        first = args[0] if isinstance(args[0], Tensor) else None
        if op in _CHOICES:
            self._choose(op, result, first)
            return
        view = first is x or (first is not None and torch._C._is_alias_of(first, x))  # type: ignore[attr-defined]
        if not x.is_floating_point() or (view and op not in _RECTIFIERS):  # in place it is a site all the same
            return
        if x.numel() < 2:
            return
        name = self._name(op)
        axis = sample_axis(tuple(x.shape), self.batch)
        self._put("forward", name, levels(x, axis, op))
        if op in _RECTIFIERS:
            self._units(name, peaks(x, axis))
        if op in ("softmax", "scaled_dot_product_attention"):
            self._attend(op, name, x, args, kwargs)
        elif op in _PRODUCTS and first is not None and id(first) in self._weights:
            weights, name = self._weights.pop(id(first))
            self._put("attention", name, entropy(weights))
        elif op == "batch_norm" and first is not None:
            self._stored(args, kwargs, first)
        if x.grad_fn is not None:
            x.grad_fn.register_prehook(partial(self._gradient, name, axis, x.output_nr))

    def _name(self, op: str) -> str:
        path = self.modules.path
        name = f"{path}/{op}#{self._count[f'{path}/{op}']}" if path else f"{op}#{self._count[f'/{op}']}"
        self._count[f"{path}/{op}"] += 1
        return name

    def _put(self, kind: str, name: str, row: Numbers) -> None:
        self.rows.append((kind, name, row))

    def _gradient(self, name: str, axis: int | None, place: int, gradients: tuple[Tensor | None, ...]) -> None:
        gradient = gradients[place]
        if gradient is not None and gradient.numel():
            with torch.no_grad():
                self._put("backward", name, rms(gradient, axis))

    def _units(self, name: str, peak: Any) -> None:
        reports, before = self._idle.get(name, (0, None))
        if before is None or before.shape != peak.shape:
            reports = 0
        now = idle(before, peak)
        self._idle[name] = reports + 1, now
        dead = now >= min(WINDOW, reports + 1)
        self._put("dead", name, host(dead.double().mean()[None]) if isinstance(dead, Tensor) else [float(dead.mean())])

    def _attend(self, op: str, name: str, x: Tensor, args: Any, kwargs: Any) -> None:
        if op == "softmax":
            self._weights[id(x)] = (x.detach(), name)
            logits = part(args[0], 0)
            self._put("logit", name, host(logits.masked_fill(~(logits > MASKED), 0.0).abs().amax()[None]))
            return
        query, key = args[0][:1, ..., -QUERIES:, :], args[1][:1]
        mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
        rows, keys = query.shape[-2], key.shape[-2]
        if kwargs.get("is_causal") or (len(args) > 5 and args[5]):  # of the last queries
            mask = torch.ones(rows, keys, dtype=torch.bool, device=x.device).tril(keys - rows)
        elif isinstance(mask, Tensor) and mask.dim() >= 2:
            mask = (mask[:1] if mask.dim() == query.dim() else mask)[..., -rows:, :]
        else:
            mask = None
        query, key, scale = query.float(), key.float(), kwargs.get("scale")
        logits, masked, _ = attention_scores(query, key, key, mask, scale=scale, enable_gqa=query.dim() == 4)
        self._put("logit", name, host(logits.abs().amax()[None]))
        self._put("attention", name, entropy(masked.softmax(-1)))

    def _choose(self, op: str, result: Any, first: Tensor | None) -> None:
        """Which of few entries along the last axis were chosen, where the choice is of a signal with a gradient."""
        indices = result if isinstance(result, Tensor) else getattr(result, "indices", None)
        if first is None or indices is None or not first.requires_grad or not 2 <= first.shape[-1] <= 256:
            return
        experts = first.shape[-1]
        if indices.dtype != torch.int64 or (op in ("sort", "argsort")) or indices.numel() < 2 * experts:
            return
        counts = torch.zeros(experts, dtype=torch.float64, device=indices.device)
        counts.scatter_add_(
            0, indices.reshape(-1), torch.ones(indices.numel(), dtype=torch.float64, device=indices.device)
        )
        share = counts / indices.numel()
        self._put("router", self._name(op), host(torch.stack([share.amax() * experts, (counts == 0).double().mean()])))

    def _stored(self, args: Any, kwargs: Any, x: Tensor) -> None:
        stored = kwargs.get("running_var", args[2] if len(args) > 2 else None)
        mean = kwargs.get("running_mean", args[1] if len(args) > 1 else None)
        if isinstance(stored, Tensor) and isinstance(mean, Tensor) and x.dim() > 1:
            self._put("norm", self.modules.path, statistics(x, mean, stored))


@lru_cache(4096)
def _looked_at(func: Any) -> str | None:
    """The name of an operation that can be a site."""
    op = op_name(func)
    return None if op in _SKIPPED else op

"""The sites of one watched forward pass: a few numbers each, on their device, under the names that the tape has."""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.run import tensors_among, tensors_in
from gainstage.signal import Modules, measure, op_name, ops, sample_axis, unchecked

ENTRIES = 2**16  # of a site that are read
WINDOW = 5  # reports in which a dead unit was never active
_SKIPPED = ops.names("rearrange") | ops.names("factory") | {"dropout", "detach", "__get__"}
_RECTIFIERS = frozenset(n for n in ops.names("activation") if ops.named(n).rectifies)
_CHOICES = {"topk", "argmax", "sort", "argsort", "max"}
_PRODUCTS = {"matmul", "bmm", "einsum", "baddbmm", "mm"}
Row = tuple[str, str, Tensor]


class Sites(TorchFunctionMode):
    """Measures what the model computes while it is entered; recomputation in the backward pass is not seen.

    Attributes:
        rows: kind, name and numbers of each site, still on its device.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.modules = model, Modules(model)
        self.units: dict[str, deque[Tensor]] = {}
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
        op = op_name(func)
        if op not in _SKIPPED and torch.is_grad_enabled():
            with torch._C.DisableTorchFunction(), torch.no_grad():
                self._look(op, result, args, kwargs)
        return result

    def _look(self, op: str, result: Any, args: Any, kwargs: Any) -> None:
        x = result if isinstance(result, Tensor) else next(tensors_among(result), None)
        if x is None or not args or not x.dim():
            return
        first = args[0] if isinstance(args[0], Tensor) else None
        if op in _CHOICES:
            self._choose(op, result, first)
            return
        view = first is x or (first is not None and torch._C._is_alias_of(first, x))  # type: ignore[attr-defined]
        if not x.is_floating_point() or (view and op not in _RECTIFIERS):  # in place it is a site all the same
            return
        if x.numel() < 2 or not x.requires_grad:
            return
        name = self._name(op)
        axis = sample_axis(tuple(x.shape), self.batch)
        some = _some(x, axis)
        self._put("forward", name, measure(some, batch=some.shape[axis or 0] if axis is not None else None, op=op))
        if op in _RECTIFIERS:
            self._units(name, _some(x, axis, 4 * ENTRIES))
        if op in ("softmax", "scaled_dot_product_attention"):
            self._attend(op, name, x, args, kwargs)
        elif op in _PRODUCTS and first is not None and id(first) in self._weights:
            self._put("attention", *_entropy(*self._weights.pop(id(first))))
        elif op == "batch_norm" and first is not None:
            self._stored(args, kwargs, first)
        if x.grad_fn is not None:
            with torch.enable_grad():
                x.register_hook(partial(self._gradient, name, axis))  # type: ignore[no-untyped-call]

    def _name(self, op: str) -> str:
        path = self.modules.path
        name = f"{path}/{op}#{self._count[f'{path}/{op}']}" if path else f"{op}#{self._count[f'/{op}']}"
        self._count[f"{path}/{op}"] += 1
        return name

    def _put(self, kind: str, name: str, row: Tensor) -> None:
        self.rows.append((kind, name, row))

    def _gradient(self, name: str, axis: int | None, gradient: Tensor | None) -> None:
        if gradient is not None and gradient.numel():
            with torch.no_grad():
                norm = torch.linalg.vector_norm(_some(gradient, axis).float())
                self._put(
                    "backward", name, norm[None] / max(1, min(gradient.numel(), _some(gradient, axis).numel())) ** 0.5
                )

    def _units(self, name: str, x: Tensor) -> None:
        axis = 1 if x.dim() >= 4 else x.dim() - 1
        others = [a for a in range(x.dim()) if a != axis]
        kept = self.units.setdefault(name, deque(maxlen=WINDOW))
        peak = x.amax(others) if others else x
        if kept and kept[0].shape != peak.shape:
            kept.clear()
        kept.append(peak.detach())
        dead = (torch.stack(tuple(kept)).amax(0) <= 0).double().mean()
        self._put("dead", name, torch.stack([dead, torch.tensor(float(len(kept)), dtype=torch.float64)])[:1])

    def _attend(self, op: str, name: str, x: Tensor, args: Any, kwargs: Any) -> None:
        if op == "softmax":
            self._weights[id(x)] = (x.detach(), name)
            finite = args[0][torch.isfinite(args[0])] if args[0].device.type == "cpu" else args[0].nan_to_num(0, 0, 0)
            self._put("logit", name, finite.abs().amax().double()[None] if finite.numel() else torch.zeros(1).double())
            return
        query, key = args[0][:1], args[1][:1]
        mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
        logits = (
            query.float()[..., -64:, :] @ key.float().repeat_interleave(query.shape[1] // key.shape[1], 1).mT
            if query.dim() == 4
            else query.float() @ key.float().mT
        )
        logits = logits * (kwargs.get("scale") or query.shape[-1] ** -0.5)
        self._put("logit", name, logits.abs().amax().double()[None])
        if kwargs.get("is_causal") or (len(args) > 5 and args[5]):
            rows, keys = logits.shape[-2:]
            logits = logits.masked_fill(
                torch.ones(rows, keys, dtype=torch.bool, device=x.device).triu(keys - rows + 1), -torch.inf
            )
        elif isinstance(mask, Tensor) and mask.dim() >= 2:
            mask = mask[:1] if mask.dim() == logits.dim() else mask
            mask = mask[..., -logits.shape[-2] :, :]
            logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask.float()
        self._put("attention", *_entropy(logits.softmax(-1), name))

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
        self._put("router", self._name(op), torch.stack([share.amax() * experts, (counts == 0).double().mean()]))

    def _stored(self, args: Any, kwargs: Any, x: Tensor) -> None:
        stored = kwargs.get("running_var", args[2] if len(args) > 2 else None)
        mean = kwargs.get("running_mean", args[1] if len(args) > 1 else None)
        if isinstance(stored, Tensor) and isinstance(mean, Tensor) and x.dim() > 1:
            some = x.detach()[: max(2, ENTRIES // max(1, x[0].numel()))].float()
            own = some.var([a for a in range(x.dim()) if a != 1], correction=0).double().mean()
            self._put(
                "norm",
                self.modules.path,
                torch.stack(
                    [stored.double().mean() / own.clamp(min=1e-30), mean.double().norm() + stored.double().norm()]
                ),
            )


def _some(x: Tensor, axis: int | None, most: int = ENTRIES) -> Tensor:
    """Whole samples of a signal, `most` entries together at most; of one without samples its beginning."""
    if x.numel() <= most or not x.dim():
        return x.detach()
    along = axis or 0
    rows = max(2, min(x.shape[along], most * x.shape[along] // x.numel()))
    return x.detach().narrow(along, 0, min(rows, x.shape[along]))


def _entropy(weights: Tensor, name: str) -> tuple[str, Tensor]:
    """Mean entropy of attention weights over that of equal weights on the keys that are not masked."""
    p = weights[:4].double()
    allowed = (p > 0).sum(-1).clamp(min=2).double().log()
    entropy = -(p * p.clamp(min=1e-300).log()).sum(-1)
    counted = (p > 0).sum(-1) > 1
    share = torch.where(counted, entropy / allowed, 0.0).sum() / counted.sum().clamp(min=1)
    return name, torch.where(counted.any(), share, torch.ones_like(share))[None]


Measured = Callable[[], list[Row]]

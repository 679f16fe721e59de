"""The recorder: sees every operation of a pass and puts it on the tape."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from gainstage.errors import ForwardError, GainstageError
from gainstage.run import (
    Guard,
    class_name,
    depth,
    gradients,
    has_data,
    hint,
    line_of_user,
    named_parameters,
    tensors_among,
    tensors_in,
)
from gainstage.signal import ops
from gainstage.signal._functions import (
    COMPOSITE,
    FACTORIES,
    REARRANGE,
    RECTIFIERS,
    differ,
    form_of,
    has_reentrant_checkpoint,
    is_collective,
    map_refs,
    measurable,
    op_name,
    outputs_of,
    packet_name,
    same_memory,
    shares_memory,
    unchecked,
    unit_axis_of,
)
from gainstage.signal._likeness import likeness
from gainstage.signal._modules import Modules
from gainstage.signal._moments import collect, measure, plain_of
from gainstage.signal._provenance import Provenance
from gainstage.signal._sites import Ref, Site
from gainstage.signal._tape import Tape

Visitor = Callable[[Site, Tensor], None]


class Recorder(TorchFunctionMode):
    """Sees every torch function while it is active.

    What is called past torch's functions (scripted or compiled code, a foreign kernel's own calls) it hears of from the
    guard, which stands below.
    """

    def __init__(self, model: nn.Module, batch: int | None, guard: Guard, visit: Visitor | None) -> None:
        super().__init__()
        self.model, self.batch, self.guard, self.visit = model, batch, guard, visit
        guard.unseen = self._unseen
        self.phase = ""  # forward, loss, then replay: what checkpointing recomputes during the backward pass
        self.inside = 0  # torch functions that are running: what they call is theirs
        self.depth = depth()
        self.sites: list[Site] = []
        self.modules = Modules(model)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.rows: list[tuple[Site, str, Tensor]] = []
        self.alike: dict[int, tuple[float, float]] = {}
        self.without_grad: dict[str, Site] = {}
        self.provenance = Provenance(model)

    # --- what happens while the model runs ---------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._is_another():
            return func(*args, **kwargs)
        if func in COMPOSITE:
            with self:
                return unchecked(func)(*args, **kwargs)
        op = op_name(func)
        self.inside += 1
        self.guard.written.clear()
        try:
            result = func(*args, **kwargs)
            first = args[0] if args and isinstance(args[0], Tensor) else None
            changed = first is not None and any(same_memory(first, written) for written in self.guard.written)
            if changed and not isinstance(result, Tensor):
                self._see(func, op, args, kwargs, outputs_of(first), first)
            else:
                self._see(func, op, args, kwargs, outputs_of(result), first if changed else None)
            return result
        except BaseException as error:
            self.modules.failure(error, self._name(op, self.calls[self.modules.path, op]))
            raise
        finally:
            self.inside -= 1

    def _unseen(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """An operation that no torch function called: it is known by the name that the dispatcher has for it."""
        if self.inside or not self.phase or self.phase == "replay" or torch._C._current_graph_task_id() != -1:
            return
        if self._is_another():
            return
        written = next((t for t in self.guard.written if any(t is arg for arg in tensors_among((args, kwargs)))), None)
        self.guard.written.clear()
        self.inside += 1
        try:
            self._see(func, packet_name(func), args, kwargs, outputs_of(result), written)
        finally:
            self.inside -= 1

    def _is_another(self) -> bool:
        """Whether what runs is a pass of its own that the model has asked for (`record` in a hook)."""
        return depth() > self.depth + 1

    def _see(
        self, func: Any, op: str, args: Any, kwargs: Any, results: tuple[Tensor, ...], written: Tensor | None
    ) -> None:
        with torch._C.DisableTorchFunction():  # other modes hear of the model, and not of who looks at it
            self._look(func, op, args, kwargs, tuple(r for r in results if isinstance(r, Tensor)), written)

    def _look(
        self, func: Any, op: str, args: Any, kwargs: Any, results: tuple[Tensor, ...], written: Tensor | None
    ) -> None:
        reads = list(tensors_among((args, kwargs)))
        if any(is_lazy(t) for t in (*reads, *results)):
            return  # without a shape: the module that holds it is about to give it one
        if not results or not reads or op in FACTORIES or (written is None and any(results[0] is t for t in reads)):
            return
        if self.phase == "replay":
            self._replay(op, results[0])
            return
        if written is not None and op.startswith("resize") and self.provenance.get(written) is None:
            return  # what it has grown by holds no numbers yet: it is looked at when it is read
        moves = op in REARRANGE or is_collective(func) or any(shares_memory(results[0], t) for t in reads)
        view = moves and (written is None or op.startswith("resize"))  # what it makes holds no numbers yet
        kind = "view" if view else ("loss" if self.phase == "loss" else "op")
        refs = map_refs((args, kwargs), self._ref)
        if op == "hardtanh" and (refs[1].get("min_val") if "min_val" in refs[1] else [*refs[0], None, None][1]) == 0:
            op = "relu6"  # nn.ReLU6 is a hardtanh from 0 on
        path, module = self.modules.running if self.phase == "forward" else ("(loss)", "loss")
        name = self._name(op, self.calls[path, op], path)
        self.calls[path, op] += 1
        site = self._add(
            Site(len(self.sites), name, path, module, op, kind, refs[0], refs[1], *form_of(results[0]), function=func)
        )
        site.line = line_of_user(until=Recorder.run.__code__)
        if ops.of(site).kind == "embedding":
            self.alike[site.index] = next(
                (likeness(t) for t in reads if not t.is_floating_point() and has_data(t)), (0.0, 0.0)
            )
        for position, result in enumerate(results):
            self._made(result, Ref(site.index, position))
        if written is not None and written._base is not None and self.provenance.named(written._base) is None:
            self._made(written._base, Ref(site.index))
        if kind != "view" and measurable(results[0]):
            self._measure(site, results[0])

    def _measure(self, site: Site, x: Tensor) -> None:
        if self.visit is not None:
            self.visit(site, x)
        unit_axis = unit_axis_of(x) if site.op in RECTIFIERS else None
        self.rows.append((site, "forward", measure(x, batch=self.batch, op=site.op, unit_axis=unit_axis)))
        hooked = torch.is_grad_enabled() and x.requires_grad and plain_of(x) is x
        if hooked and x.grad_fn is not None:  # a leaf is not ours to hang a hook on
            x.register_hook(partial(self._gradient, site))  # type: ignore[no-untyped-call]
        elif self.phase == "forward":
            self.without_grad[site.name] = site

    def _gradient(self, site: Site, grad: Tensor | None) -> None:
        if grad is not None:  # a custom autograd.Function may give none
            self.rows.append((site, "backward", measure(grad)))

    def _replay(self, op: str, x: Tensor) -> None:
        """Reentrant checkpointing ran without gradients; its gradients flow through the recomputation only."""
        path = self.modules.path
        name = self._name(op, self.calls["replay:" + path, op])
        self.calls["replay:" + path, op] += 1
        if x.requires_grad and (site := self.without_grad.pop(name, None)):
            x.register_hook(partial(self._gradient, site))  # type: ignore[no-untyped-call]

    # --- names and leaves --------------------------------------------------------------------------------------

    def _name(self, op: str, count: int, path: str | None = None) -> str:
        path = self.modules.path if path is None else path
        return f"{path}/{op}#{count}" if path else f"{op}#{count}"

    def _add(self, site: Site) -> Site:
        self.sites.append(site)
        return site

    def _ref(self, tensor: Tensor) -> Ref:
        ref = self.provenance.get(tensor)
        if ref is not None:
            return ref
        if (named := self.provenance.named(tensor)) is not None:
            return self._leaf(*named, tensor)
        if (base := self.provenance.behind(tensor)) is not None:
            return self._view(tensor, base)
        return self._leaf("constant", f"constant#{len(self.sites)}", tensor)

    def _view(self, tensor: Tensor, base: Tensor) -> Ref:
        """A view or wrapper that was made behind our back."""
        op = "t" if tensor.shape == base.shape[::-1] and tensor.dim() == 2 else "view"
        reads, (path, module) = self._ref(base), self.modules.running
        name = self._name(op, self.calls[path, op])
        self.calls[path, op] += 1
        site = self._add(Site(len(self.sites), name, path, module, op, "view", (reads,), {}, *form_of(tensor)))
        return self._made(tensor, Ref(site.index))

    def _made(self, tensor: Tensor, ref: Ref) -> Ref:
        self.provenance.put(tensor, ref)
        return ref

    def _leaf(self, kind: str, name: str, tensor: Tensor) -> Ref:
        site = self._add(Site(len(self.sites), name, name, "", kind, kind, (), {}, *form_of(tensor)))
        if kind in ("buffer", "constant") and measurable(tensor):
            self.rows.append((site, "forward", measure(tensor)))
        return self._made(tensor, Ref(site.index))

    def leaves(self, example: Any) -> None:
        """Put the inputs on the tape."""
        self.given = example
        for position, tensor in enumerate(tensors_in(example)):
            site = self.sites[self._leaf("input", f"input#{position}", tensor).site]
            if measurable(tensor):
                self.rows.append((site, "forward", measure(tensor, batch=self.batch)))

    def outputs(self, output: Any) -> tuple[Ref, ...]:
        """The outputs of sites that the model returned."""
        found = (self.provenance.get(tensor) for tensor in tensors_in(output))
        return tuple(ref for ref in found if ref is not None)

    def compare(self, example: Any) -> None:
        """Note which inputs no longer hold what the example holds."""
        pairs = enumerate(zip(tensors_in(example), tensors_in(self.given), strict=False))
        self.overwritten = tuple(f"input#{i}" for i, (before, now) in pairs if has_data(now) and differ(before, now))

    # --- running -----------------------------------------------------------------------------------------------

    def run(self, phase: str, what: str, body: Callable[[], Any]) -> Any:
        """Run one phase with the mode active; an exception of the model becomes a `ForwardError` with the place."""
        self.phase = phase
        try:
            with self:
                return body()
        except GainstageError:
            raise
        except Exception as error:
            last = self.sites[-1].name if self.sites and phase == "loss" else type(self.model).__name__
            place = self.modules.place(error) or last
            said = f"{what} raised at {place}: {type(error).__name__}: {error}{hint(error)}"
            raise ForwardError(said) from error
        finally:
            self.phase = ""

    def backward(self, total: Tensor) -> dict[str, Tensor]:
        """Run the backward pass; the gradients of the parameters by name."""
        self.phase = "replay"
        replays = has_reentrant_checkpoint(total)
        further = [t for t in tensors_in(self.given) if t.requires_grad]
        try:
            with self if replays else nullcontext():
                found = gradients(self.model, total, further=further, accumulate=replays)
        finally:
            self.phase = ""
        by_name = {site.path: site for site in self.sites if site.kind == "parameter"}
        for name, gradient in found.items():
            if name in by_name:
                self.rows.append((by_name[name], "backward", measure(gradient)))
        return found

    def tape(self, outputs: tuple[Ref, ...], loss: Tensor | None, stand_in: bool) -> Tape:
        """The finished tape: the one place where the host waits for the device."""
        rows = [row for _, _, row in self.rows]
        if loss is not None:
            rows.append(measure(loss.reshape(1)))
        moments = collect(rows)
        for (site, side, _), found in zip(self.rows, moments, strict=False):
            setattr(site, side, found)
        used = {site.path for site in self.sites if site.kind == "parameter"}
        return Tape(
            model=class_name(self.model),
            sites=tuple(self.sites),
            outputs=outputs,
            loss=moments[-1].mean if loss is not None else None,
            surrogate=stand_in,
            batch=self.batch,
            ties=dict(self.provenance.ties),
            alike=self.alike,
            overwritten=self.overwritten,
            unused=tuple(name for name, _ in named_parameters(self.model) if name not in used),
        )

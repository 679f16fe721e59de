"""Record one pass of a model as a tape."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from gainstage.errors import ForwardError, GainstageError
from gainstage.signal._functions import (
    COMPOSITE,
    FACTORIES,
    REARRANGE,
    RECTIFIERS,
    form_of,
    has_reentrant_checkpoint,
    map_refs,
    measurable,
    op_name,
    outputs_of,
    plain_of,
    shares_memory,
    tensors_among,
    unchecked,
    unit_axis_of,
    version_of,
    writes,
)
from gainstage.signal._hints import hint
from gainstage.signal._moments import collect, measure
from gainstage.signal._objective import objective
from gainstage.signal._structure import batch_size, call, describe, tensors_in, to_device_of
from gainstage.signal._subject import Loss
from gainstage.signal._tape import Ref, Site, Tape
from gainstage.signal._undisturbed import WriteGuard, undisturbed

Visitor = Callable[[Site, Tensor], None]


@dataclass
class Pass:
    """What one observed pass leaves: the tape and the gradient of every parameter that got one."""

    tape: Tape
    gradients: dict[str, Tensor] = field(default_factory=dict)


def record(
    model: nn.Module, example: Any, *, target: Any = None, loss: Loss | None = None, backward: bool = True
) -> Tape:
    """Run `model` once, forward and backward, and return the tape. The model is left as it was.

    Sees every operation in execution order, wherever it is written: modules, functional calls, operators, in-place
    operations, `nn.Parameter` used directly, recurrent layers, attention, checkpointed segments (counted once).
    The cost is one forward and one backward pass, and about seven reads of every activation.

    Args:
        model: any module that runs; it is run in the mode (train or eval) that it is in.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
            The first axis that the inputs share is taken as the samples.
        target: what `loss` compares the output with.
        loss: `loss(output, target)` returns a scalar. Without it the output's own `.loss` (or key `loss`) is used;
            without either, `signal.surrogate` makes gradients flow.
        backward: also record the gradient at every site.

    Returns:
        The tape. Models on the meta device give a tape without moments.

    Raises:
        ForwardError: the model or the loss raised; the message names the site, the cause is chained.
        GainstageError: the loss is no scalar, or nothing needs a gradient.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh())
        >>> [site.name for site in gs.record(model, torch.ones(2, 4))]
        ['0/linear#0', '1/tanh#0']
    """
    return observe(model, example, target=target, loss=loss, backward=backward).tape


def observe(
    model: nn.Module,
    example: Any,
    *,
    target: Any = None,
    loss: Loss | None = None,
    backward: bool = True,
    visit: Visitor | None = None,
    seed: int = 0,
) -> Pass:
    """`record`, with the parameters' gradients kept.

    Args:
        visit: called with every site that computes and its first output, before anything reads that output.
        seed: seeds dropout and other randomness of the pass.
    """
    if not isinstance(model, nn.Module):
        raise GainstageError(f"expected an nn.Module, got {type(model).__name__}; pass the model itself, not its class")
    _refuse_lazy(model)
    example = to_device_of(model, example)
    backward = backward and not any(p.is_meta for p in model.parameters())
    with undisturbed(model, seed=seed) as guard, _eager(model):
        recorder = _Recorder(model, batch_size(model, example, target), guard, visit)
        recorder.leaves(example)
        with recorder.modules_hooked(), torch.set_grad_enabled(backward):
            output = recorder.run("forward", f"a forward pass on {describe(example)}", lambda: call(model, example))
            outputs = tuple(recorder.values[t] for t in tensors_in(output) if t in recorder.values)
            value, stand_in = None, False
            gradients: dict[str, Tensor] = {}
            if backward:
                recorder.phase = "loss"
                total, stand_in = recorder.run("loss", "the loss", lambda: objective(output, target, loss))
                del output
                value = total.detach()
                if not total.requires_grad:
                    raise GainstageError("the loss does not depend on any parameter that needs a gradient")
                gradients = recorder.backward(total)
        return Pass(recorder.tape(outputs, value, stand_in), gradients)


class _Recorder(TorchFunctionMode):
    """Sees every torch function while it is active; knows the module by a stack that hooks keep."""

    def __init__(self, model: nn.Module, batch: int | None, guard: WriteGuard, visit: Visitor | None) -> None:
        super().__init__()
        self.model, self.batch, self.guard, self.visit = model, batch, guard, visit
        self.phase = "forward"  # forward, loss, then replay: what checkpointing recomputes during the backward pass
        self.sites: list[Site] = []
        self.values: Any = WeakTensorKeyDictionary()
        self.stack: list[tuple[str, str]] = [("", type(model).__name__)]
        self.calls: Counter[tuple[str, str]] = Counter()
        self.rows: list[tuple[Site, str, Tensor]] = []
        self.without_grad: dict[str, Site] = {}
        self.failed: tuple[BaseException, str] | None = None
        self.names: dict[int, tuple[str, str]] = {}
        self.ties: dict[str, str] = {}
        for kind, named in (("buffer", model.named_buffers), ("parameter", model.named_parameters)):
            for name, tensor in named(remove_duplicate=False):
                first = self.names.setdefault(id(tensor), (kind, name))[1]
                if first != name and kind == "parameter":
                    self.ties[name] = first

    # --- what happens while the model runs ---------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in COMPOSITE:
            with self:
                return unchecked(func)(*args, **kwargs)
        op = op_name(func)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and writes(func):
            self.guard.before_write(first)
        version = version_of(first)
        try:
            result = func(*args, **kwargs)
        except Exception as error:
            self._note_failure(error, self._name(op, self.calls[self.stack[-1][0], op]))
            raise
        changed = first is not None and version_of(first) != version
        if changed and (result is None or result is NotImplemented or not isinstance(result, Tensor)):
            self._see(func, op, args, kwargs, outputs_of(first), first)
        else:
            self._see(func, op, args, kwargs, outputs_of(result), first if changed else None)
        return result

    def _see(
        self, func: Any, op: str, args: Any, kwargs: Any, results: tuple[Tensor, ...], written: Tensor | None
    ) -> None:
        results = tuple(r for r in results if isinstance(r, Tensor))
        reads = list(tensors_among((args, kwargs)))
        if not results or not reads or op in FACTORIES or (written is None and any(results[0] is t for t in reads)):
            return
        if self.phase == "replay":
            self._replay(op, results[0])
            return
        view = written is None and (op in REARRANGE or any(shares_memory(results[0], t) for t in reads))
        kind = "view" if view else ("loss" if self.phase == "loss" else "op")
        refs = map_refs((args, kwargs), self._ref)
        if op == "hardtanh" and (refs[1].get("min_val") if "min_val" in refs[1] else [*refs[0], None, None][1]) == 0:
            op = "relu6"  # nn.ReLU6 is a hardtanh from 0 on
        path, module = self.stack[-1] if self.phase == "forward" else ("(loss)", "loss")
        name = self._name(op, self.calls[path, op], path)
        self.calls[path, op] += 1
        site = self._add(
            Site(len(self.sites), name, path, module, op, kind, refs[0], refs[1], *form_of(results[0]), function=func)
        )
        for position, result in enumerate(results):
            self.values[result] = Ref(site.index, position)
        if written is not None and written._is_view() and written._base is not None:
            self.values[written._base] = Ref(site.index)
        if kind != "view" and measurable(results[0]):
            self._measure(site, results[0])

    def _measure(self, site: Site, x: Tensor) -> None:
        if self.visit is not None:
            self.visit(site, x)
        unit_axis = unit_axis_of(x) if site.op in RECTIFIERS else None
        values = plain_of(x)
        self.rows.append((site, "forward", measure(values, batch=self.batch, op=site.op, unit_axis=unit_axis)))
        if x.requires_grad and values is x:
            _ = x.grad_fn  # of a view that was written to torch makes it anew; without it, `register_hook` crashes
            x.register_hook(partial(self._gradient, site))  # type: ignore[no-untyped-call]
        elif self.phase == "forward":
            self.without_grad[site.name] = site

    def _gradient(self, site: Site, grad: Tensor | None) -> None:
        if grad is not None:  # a custom autograd.Function may give none
            self.rows.append((site, "backward", measure(grad)))

    def _replay(self, op: str, x: Tensor) -> None:
        """Reentrant checkpointing ran without gradients; its gradients flow through the recomputation only."""
        path = self.stack[-1][0]
        name = self._name(op, self.calls["replay:" + path, op])
        self.calls["replay:" + path, op] += 1
        if x.requires_grad and (site := self.without_grad.pop(name, None)):
            x.register_hook(partial(self._gradient, site))  # type: ignore[no-untyped-call]

    # --- names and leaves --------------------------------------------------------------------------------------

    def _name(self, op: str, count: int, path: str | None = None) -> str:
        path = self.stack[-1][0] if path is None else path
        return f"{path}/{op}#{count}" if path else f"{op}#{count}"

    def _add(self, site: Site) -> Site:
        self.sites.append(site)
        return site

    def _ref(self, tensor: Tensor) -> Ref:
        if tensor not in self.values:
            kind, name = self.names.get(id(tensor), ("constant", f"constant#{len(self.sites)}"))
            self._leaf(kind, name, tensor)
        ref: Ref = self.values[tensor]
        return ref

    def _leaf(self, kind: str, name: str, tensor: Tensor) -> Site:
        site = self._add(Site(len(self.sites), name, name, "", kind, kind, (), {}, *form_of(tensor)))
        self.values[tensor] = Ref(site.index)
        return site

    def leaves(self, example: Any) -> None:
        """Put the inputs on the tape."""
        for position, tensor in enumerate(tensors_in(example)):
            site = self._leaf("input", f"input#{position}", tensor)
            if measurable(tensor):
                self.rows.append((site, "forward", measure(tensor, batch=self.batch)))

    # --- running -----------------------------------------------------------------------------------------------

    def run(self, phase: str, what: str, body: Callable[[], Any]) -> Any:
        """Run one phase with the mode active; an exception of the model becomes a `ForwardError` with the place."""
        try:
            with self:
                return body()
        except GainstageError:
            raise
        except Exception as error:
            place = self.failed[1] if self.failed and self.failed[0] is error else ""
            place = place or (self.sites[-1].name if self.sites and phase == "loss" else type(self.model).__name__)
            said = f"{what} raised at {place}: {type(error).__name__}: {error}{hint(error)}"
            raise ForwardError(said) from error

    def backward(self, total: Tensor) -> dict[str, Tensor]:
        """Run the backward pass; the gradients of the parameters by name."""
        named = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.phase = "replay"
        try:
            if self.without_grad and has_reentrant_checkpoint(total):
                for parameter in named.values():
                    parameter.grad = None
                with self:
                    torch.autograd.backward(total)
                grads = [p.grad for p in named.values()]
            else:
                grads = list(torch.autograd.grad(total, list(named.values()), allow_unused=True))
        except Exception as error:
            raise ForwardError(f"the backward pass raised {type(error).__name__}: {error}") from error
        gradients = {name: g for name, g in zip(named, grads, strict=True) if g is not None}
        by_name = {site.path: site for site in self.sites if site.kind == "parameter"}
        for name, gradient in gradients.items():
            if name in by_name:
                self.rows.append((by_name[name], "backward", measure(gradient)))
        return gradients

    @contextmanager
    def modules_hooked(self) -> Iterator[None]:
        """Keep the stack of modules while they run."""
        with ExitStack() as hooks:
            for path, module in self.model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue
                enter = partial(self._enter, (path, type(module).__name__))
                before = module.register_forward_pre_hook(enter, prepend=True)
                after = module.register_forward_hook(self._leave, always_call=True)
                hooks.callback(before.remove)
                hooks.callback(after.remove)
            yield

    def _enter(self, frame: tuple[str, str], module: nn.Module, inputs: Any) -> None:
        self.stack.append(frame)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if (error := sys.exc_info()[1]) is not None:
            self._note_failure(error, self.stack[-1][0])
        self.stack.pop()

    def _note_failure(self, error: BaseException, place: str) -> None:
        if self.failed is None or self.failed[0] is not error:
            self.failed = (error, place)

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
            model=type(self.model).__name__,
            sites=tuple(self.sites),
            outputs=outputs,
            loss=moments[-1].mean if loss is not None else None,
            surrogate=stand_in,
            batch=self.batch,
            ties=dict(self.ties),
            unused=tuple(name for name, _ in self.model.named_parameters() if name not in used),
        )


def _refuse_lazy(model: nn.Module) -> None:
    lazy = [name for name, p in model.named_parameters() if isinstance(p, nn.parameter.UninitializedParameter)]
    if lazy:
        raise GainstageError(
            f"parameter {lazy[0]!r} of a lazy module has no shape yet; run the model once on an example first"
        )


@contextmanager
def _eager(model: nn.Module) -> Iterator[None]:
    """Run compiled submodules eagerly, where torch.compile has been used at all."""
    if "torch._dynamo" in sys.modules and any(
        hasattr(m, "_orig_mod") or m._compiled_call_impl for m in model.modules()
    ):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield

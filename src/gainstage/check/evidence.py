"""What the rules read: one object a check, each fact measured when the first rule asks for it."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.check._fact import NotMeasured
from gainstage.check.experiments import one_pass, virtual_steps
from gainstage.check.experiments.foretold import foretell
from gainstage.check.experiments.virtual_step import negligible
from gainstage.check.facts.cuts import cuts
from gainstage.check.facts.weights import Weight, weights_of
from gainstage.check.findings import Fix, Repair
from gainstage.init import Law
from gainstage.plan import Assignment, Plan, plan_from
from gainstage.run import Loss, dense, has_data, named_parameters, numbers, tensors_in, whole
from gainstage.signal import Attention, Branch, Graph, Moments, Ref, Tape, attentions, branches, ops


class Evidence:
    """What is known of a model: the tape of one pass, its structure, gradients, and facts about its weights.

    Attributes:
        model, example, target, loss, optimizer, train_step, train, steps, seed: as given to `check`.
        tape: of one observed pass without dropout.
        gradients: of that pass, by parameter name; a parameter that got none is missing.
        heard: what the loss of that pass was given.
        known: the facts that were asked for already (`check/_fact.py`).
        parameters: all of the model's, by name.
        trainable: those that require a gradient; without empty ones.
        has_numbers: whether the parameters have values: none is on the meta device or fake.
        foretold: none of them has any, and the moments of the sites are what theory foresees.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Any,
        *,
        target: Any = None,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        train_step: Callable[[], Tensor | float] | None = None,
        train: bool = False,
        steps: int = 16,
        seed: int = 0,
    ) -> None:
        self.model, self.example, self.target, self.loss, self.seed = model, example, target, loss, seed
        self.optimizer, self.train_step, self.train, self.steps = optimizer, train_step, train, steps
        self.known: dict[Callable[..., Any], Any] = {}
        self.parameters = dict(named_parameters(model))
        self.trainable = {name: p for name, p in self.parameters.items() if p.requires_grad and p.numel()}
        valued = {has_data(p) for p in self.parameters.values()}
        self.has_numbers = False not in valued
        observed, self.heard = one_pass(model, example, target=target, loss=loss, seed=seed)
        self.tape: Tape = observed.tape
        self.foretold = valued == {False} and foretell(self.tape, model, example, target, loss)
        self.gradients = {n: numbers(whole(g)) for n, g in observed.gradients.items() if n in self.trainable}

    # --- structure -------------------------------------------------------------------------------------------------

    @cached_property
    def graph(self) -> Graph:
        """The structure of the tape."""
        return Graph(self.tape)

    @cached_property
    def branches(self) -> list[Branch]:
        """Residual branches in execution order."""
        return branches(self.graph)

    @cached_property
    def attentions(self) -> list[Attention]:
        """Every attention of the pass."""
        return attentions(self.graph)

    @cached_property
    def depth(self) -> list[int]:
        """For every site, how many weights lie on the longest path from the inputs to it."""
        depth: list[int] = []
        for site in self.tape.sites:
            before = max((depth[ref.site] for ref in site.inputs), default=0)
            depth.append(before + self.multiplies(site.index))
        return depth

    def multiplies(self, index: int) -> bool:
        """Whether a site multiplies its data with a weight; look-ups do not."""
        call = self.graph.weights.get(index)
        return (call is not None and call.data is not None) or self.recurrent(index)

    def recurrent(self, index: int) -> bool:
        """Whether a site is a recurrent layer or cell."""
        return self.tape.sites[index].op.split("_")[0] in ("lstm", "gru", "rnn")

    @cached_property
    def one_key(self) -> set[int]:
        """The weight sites that make queries and keys of attention over a single key, which gives them no gradient."""
        found: set[int] = set()
        for attention in self.attentions:
            if attention.logits is not None:
                keys = self.graph.shapes[attention.logits][-1]
            else:
                keys = self.graph.shapes[ops.argument(self.tape.sites[attention.site], "key").site][-2]
            if keys == 1:
                found |= {*attention.queries, *attention.keys}
        return found

    @cached_property
    def values(self) -> Mapping[str, Tensor]:
        """What every parameter holds: of a sharded one the whole."""
        return {name: dense(p.data) for name, p in self.parameters.items()}

    @cached_property
    def weights(self) -> list[Weight]:
        """The parameters that multiply or look up a signal, in the order of their first use."""
        return weights_of(self.graph, self.values, self.gradients)

    # --- the signal ------------------------------------------------------------------------------------------------

    def measured(self) -> None:
        """Raise `NotMeasured` where the pass has no numbers, not even foretold ones."""
        if not self.has_numbers and not self.foretold:
            raise NotMeasured("the model is on the meta device or fake, where tensors have no values")

    def made_by(self, index: int) -> int:
        """The site behind views that made this signal."""
        while self.tape.sites[index].kind == "view" and (reads := self.graph.data(index)):
            index = reads[0].site
        return index

    def feeds(self, index: int) -> list[int]:
        """The measured sites and inputs whose signal a site reads, largest variance between samples first."""
        found = dict.fromkeys(self.made_by(ref.site) for ref in self.graph.data(index))
        return sorted((i for i in found if self.tape.sites[i].forward), key=self._variance, reverse=True)

    def _variance(self, index: int) -> float:
        moments = self.forward(index)
        return moments.variance_between if moments.variance_between == moments.variance_between else 0.0

    def forward(self, index: int) -> Moments:
        """The moments of a measured site."""
        moments = self.tape.sites[index].forward
        assert moments is not None, self.tape.sites[index].name
        return moments

    @cached_property
    def outputs(self) -> list[int]:
        """The sites that made the model's outputs: real, one row a sample, with a gradient if there is one at all."""
        found = []
        for index in dict.fromkeys(self.made_by(ref.site) for ref in self.tape.outputs):
            site = self.tape.sites[index]
            if site.kind != "op" or site.forward is None or not site.forward.count or index in self.graph.constant:
                continue
            per_sample = site.forward.variance_between == site.forward.variance_between
            if per_sample and (site.backward is not None or not self.gradients):
                found.append(index)
        return found

    def varied_outputs(self) -> list[int]:
        """`outputs`, or `NotMeasured` with the reason why samples cannot be compared there."""
        self.measured()
        if self.tape.batch is None or self.tape.batch < 2:
            raise NotMeasured("the example holds one sample; give at least two different ones")
        if not self.input_varies:
            raise NotMeasured("all samples of the example are equal; give different ones")
        if not self.outputs:
            raise NotMeasured("the model returns no real tensor with one row a sample")
        return self.outputs

    @cached_property
    def input_varies(self) -> bool:
        """Whether any two samples of the example differ."""
        for tensor in tensors_in(self.example):
            for axis in range(min(2, tensor.dim())):
                if tensor.shape[axis] == self.tape.batch:
                    rows = tensor.movedim(axis, 0)
                    if bool((rows != rows[:1]).any()):
                        return True
                    break
        return False

    @cached_property
    def input_level(self) -> tuple[float, float]:
        """Variance between samples and mean square of the input; 1 and 1 for token ids."""
        given = [s.forward for s in self.tape.sites if s.kind == "input" and s.forward is not None]
        varied = [m for m in given if m.variance_between > 0]
        if not varied or any(s.kind == "input" and s.dtype.startswith("int") for s in self.tape.sites):
            return 1.0, 1.0
        best = max(varied, key=lambda m: m.variance_between)
        return best.variance_between, best.mean_square

    @cached_property
    def heads(self) -> list[int]:
        """Behind each output, following the signal that varies most, the last site that multiplies with a weight."""
        found = []
        for index in self.outputs:
            while not self.multiplies(index) and (feeds := self.feeds(index)):
                index = feeds[0]
            if self.multiplies(index):
                found.append(index)
        return list(dict.fromkeys(found))

    def before_zero_heads(self, index: int) -> int:
        """Behind an output head whose weight is zero, the signal that it reads: such a head is a usual start."""
        zero = {site for weight in self.weights if weight.zero for site in weight.sites} if self.has_numbers else set()
        while (feeds := self.feeds(index)) and (
            self.forward(index).mean_square == 0 or self.graph.source(Ref(index)) in zero
        ):
            index = feeds[0]
        return index

    def origin(self, end: int, bad: Callable[[Moments], bool]) -> int:
        """From a bad site against the signal to the first site of an unbroken line of bad ones."""
        while True:
            feeds = [i for i in self.feeds(end) if self.tape.sites[i].kind == "op"]
            if len(feeds) < len(self.feeds(end)) or not feeds or not bad(self.forward(feeds[0])):
                return end
            end = feeds[0]

    def cut(self, index: int) -> bool:
        """Whether every path from the inputs to the outputs and the loss goes through this site."""
        return index in self.cuts

    @cached_property
    def cuts(self) -> set[int]:
        """Every site of which `cut` is true."""
        return cuts(self.graph)

    # --- gradients -------------------------------------------------------------------------------------------------

    def backward_measured(self) -> None:
        """Raise `NotMeasured` where there was no backward pass."""
        self.measured()
        if not self.trainable:
            raise NotMeasured("no parameter is trainable")

    def loss_measured(self) -> float:
        """The loss of the observed pass; raise `NotMeasured` where there is only the surrogate."""
        if self.heard.loss is None:
            raise NotMeasured("no loss was given: pass target= and loss=, or an example with labels")
        return self.heard.loss

    @cached_property
    def waiting(self) -> set[str]:
        """The trainable parameters whose gradient is missing, zero or nothing beside the others'."""
        return negligible(self.gradients, set(self.trainable))

    @cached_property
    def settled(self) -> Mapping[str, Tensor]:
        """The gradients; for a parameter in `waiting`, that of the virtual step at which it got one, if it did."""
        reached = {n for n in self.waiting if n not in self.tape.unused}
        if not reached or not self.gradients:
            return self.gradients
        kinds = {"target": self.target, "loss": self.loss, "seed": self.seed}
        try:
            found = virtual_steps(self.model, self.example, self.gradients, reached, **kinds)
        except RuntimeError as error:
            raise NotMeasured(f"a virtual step was not possible: {type(error).__name__}: {error}") from error
        return {**self.gradients, **found}

    # --- fixes -----------------------------------------------------------------------------------------------------

    @cached_property
    def planner(self) -> Callable[[], Plan | None]:
        """Makes the auto plan, once; None where the model cannot be planned."""
        return cache(partial(_planned, self.model, self.example, self.tape, "auto"))

    @cached_property
    def _laws(self) -> Mapping[str, Law]:
        made: Mapping[str, Assignment] = _planned(self.model, self.example, self.tape, "theory") or {}
        return {name: law for name in self.parameters if name in made and (law := made[name].law) is not None}

    def fix(self, text: str, names: Iterable[str] | None = None, repair: Repair | None = None) -> Fix:
        """A fix that draws the named parameters from the laws of theory; without names, all trainable ones."""
        wanted = self.trainable if names is None else [n for n in names if n in self.trainable]
        return Fix(text, {name: self._laws[name] for name in wanted if name in self._laws}, repair)


def _planned(model: nn.Module, example: Any, tape: Tape, scheme: str) -> Plan | None:
    try:
        return plan_from(model, example, tape, scheme)
    except Exception:  # a check must not fail because its fix does
        return None


def finite(value: float) -> bool:
    """Whether a measured number is one."""
    return bool(torch.isfinite(torch.tensor(value, dtype=torch.float64)))

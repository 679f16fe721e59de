"""One case from one integer, always the same: a module, its example, a call, a context, an exception."""

import dataclasses
import inspect
import random
from typing import Any

import torch
from torch import nn

from fuzz import attributes, buffers, compose, exotic, functional, hooks, layers, noise, parameters  # noqa: F401  they register
from fuzz.calls import CALLS, STEPS
from fuzz.contexts import CONTEXTS, weighted
from fuzz.ends import CLASSES, HEADS, STEMS, Keywords, Model, Sum
from fuzz.faults import Fault, Faulty, draw_fault
from fuzz.prepare import Scene
from fuzz.registry import PARTS, SLOW, WRAPPERS, draw_part

WHOLES = ("module", "sequential", "scripted", "built_in_inference", "submodule")
Tree = tuple[str, ...]  # a part's name, or a wrapper's name and the trees that it wraps


@dataclasses.dataclass(frozen=True)
class Case:
    """Everything that is drawn. `build` makes the scene, the same every time."""

    seed: int
    width: int
    batch: int
    stem: str
    body: tuple[Any, ...]
    head: str
    whole: str
    context: str
    call: str
    step: str
    fault: Fault | None

    def build(self) -> Scene:
        """A fresh model with its example and target, prepared for the context."""
        torch.manual_seed(self.seed)
        draw = random.Random(self.seed)
        body = [_grow(tree, self.width) for tree in self.body]
        model: nn.Module = Model(self.width, self.stem, body, self.head)
        if self.fault is not None:
            model.body = Faulty(model.body, self.fault)
        target = torch.arange(self.batch) % CLASSES
        scene = Scene(_whole(self.whole, model, self.width), _example(self), target, draw)
        CONTEXTS[self.context].prepare(scene)
        return scene

    def __str__(self) -> str:
        body = " > ".join(_text(tree) for tree in self.body)
        lines = [f"seed {self.seed}: gs.{self.call} in {self.context}", f"  model   {self.stem} > {body} > {self.head}"]
        lines[1] += f"   (width {self.width}, batch {self.batch}{', ' + self.whole if self.whole != 'module' else ''})"
        if self.call == "check_step":
            lines.append(f"  step    {self.step}")
        if self.fault is not None:
            lines.append(f"  thrown  {self.fault}")
        return "\n".join(lines)

    def made_of(self) -> list[str]:
        """The names of everything that was drawn."""
        parts = {name for tree in self.body for name in _names(tree)}
        others = {f"stem {self.stem}", f"head {self.head}", f"whole {self.whole}", f"in {self.context}"}
        step = {f"step {self.step}"} if self.call == "check_step" else set()
        thrown = {f"at {self.fault.place}", f"throws {self.fault.kind}"} if self.fault is not None else set()
        return sorted(parts | others | step | thrown | {f"gs.{self.call}"})

    def source(self) -> str:
        """The code of every part that is used."""
        found = []
        for name in sorted({n for tree in self.body for n in _names(tree)}):
            made = PARTS.get(name) or WRAPPERS[name]
            functions = [v.__func__ for v in vars(made).values() if isinstance(v, staticmethod)]
            sources = [_source(thing) for thing in (functions or [getattr(made, "makes", made)])]
            found += [f"# {name}", *dict.fromkeys(sources)]
        return "\n".join(found)


def draw(seed: int) -> Case:
    """The case of a seed."""
    random_ = random.Random(f"gainstage {seed}")
    call = random_.choice(CALLS)
    return Case(
        seed=seed,
        width=random_.choice((8, 8, 12, 16)),
        batch=random_.choice((4, 6, 8, 16, 32)),
        stem=random_.choice([*STEMS, "plain", "plain", "plain", "linear"]),
        body=(_each_in_turn(random_, seed), *(_draw_tree(random_, 0) for _ in range(random_.choice((0, 0, 1, 1, 2))))),
        head=random_.choice([*HEADS, "tensor", "tensor", "tensor", "tensor"]),
        whole=random_.choices(WHOLES, (40, 2, 1, 1, 1))[0],
        context=weighted(random_),
        call=call,
        step=random_.choice(STEPS),
        fault=draw_fault(random_, call, seed),
    )


def _each_in_turn(random_: random.Random, seed: int) -> Tree:
    """So that a few hundred seeds in a row have every part; one of three within a wrapper."""
    names = sorted(PARTS)
    name = names[seed * 97 % len(names)]
    name = draw_part(random_) if name in SLOW and random_.random() < 0.5 else name
    return (name,) if random_.random() < 0.7 else (random_.choice(sorted(WRAPPERS)), (name,), _draw_tree(random_, 1))


def _draw_tree(random_: random.Random, depth: int) -> Tree:
    if depth < 2 and random_.random() < 0.3:
        return (random_.choice(sorted(WRAPPERS)), _draw_tree(random_, depth + 1), _draw_tree(random_, depth + 1))
    return (draw_part(random_),)


def _grow(tree: Any, width: int) -> nn.Module:
    if len(tree) == 1:
        return PARTS[tree[0]](width)
    return WRAPPERS[tree[0]](width, _grow(tree[1], width), _grow(tree[2], width))


def _text(tree: Any) -> str:
    return tree[0] if len(tree) == 1 else f"{tree[0]}({', '.join(_text(t) for t in tree[1:])})"


def _names(tree: Any) -> list[str]:
    return [tree[0], *(n for t in tree[1:] for n in _names(t))]


def _whole(kind: str, model: nn.Module, width: int) -> nn.Module:
    """The model as a whole: as it is, or one that is called as another kind."""
    if kind == "sequential":
        stem = nn.Identity() if isinstance(model.stem, Sum | Keywords) else model.stem
        return nn.Sequential(stem, *([model.body] if isinstance(model.body, Faulty) else model.body), model.out)
    if kind == "scripted":
        return torch.jit.script(
            nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, CLASSES))
        )
    if kind == "submodule":
        model.unrelated = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Sequential()})
    if kind == "built_in_inference":
        with torch.inference_mode():
            model.inner = nn.Linear(width, width)
    return model


def _example(case: Case) -> Any:
    """The example that the stem reads: a tensor, a tuple or a dict."""
    x = torch.randn(case.batch, case.width)
    if case.whole == "scripted" or (case.whole == "sequential" and case.stem in ("pair", "keywords")):
        return x
    if case.stem == "image":
        return torch.randn(case.batch, 1, 5, 5)
    if case.stem == "ids":
        return torch.randint(0, 10, (case.batch, 5))
    if case.stem == "pair":
        return (x, torch.randn(case.batch, case.width))
    if case.stem == "keywords":
        return {"x": x, "scale": torch.tensor(0.7), "labels": torch.arange(case.batch), "flag": True}
    if case.stem == "nested":
        return ({"x": [x, torch.randn(case.batch, case.width)]},)
    return x


def _source(thing: Any) -> str:
    try:
        return inspect.getsource(thing).strip()
    except (OSError, TypeError):
        return repr(thing)

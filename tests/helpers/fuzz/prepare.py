"""What is done to a model and its example before a call."""

import copy
import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


@dataclasses.dataclass
class Scene:
    """A model and its inputs, before a context has changed them."""

    model: nn.Module
    example: Any
    target: Any
    draw: random.Random

    def tensors(self) -> Iterator[Tensor]:
        leaves = torch.utils._pytree.tree_leaves(self.example)
        return (t for t in leaves if isinstance(t, Tensor))

    def map(self, change: Callable[[Tensor], Tensor]) -> None:
        self.example = torch.utils._pytree.tree_map_only(Tensor, change, self.example)


def floating(change: Callable[[Tensor], Tensor]) -> Callable[[Scene], None]:
    return lambda scene: scene.map(lambda t: change(t) if t.is_floating_point() else t)


def gradients(scene: Scene) -> None:
    for p in scene.model.parameters():
        if p.is_leaf and p.layout == torch.strided and made(p) and scene.draw.random() < 0.7 and not p.is_inference():
            p.grad = torch.full_like(p, 0.5) if p.requires_grad else None


def made(p: Tensor) -> bool:
    return not isinstance(p, nn.parameter.UninitializedTensorMixin)


def user_hooks(scene: Scene) -> None:
    for p in scene.model.parameters():
        if p.requires_grad and made(p):
            p.register_hook(lambda g: g * 1.0)
            p.register_post_accumulate_grad_hook(lambda p: None)
    scene.model.register_forward_hook(lambda m, i, o: None)
    scene.model.register_full_backward_hook(lambda m, i, o: None)


def modes(scene: Scene) -> None:
    for m in scene.model.modules():
        if not isinstance(m, torch.jit.ScriptModule):
            m.train(scene.draw.random() < 0.5)


def freezes(scene: Scene) -> None:
    for p in scene.model.parameters():
        if p.is_leaf and made(p) and not p.is_inference() and scene.draw.random() < 0.5:
            p.requires_grad_(False)


def is_buffer(scene: Scene) -> None:
    for i, t in enumerate(scene.tensors()):
        scene.model.register_buffer(f"example_{i}", t)


def is_parameter(scene: Scene) -> None:
    floating(lambda t: nn.Parameter(t))(scene)
    for i, t in enumerate(scene.tensors()):
        if isinstance(t, nn.Parameter):
            scene.model.register_parameter(f"example_{i}", t)


def copied(scene: Scene) -> None:
    scene.model = copy.deepcopy(scene.model)


def averaged(scene: Scene) -> None:
    scene.model = torch.optim.swa_utils.AveragedModel(scene.model)


def parallel(scene: Scene) -> None:
    scene.model = nn.DataParallel(scene.model)


def compiled(scene: Scene) -> None:
    torch._dynamo.reset()
    scene.model = torch.compile(scene.model, backend="eager")


def compiled_in_place(scene: Scene) -> None:
    torch._dynamo.reset()
    scene.model.compile(backend="eager")


def nested_record(scene: Scene) -> None:
    import gainstage as gs

    other, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.ones(4, 4)
    scene.model.register_forward_hook(lambda m, i, o: (gs.record(other, x), None)[1])


def nested_own(scene: Scene) -> None:
    """A hook of the model that records a part of that model, on its inputs."""
    import gainstage as gs

    inside = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if not inside:
            inside.append(1)
            try:
                gs.record(module, tuple(t.detach().clone() for t in inputs), backward=False)
            finally:
                inside.clear()

    scene.model.out.register_forward_hook(hook)


def inference_example(scene: Scene) -> None:
    with torch.inference_mode():
        scene.map(lambda t: t.clone())


def double(scene: Scene) -> None:
    scene.model.double()
    floating(lambda t: t.double())(scene)


def graph_alive(scene: Scene) -> None:
    """The user has run the model and will call backward afterwards."""
    scene.model.zero_grad()

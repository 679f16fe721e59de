"""A layer in a graph of `torch.fx`: one call, of the class that the user wrote."""

import pickle

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Tracer, symbolic_trace

from gainstage.nn import BatchNorm2d, Dropout, RMSNorm


class Scaled(RMSNorm):
    """A user's class, which calls the layer it derives from."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(3 * x) + 1


def test_a_derived_class_is_recorded_whole() -> None:
    model, x = nn.Sequential(Scaled(4, eps=1.0)), torch.randn(2, 4)
    traced = symbolic_trace(model)
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_module", "output"]
    assert torch.equal(traced(x), model(x))


def test_a_graph_keeps_parameters_under_their_names_and_can_be_pickled() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNorm2d(4), Dropout(0.5))
    traced = pickle.loads(pickle.dumps(symbolic_trace(model)))
    assert list(traced.state_dict()) == list(model.state_dict())
    x = torch.randn(2, 3, 4, 4)
    traced.train()(x)
    assert int(traced.get_buffer("1.num_batches_tracked")) == 1
    assert torch.equal(traced.eval()(x), traced(x))


def test_a_layer_that_was_traced_alone_is_found_in_its_graph() -> None:
    layer, x = RMSNorm(4), torch.randn(2, 4)
    for traced in (symbolic_trace(layer), GraphModule(layer, Tracer().trace(layer))):
        assert traced.itself is layer
        assert torch.equal(traced(x), layer(x))


def test_a_layer_called_twice_with_keywords_is_two_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = RMSNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x=self.norm(x) + 1)

    model, x = Twice(), torch.randn(2, 4)
    traced = symbolic_trace(model)
    assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == ["norm", "norm"]
    assert torch.equal(traced(x), model(x))

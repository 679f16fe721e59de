"""What the tape says about structure, on architectures of the field."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import POINTS, Graph, attentions, branches
from gainstage.theory import behind


def graph_of(model: nn.Module, example) -> Graph:
    return Graph(gs.record(model, example, backward=False))


def fates(graph: Graph, name: str) -> set[str]:
    site = next(i for i, call in graph.weights.items() if graph.parameter_of(call.weight) == name)
    return {fate.kind for fate in graph.fates(site)}


class Residual(nn.Module):
    """`x = relu(x + f(x))`, with an optional learned scale on the branch and a projection on the skip path."""

    def __init__(self, scale: bool = False, project: bool = False) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.ones(8)) if scale else None
        self.project = nn.Linear(8, 8) if project else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(F.relu(self.a(x)))
        y = y if self.scale is None else y * self.scale
        y += x if self.project is None else self.project(x)
        return F.relu(y)


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_residual_branches_of_one_stream(scale: bool, project: bool) -> None:
    model = nn.Sequential(nn.Linear(8, 8), *[Residual(scale, project) for _ in range(3)], nn.Linear(8, 2))
    graph = graph_of(model, torch.randn(4, 8))
    found = branches(graph)
    assert [(b.stream, b.position, b.scaled) for b in found] == [(0, i, scale) for i in range(3)]
    last = [graph.parameter_of(graph.weights[b.last].weight) for b in found]
    assert last == ["1.b.weight", "2.b.weight", "3.b.weight"]


def test_sums_of_embeddings_masks_and_rotations_are_no_residual_branches() -> None:
    class Sums(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = nn.Embedding(10, 8), nn.Embedding(10, 8)
            self.fc = nn.Linear(8, 8)

        def forward(self, ids: Tensor) -> Tensor:
            x = self.token(ids) + self.position(torch.arange(ids.shape[1]))
            x = self.fc(x)
            x = x * 0.5 + torch.cat([-x[..., 4:], x[..., :4]], -1) * 0.5
            return x + ids.eq(0).float().unsqueeze(-1) * -1.0

    assert branches(graph_of(Sums(), torch.randint(0, 10, (3, 5)))) == []


@pytest.mark.parametrize(
    "act",
    [
        nn.GELU(),
        lambda z: z * torch.sigmoid(z),
        lambda z: 0.5 * z * (1.0 + torch.tanh(0.7978845608 * (z + 0.044715 * torch.pow(z, 3.0)))),
        lambda z: F.relu(z, inplace=True),
        lambda z: z.clamp(min=0),
    ],
)
def test_an_activation_is_one_however_it_is_written(act) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(F.dropout(act(self.a(x)), 0.1))

    graph = graph_of(Net(), torch.randn(4, 8))
    first = next(iter(graph.weights))
    found = behind(graph, first)
    assert found is not None
    assert torch.allclose(found.values, act(POINTS.clone()), atol=1e-6)


class HandRMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return self.weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


class HandLayerNorm(HandRMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * (centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-6))


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm, HandRMSNorm, HandLayerNorm, nn.BatchNorm1d])
def test_a_normalization_is_one_however_it_is_written(norm) -> None:
    model = nn.Sequential(nn.Linear(8, 8), norm(8), nn.Tanh(), nn.Linear(8, 2))
    graph = graph_of(model, torch.randn(6, 8))
    assert fates(graph, "0.weight") == {"norm"}
    assert fates(graph, "3.weight") == {"output"}
    assert [slots["scale"] for slots in graph.norm_calls.values()] == ["1.weight"]


class WrittenAttention(nn.Module):
    def __init__(self, scaled: bool) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.scaled = scaled

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (p(x).view(*x.shape[:2], 2, 8).transpose(1, 2) for p in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2)
        scores = scores / 8**0.5 if self.scaled else scores
        scores = scores.masked_fill(torch.ones(x.shape[1], x.shape[1]).triu(1).bool(), -1e9)
        y = F.dropout(scores.softmax(-1), 0.1) @ v
        return self.o(y.transpose(1, 2).reshape(x.shape))


@pytest.mark.parametrize("scaled", [True, False])
def test_attention_written_out(scaled: bool) -> None:
    graph = graph_of(WrittenAttention(scaled), torch.randn(2, 5, 16))
    (found,) = attentions(graph)
    names = [
        [graph.parameter_of(graph.weights[i].weight) for i in part]
        for part in (found.queries, found.keys, found.values, found.outputs)
    ]
    assert names == [["q.weight"], ["k.weight"], ["v.weight"], ["o.weight"]]
    assert found.head_dim == 8
    assert found.scale == pytest.approx(8**-0.5 if scaled else 1.0)


def test_attention_of_torch_and_its_packed_projection() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    graph = graph_of(layer, torch.randn(3, 5, 16))
    (found,) = attentions(graph)
    assert found.queries == found.keys == found.values
    assert graph.parameter_of(graph.weights[found.outputs[0]].weight) == "self_attn.out_proj.weight"
    assert [b.position for b in branches(graph)] == [0, 1]


def test_weights_in_every_spelling_have_the_fans_of_their_use() -> None:
    class Spellings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.randn(6, 4))  # (in, out)
            self.b = nn.Parameter(torch.randn(6, 2, 3))  # einsum: d -> h, e
            self.c = nn.Parameter(torch.randn(5, 6))  # linear by hand
            self.d = nn.ConvTranspose1d(6, 8, 4, stride=2)
            self.e = nn.Bilinear(6, 3, 7)

        def forward(self, x: Tensor) -> list[Tensor]:
            return [
                x @ self.a,
                torch.einsum("bd,dhe->bhe", x, self.b),
                x @ self.c.t(),
                self.d(x.unsqueeze(-1).expand(-1, -1, 5)),
                self.e(x, x[:, :3]),
                torch.addmm(torch.zeros(4), x, self.a),
            ]

    graph = graph_of(Spellings(), torch.randn(3, 6))
    found = {graph.parameter_of(c.weight): tuple(c.fans) for c in graph.weights.values()}
    assert found == {"a": (6, 4), "b": (6, 6), "c": (6, 5), "d.weight": (12, 32), "e.weight": (18, 7)}


def test_gates_and_heads_behind_softmax() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(F.silu(self.gate(x)) * self.up(x)).softmax(-1)

    graph = graph_of(Gated(), torch.randn(4, 8))
    assert fates(graph, "gate.weight") == {"activation"}
    assert fates(graph, "up.weight") == {"gate"}
    assert fates(graph, "down.weight") == {"softmax"}

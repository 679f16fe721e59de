"""Networks on graphs: GCN, GraphSAGE, GAT, and an equivariant one on moving bodies."""

from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families._family import Batch, Task, family


@cache
def _citations(nodes: int = 300, classes: int = 4, words: int = 200) -> tuple[Tensor, Tensor, Tensor]:
    """A planted partition with sparse bags of words: features with rows of sum 1, adjacency and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(nodes) % classes
    same = labels[:, None] == labels
    edges = torch.rand(nodes, nodes, generator=generator) < torch.where(same, 0.03, 0.004)
    adjacency = (edges | edges.T).float().fill_diagonal_(1)
    topics = torch.rand(classes, words, generator=generator) < 0.12
    chance = torch.where(topics[labels], 0.06, 0.02)
    features = (torch.rand(nodes, words, generator=generator) < chance).float()
    return features / features.sum(1, keepdim=True).clamp(min=1), adjacency, labels


def _on_nodes(model: nn.Module) -> Task:
    features, adjacency, labels = _citations()
    train = torch.arange(len(labels)) % 5 == 0

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output[train if target is seen else ~train], target)

    seen, other = labels[train], labels[~train]
    return Task(model, lambda step: ((features, adjacency), seen), loss, ((features, adjacency), other))


class Gcn(nn.Module):
    """relu(A W h), A with both degrees divided out (Kipf & Welling, ICLR 2017)."""

    def __init__(self, layers: int, width: int = 32) -> None:
        super().__init__()
        sizes = [200, *[width] * (layers - 1), 4]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        degree = adjacency.sum(1).rsqrt()
        mixing = degree[:, None] * adjacency * degree
        for layer in self.layers[:-1]:
            x = F.relu(mixing @ layer(x))
        return mixing @ self.layers[-1](x)


@family("GCN, 2 layers", tuned=True)
def gcn_2() -> Task:
    return _on_nodes(Gcn(2))


@family("GCN, 16 layers", tuned=True)
def gcn_16() -> Task:
    return _on_nodes(Gcn(16))


@family("GCN, 32 layers")
def gcn_32() -> Task:
    return _on_nodes(Gcn(32))


class Sage(nn.Module):
    """relu(W h + V mean over neighbours h): Hamilton et al., NeurIPS 2017."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.own = nn.ModuleList([nn.Linear(200, width), nn.Linear(width, 4)])
        self.near = nn.ModuleList([nn.Linear(200, width, bias=False), nn.Linear(width, 4, bias=False)])

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        mixing = adjacency / adjacency.sum(1, keepdim=True)
        x = F.relu(self.own[0](x) + self.near[0](mixing @ x))
        return self.own[1](x) + self.near[1](mixing @ x)


@family("GraphSAGE, 2 layers")
def graph_sage() -> Task:
    return _on_nodes(Sage())


class Gat(nn.Module):
    """Attention over neighbours (Veličković et al., ICLR 2018), four heads."""

    def __init__(self, width: int = 8, heads: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(200, heads * width, bias=False), nn.Linear(heads * width, 4, bias=False)
        self.towards = nn.ParameterList(nn.Parameter(torch.empty(h, w)) for h, w in ((heads, width), (1, 4)))
        self.by = nn.ParameterList(nn.Parameter(torch.empty(h, w)) for h, w in ((heads, width), (1, 4)))
        for weight in (self.first.weight, self.second.weight, *self.towards, *self.by):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        for i, layer in enumerate((self.first, self.second)):
            h = layer(x).unflatten(-1, self.towards[i].shape)
            scores = (h * self.towards[i]).sum(-1)[:, None] + (h * self.by[i]).sum(-1)[None]
            scores = F.leaky_relu(scores, 0.2).masked_fill(adjacency[..., None] == 0, float("-inf"))
            h = torch.einsum("ijh,jhw->ihw", scores.softmax(1), h)
            x = F.elu(h.flatten(1)) if i == 0 else h.mean(1)
        return x


@family("GAT, 2 layers", tuned=True)
def gat() -> Task:
    return _on_nodes(Gat())


class Egnn(nn.Module):
    """Equivariant steps of bodies (Satorras et al., ICML 2021); the last coordinate weight has gain 0.001."""

    def __init__(self, layers: int = 3, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.edge = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
            for _ in range(layers)
        )
        self.node = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(layers)
        )
        self.coordinate = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1, bias=False)) for _ in range(layers)
        )
        self.velocity = nn.ModuleList(nn.Linear(width, 1) for _ in range(layers))
        for net in self.coordinate:
            nn.init.xavier_uniform_(net[-1].weight, gain=0.001)

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        h = self.embed(v.norm(dim=-1, keepdim=True))
        n = x.shape[1]
        for edge, node, coordinate, velocity in zip(self.edge, self.node, self.coordinate, self.velocity, strict=True):
            apart = x[:, :, None] - x[:, None]
            distance = apart.square().sum(-1, keepdim=True)
            pairs = torch.cat([h[:, :, None].expand(-1, n, n, -1), h[:, None].expand(-1, n, n, -1), distance], -1)
            message = edge(pairs)
            x = x + (apart * coordinate(message)).mean(2) + velocity(h) * v
            h = h + node(torch.cat([h, message.sum(2)], -1))
        return x


@cache
def _bodies(count: int = 1200) -> tuple[Tensor, Tensor, Tensor]:
    """Places, velocities, and places after a while, of five bodies that attract one another."""
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(count, 5, 3, generator=generator), torch.randn(count, 5, 3, generator=generator) / 2
    place, speed = x.clone(), v.clone()
    for _ in range(40):
        apart = place[:, None] - place[:, :, None]
        force = apart / (apart.square().sum(-1, keepdim=True) + 0.3) ** 1.5
        speed = speed + 0.025 * force.sum(2)
        place = place + 0.025 * speed
    return x, v, place


@family("EGNN, five bodies", tuned=True, rates=(3e-4, 1e-3, 3e-3, 1e-2))
def egnn() -> Task:
    x, v, after = _bodies()

    def batch(step: int) -> Batch:
        rows = torch.randint(1000, (32,), generator=torch.Generator().manual_seed(step))
        return (x[rows], v[rows]), after[rows]

    return Task(Egnn(), batch, F.mse_loss, ((x[1000:], v[1000:]), after[1000:]), logarithm=True)

"""The playground's network in torch, and the same pass by both: levels, gradients, running statistics."""

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
    "softsign": nn.Softsign(),
    "identity": nn.Identity(),
}
NORMS = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "group": lambda width: nn.GroupNorm(4, width),
    "rms": lambda width: nn.RMSNorm(width, eps=1e-5),
}
BATCH, INPUTS, WIDTH, DEPTH, CLASSES = 24, 3, 16, 4, 5


class Twin(nn.Module):
    """h = W x + b, then h = [h +] s (W a + b) with a = drop(phi(norm(h))), and a head."""

    def __init__(self, activation: str = "tanh", norm: str = "none", residual: str = "none", dropout: float = 0.0):
        super().__init__()
        sizes = [INPUTS] + [WIDTH] * DEPTH
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, [*sizes[1:], CLASSES], strict=True))
        self.norms = nn.ModuleList(NORMS[norm](WIDTH) for _ in range(DEPTH) if norm != "none")
        self.phi, self.residual, self.dropout = ACTIVATIONS[activation], residual, dropout

    def forward(self, x: Tensor, masks: Tensor | None = None) -> Tensor:
        scale = 1 / sqrt(DEPTH - 1) if self.residual == "scaled" else 1.0
        self.streams, made = [], self.linears[0](x)
        for level in range(DEPTH):
            h = made if level == 0 or self.residual == "none" else self.streams[-1] + scale * made
            h.retain_grad() if h.requires_grad else None
            self.streams.append(h)
            a = self.phi(self.norms[level](h) if len(self.norms) else h)
            if masks is not None and self.training:
                a = a * masks[level] / (1 - self.dropout)
            made = self.linears[level + 1](a)
        return made


PASS = """(modules, { settings, parameters, x, labels, masks, unseen, optimizer }) => {
  const { Network } = modules["engine/network.js"];
  const network = new Network(settings);
  network.parameters.forEach(({ value }, k) => value.set(parameters[k]));
  const typed = masks.map((mask) => Float64Array.from(mask));
  const { crossEntropy } = modules["engine/loss.js"];
  const pass = () => {
    const logits = network.forward(Float64Array.from(x), { training: true, masks: typed });
    const judged = crossEntropy(logits, labels, settings.classes);
    network.backward(judged.gradient);
    return { logits, judged };
  };
  const { logits, judged } = pass();
  const found = {
    loss: judged.loss,
    logits: Array.from(logits),
    streams: network.streams.map((h) => Array.from(h)),
    gradients: network.gradients.map((g) => Array.from(g)),
    parameter_gradients: network.parameters.map(({ grad }) => Array.from(grad)),
    running: network.norms?.[0].kind !== "batch" ? []
      : network.norms.flatMap((n) => [Array.from(n.runningMean), Array.from(n.runningVar)]),
    used: Array.from(network.forward(Float64Array.from(unseen), { training: false })),
  };
  if (!optimizer) return found;
  const { Optimizer } = modules["engine/optimizers.js"];
  const steps = new Optimizer(optimizer.name, network.parameters, optimizer);
  const trained = [];
  for (let k = 0; k < 3; k++) {
    pass();
    steps.step();
    trained.push(network.parameters.map(({ value }) => Array.from(value)));
  }
  return { ...found, trained };
}"""


class Case:
    """One network with random parameters and a random batch, the same for both sides."""

    def __init__(self, dtype: torch.dtype = torch.float64, **settings: Any):
        random = torch.Generator().manual_seed(3)
        self.settings = {"activation": "tanh", "norm": "none", "residual": "none", "dropout": 0.0} | settings
        self.twin = Twin(**self.settings).double()
        with torch.no_grad():
            for parameter in self.twin.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64) * 0.7)
        draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)  # noqa: E731
        self.x, self.unseen = draw(BATCH, INPUTS), draw(7, INPUTS)
        self.labels = torch.randint(CLASSES, (BATCH,), generator=random)
        self.masks = (draw(DEPTH, BATCH, WIDTH) > 0).double() if self.settings["dropout"] else None
        self.dtype = dtype

    def given(self, optimizer: dict[str, Any] | None = None) -> dict[str, Any]:
        sizes = {"inputs": INPUTS, "classes": CLASSES, "depth": DEPTH, "width": WIDTH}
        return {
            "settings": sizes | self.settings,
            "parameters": [p.flatten().tolist() for p in self.ordered(self.twin)],
            "x": self.x.flatten().tolist(),
            "unseen": self.unseen.flatten().tolist(),
            "labels": self.labels.tolist(),
            "masks": [] if self.masks is None else self.masks.flatten(1).tolist(),
            "optimizer": optimizer,
        }

    @staticmethod
    def ordered(twin: Twin) -> list[Tensor]:
        """The parameters in the playground's order: linear layers first, then norms."""
        return [*twin.linears.parameters(), *twin.norms.parameters()]

    def by_torch(self) -> dict[str, Any]:
        twin = self.twin.to(self.dtype).train()
        masks = None if self.masks is None else self.masks.to(self.dtype)
        logits = twin(self.x.to(self.dtype), masks)
        loss = F.cross_entropy(logits, self.labels)
        loss.backward()
        found = {
            "loss": loss.item(),
            "logits": logits.flatten().tolist(),
            "streams": [h.flatten().tolist() for h in twin.streams],
            "gradients": [h.grad.flatten().tolist() for h in twin.streams],
            "parameter_gradients": [p.grad.flatten().tolist() for p in self.ordered(twin)],
            "running": [b.tolist() for n in twin.norms for b in n.buffers() if b.ndim],
        }
        with torch.no_grad():
            found["used"] = twin.eval()(self.unseen.to(self.dtype)).flatten().tolist()
        return found

    def trained(self, make: Any) -> list[list[list[float]]]:
        """The parameters after each of three steps of a torch optimizer."""
        twin, states = self.twin.train(), []
        optimizer = make(twin.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(twin(self.x, self.masks), self.labels).backward()
            optimizer.step()
            states.append([p.detach().flatten().tolist() for p in self.ordered(twin)])
        return states

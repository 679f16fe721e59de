r"""SIREN: networks of $\sin(\omega (W x + b))$."""

from math import sqrt

import torch

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.schemes._rule import Rule, Said
from gainstage.signal import POINTS
from gainstage.theory import Activation, behind, read_by


def siren(context: Context) -> Rule:
    r"""Uniform on $\pm 1/n$ into the first sine, on $\pm\sqrt{6/n}/\omega$ into the others and behind the last.

    A sine has at most the mean square 1/2, so with $\mathrm{Var}[w] = 2/(n \omega^2)$ every further sine reads a normal
    of the same variance, $v = 1 - e^{-2v} = 0.80$: what the first layer makes is handed on to any depth. $\omega$ is
    the slope of the model's own activation at 0: it is read off the model, layer by layer.

    Raises:
        GainstageError: no weight of the model is followed by a sine.

    References:
        Sitzmann et al., *Implicit Neural Representations with Periodic Activation Functions*, NeurIPS 2020, section 3.2
        and theorem 1.8 of the supplement.
    """
    graph = context.graph
    before: dict[int, float] = {}
    after: dict[int, float] = {}
    for site, call in graph.weights.items():
        before[site] = _frequency(read_by(graph, call.data)) if call.data is not None else 0.0
        after[site] = _frequency(behind(graph, site))
    if not any(after.values()):
        raise GainstageError(
            "scheme 'siren' is for networks of sines, sin(omega * linear(x)); no weight of this model is followed by "
            "one. Write scheme='auto'"
        )

    def rule(use: Use, part: str) -> Said | None:
        if use.slot != "weight" or use.fans is None or not (before[use.site] or after[use.site]):
            return None
        n, omega = use.fans.fan_in, after[use.site] or before[use.site]
        if not before[use.site]:
            return Said(init.uniform(-1 / n, 1 / n), f"scheme 'siren': 1/n into the first sine, of frequency {omega:g}")
        bound = sqrt(6 / n) / omega
        return Said(init.uniform(-bound, bound), f"scheme 'siren': sqrt(6/n)/omega, with omega = {omega:g}")

    return rule


def _frequency(phi: Activation | None) -> float:
    """Omega where a function is sin(omega z); 0 for any other."""
    if phi is None or not phi.name:
        return 0.0
    tiny = torch.tensor([1e-6], dtype=torch.float64, device="cpu")
    omega = float(f"{float(phi.phi(tiny)) / 1e-6:.6g}")
    return omega if omega > 0 and torch.allclose(phi.values, torch.sin(omega * POINTS), atol=1e-4) else 0.0

"""Which site of a pass is the first that is not finite."""

from typing import Any

import torch
from torch import nn

from gainstage.run import tensors_in
from gainstage.signal import observe
from gainstage.watch.reading import broken


def locate(model: nn.Module, given: Any) -> str:
    """Run a pass once more, undisturbed and observed; `"?"` where that does not break, or cannot be done.

    Args:
        model: before its step.
        given: positional and keyword inputs of the pass.
    """
    args, kwargs = given
    if any(not bool(torch.isfinite(t).all()) for t in tensors_in(given) if t.is_floating_point()):
        return "input#0"
    try:
        tape = observe(model, kwargs if kwargs and not args else tuple(args), backward=False).tape
    except Exception:
        return "?"
    seen = [(s.name, s.forward) for s in tape.sites if s.kind == "op" and s.forward is not None]
    return next((name for name, m in seen if broken(m.nonfinite, m.minimum, m.maximum)), "?")

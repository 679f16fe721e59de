"""What models in wrappers need around a pass: no step of their own, and nothing left unsharded."""

import sys
from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import nn

from gainstage.errors import GainstageError


def refuse(model: nn.Module) -> None:
    """Say before a pass that a model cannot be run without a trace, and what to do instead.

    Raises:
        GainstageError: the model is in FSDP1, whose flat parameters belong to no layer.
    """
    fsdp = sys.modules.get("torch.distributed.fsdp")
    if fsdp is not None and any(isinstance(module, fsdp.FullyShardedDataParallel) for module in model.modules()):
        raise GainstageError(
            "the model is in FullyShardedDataParallel, whose flat parameters mix the weights of several layers; "
            "plan, check and initialize it before wrapping it, or shard it with torch.distributed.fsdp.fully_shard"
        )


def ready(model: nn.Module) -> ExitStack:
    """Compiled and scripted parts run as written, DDP waits for no backward pass, FSDP2 is sharded again at the end."""
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]
        for module in model.modules():
            if isinstance(module, nn.parallel.DistributedDataParallel):
                stack.enter_context(module.no_sync())
        stack.callback(resharded(model))
        return stack.pop_all()


def resharded(model: nn.Module) -> Callable[[], None]:
    """What shards the parts of an FSDP2 model again that are sharded now."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    parts = [] if fsdp is None else [m for m in model.modules() if isinstance(m, fsdp.FSDPModule)]
    sharded = [part for part in parts if _is_sharded(part)]

    def reshard() -> None:
        for part in sharded:
            part.reshard()

    return reshard


def is_fsdp2(model: nn.Module) -> bool:
    """Whether gradients go to sharded parameters, which no operation reads."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and any(isinstance(module, fsdp.FSDPModule) for module in model.modules())


def _is_sharded(part: nn.Module) -> bool:
    from torch.distributed.tensor import DTensor

    own = list(part.parameters(recurse=False))
    return all(isinstance(p.data, DTensor) for p in own)

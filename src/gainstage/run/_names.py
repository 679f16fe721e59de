"""Names of parameters as the user's own model has them, without what a wrapper puts in front."""

from collections.abc import Iterator

from torch import nn

# Wrappers that hold one module and add nothing of their own: class, and the attribute that holds it. By name, so that
# nothing is imported; a class counts with what is derived from it.
_WRAPPERS = {
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel": "_fsdp_wrapped_module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": "_checkpoint_wrapped_module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.optim.swa_utils.AveragedModel": "module",
}


def wrapped_in(module: nn.Module) -> str | None:
    """The attribute in which a wrapper holds its module; None for any other module."""
    for kind in type(module).__mro__:
        if attribute := _WRAPPERS.get(f"{kind.__module__}.{kind.__qualname__}"):
            return attribute
    return None


def class_name(model: nn.Module) -> str:
    """The name of a model's own class, inside its wrappers and without what FSDP2 derives from it."""
    while (attribute := wrapped_in(model)) is not None:
        model = getattr(model, attribute)
    kinds = type(model).__mro__
    fsdp2 = kinds[1].__qualname__ == "FSDPModule"
    return (kinds[2] if fsdp2 else kinds[0]).__name__


def bare_names(model: nn.Module) -> dict[str, str]:
    """For every module's path, the path without the parts that wrappers add.

    Example:
        >>> import torch
        >>> model = torch.optim.swa_utils.AveragedModel(nn.Sequential(nn.Linear(2, 2)))
        >>> bare_names(model)["module.0"]
        '0'
    """
    found: dict[str, str] = {}
    modules = dict(model.named_modules(remove_duplicate=False))
    for path in modules:
        if not path:
            found[path] = ""
            continue
        above, _, own = path.rpartition(".")
        inside = found.get(above, above)
        if own != wrapped_in(modules[above]):
            inside = f"{inside}.{own}" if inside else own
        found[path] = inside
    return found


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """`model.named_modules()` under bare names: a module inside a wrapper has the wrapper's."""
    names = bare_names(model)
    for path, module in model.named_modules():
        yield names[path], module


def named_parameters(model: nn.Module, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
    """`model.named_parameters()` under bare names: the same in DDP, compiled, checkpoint-wrapped and by itself."""
    names = bare_names(model)
    for full, parameter in model.named_parameters(remove_duplicate=remove_duplicate):
        path, _, own = full.rpartition(".")
        inside = names.get(path, path)
        yield (f"{inside}.{own}" if inside else own), parameter

"""Health of a model as a test: `assert_healthy` fails where `gs.check` would report an error or a warning.

With pytest, the fixture of the same name does the same and reads `[tool.gainstage]` of the project's `pyproject.toml`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from gainstage.check import Config, Report
    from gainstage.run import Loss


def assert_healthy(
    model: "nn.Module",
    example: Any,
    *,
    target: Any = None,
    loss: "Loss | None" = None,
    optimizer: "Optimizer | None" = None,
    train_step: "Callable[[], Tensor | float] | None" = None,
    train: bool = False,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    allow: Mapping[str, Sequence[str]] | Sequence[str] = (),
    config: "Config | None" = None,
    seed: int = 0,
) -> "Report":
    """Check a model as `gs.check` does, and fail where it finds anything above a note.

    Args:
        model, example, target, loss, optimizer, train_step, train, select, ignore, seed: as for `gs.check`.
        allow: codes or their beginnings that are no reason to fail: everywhere (`["OUT501"]`), or in some modules
            (`{"decoder.*": ["INI103"]}`). What such a finding would have explained is then judged on its own.
        config: settings of a project, as `gainstage.check.config.find` reads them.

    Returns:
        The report, for further assertions.

    Raises:
        AssertionError: there are findings above a note; the message has a line for each, and how to repair it.
        GainstageError: as for `gs.check`.

    Example:
        >>> import torch, gainstage as gs
        >>> model, x = torch.nn.Linear(8, 4), torch.randn(32, 8)
        >>> gs.testing.assert_healthy(model, x).ok
        True
        >>> _ = torch.nn.init.constant_(model.weight, float("nan"))
        >>> gs.testing.assert_healthy(model, x)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        AssertionError: Linear is not healthy:
        ...
    """
    __tracebackhide__ = True  # pytest shows the line of the test instead
    from gainstage.check import Config, check

    settings = (config or Config()).allowing(allow)
    report = check(
        model,
        example,
        target=target,
        loss=loss,
        optimizer=optimizer,
        train_step=train_step,
        train=train,
        select=select,
        ignore=ignore,
        config=settings,
        seed=seed,
    )
    if not report.ok:
        raise AssertionError(_message(report))
    return report


def _message(report: "Report") -> str:
    """The concise report without the notes, and every fix once."""
    from dataclasses import replace

    from gainstage._visible import visible
    from gainstage.report import concise

    bad = replace(report, findings=tuple(f for f in report.findings if f.severity != "note"))
    fixes = dict.fromkeys(f"fix {f.code}: {' '.join(f.fix.text.split())}" for f in bad.findings)
    return "\n".join([f"{visible(report.model)} is not healthy:", concise(bad).rstrip("\n"), *map(visible, fixes)])

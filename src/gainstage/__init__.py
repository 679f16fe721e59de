"""gainstage: start neural networks well, and see that they stay healthy.

>>> import torch, gainstage as gs
>>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
>>> x = torch.randn(32, 64)
>>> plan = gs.initialize(model, x)
>>> gs.check(model, x).ok
True

Names are imported when they are first used, so that `import gainstage` and `gainstage --help` stay cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from gainstage import init as init
    from gainstage import nn as nn
    from gainstage import report as report
    from gainstage import run as run
    from gainstage import signal as signal
    from gainstage import streaming as streaming
    from gainstage import study as study
    from gainstage import testing as testing
    from gainstage import theory as theory
    from gainstage import train as train
    from gainstage import transfer as transfer
    from gainstage import watch as watch
    from gainstage.check import Finding as Finding
    from gainstage.check import Report as Report
    from gainstage.check import check as check
    from gainstage.errors import GainstageError as GainstageError
    from gainstage.init import gain as gain
    from gainstage.plan import Fingerprint as Fingerprint
    from gainstage.plan import Forecast as Forecast
    from gainstage.plan import Plan as Plan
    from gainstage.plan import fingerprint as fingerprint
    from gainstage.plan import foresee as foresee
    from gainstage.plan import initialize as initialize
    from gainstage.plan import plan as plan
    from gainstage.run import Subject as Subject
    from gainstage.run import capture as capture
    from gainstage.signal import Tape as Tape
    from gainstage.signal import record as record
    from gainstage.streaming import Streamed as Streamed
    from gainstage.streaming import stream as stream
    from gainstage.study import Arm as Arm
    from gainstage.study import Study as Study
    from gainstage.study import grid as grid
    from gainstage.watch import Watch as Watch

# plan, check and transfer are functions too: their packages are callable
_ROOMS = (
    "init", "run", "signal", "theory", "nn", "train", "plan", "streaming", "transfer", "check", "watch", "report",
    "testing", "study",
)  # fmt: skip
_HOME = {
    "Arm": "study",
    "Finding": "check",
    "Fingerprint": "plan",
    "GainstageError": "errors",
    "Plan": "plan",
    "Report": "check",
    "Streamed": "streaming",
    "Study": "study",
    "Subject": "run",
    "Tape": "signal",
    "Forecast": "plan",
    "fingerprint": "plan",
    "foresee": "plan",
    "Watch": "watch",
    "capture": "run",
    "gain": "init",
    "grid": "study",
    "initialize": "plan",
    "record": "signal",
    "stream": "streaming",
}
__all__ = [*sorted(_ROOMS), *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"gainstage.{name}")
    if name in _HOME:
        return getattr(import_module(f"gainstage.{_HOME[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("gainstage")
    raise AttributeError(f"module 'gainstage' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

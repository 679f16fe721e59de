"""Runs one case and says what is wrong with it: a trace, a wrong exception, two unequal runs, a rule that failed."""

import dataclasses
import re
import time
import traceback
from typing import Any

import torch

from fuzz.attempt import Attempt, Hang, alarm, attempt, quiet, warm
from fuzz.calls import Ready, ready, run_plainly
from fuzz.errors import of_error, of_report, refused, told
from fuzz.grammar import Case
from fuzz.kinds import kind_of_difference, kind_of_message
from fuzz.losses import surrogate_of
from fuzz.plainly import run_plain
from fuzz.prepare import Scene
from fuzz.seeds import random_states_kept, seed_all
from fuzz.state import bytes_of


@dataclasses.dataclass
class Verdict:
    """What came of a case.

    Attributes:
        outcome: "fine", "refused" (a `GainstageError` on a model that runs), "excluded" (does not run plainly, or is
            random by itself), "failed".
        kinds: what is wrong, in few words without numbers, or why it was refused or excluded.
        details: everything that differs, one line each.
    """

    case: Case
    outcome: str
    kinds: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [str(self.case), f"  {self.outcome}"]
        lines += [f"    {kind}" for kind in self.kinds]
        lines += [f"      {line}" for line in self.details[:40]]
        return "\n".join(lines)


def judge(case: Case) -> Verdict:
    """Run a case, and compare everything before and after."""
    warm()
    start = time.perf_counter()
    with quiet(), random_states_kept(), alarm():
        try:
            verdict = _judge(case)
        except Hang:
            verdict = Verdict(case, "failed", ("hang",), tuple(traceback.format_exc().splitlines()[-8:]))
        except Exception as error:
            verdict = Verdict(case, "failed", (f"the fuzzer itself: {kind_of_message(error)}",), tuple(told(error)))
    return dataclasses.replace(verdict, seconds=time.perf_counter() - start)


def _judge(case: Case) -> Verdict:
    if case.fault is not None:
        case.fault.arm(False)
    plain = run_plain(case)
    if plain.excluded:
        return Verdict(case, "excluded", (plain.excluded,))
    scene = case.build()
    made = ready(case.call, case.step, case.fault, scene)
    seed_all(11)
    graph = _graph(case, scene)
    if case.fault is not None:
        case.fault.arm(True)
    first = attempt(case, scene, made, plain.lost)
    found = _traces(case, first)
    found += of_error(case, first, plain)
    found += of_report(first.result)
    if first.error is None and all(kind.endswith("resizable") for kind, _ in found) and case.fault is None:
        found += _again(case, scene, made, first, plain.lost)
    if graph is not None and not found and first.error is None and "init" not in case.call and case.call != "calibrate":
        found += _backward(case, graph)
    if found:
        return Verdict(case, "failed", tuple(dict.fromkeys(k for k, _ in found)), tuple(line for _, line in found))
    if first.error is not None and (case.fault is None or case.fault.raised is None):
        return Verdict(case, "refused", (kind_of_message(first.error),), (str(first.error),))
    return Verdict(case, "fine")


def _again(case: Case, scene: Scene, made: Ready, first: Attempt, lost: frozenset[str]) -> list[tuple[str, str]]:
    """The same call once more, from other random states; for `initialize`, on a model that is built anew."""
    if case.call in ("initialize", "calibrate"):
        fresh = case.build()
        seed_all(11)
        _graph(case, fresh)
        second = attempt(case, fresh, _seeded(ready(case.call, case.step, None, fresh), 12), lost)
        left, right = (bits_of(s) for s in (scene, fresh))
        unequal = [name for name in left if left[name] != right.get(name)]
        if unequal:
            return [("two runs differ: initialize", f"{name}: other bits") for name in unequal]
    else:
        second = attempt(case, scene, _seeded(made, 12), lost)
    if refused(second.error):
        return []
    if second.error is not None:
        return [
            (f"two runs differ: the second raises {type(second.error).__name__}", line) for line in told(second.error)
        ]
    if traces := _traces(case, second):
        return [("second call: " + kind, line) for kind, line in traces]
    left, right = text_of(first.result), text_of(second.result)
    shared = any(line.endswith(": shared") for line in lost)  # the second run finds what the first has shared
    swaps = any("swap" in name for name in case.made_of())  # exchanges identities, which is what a record goes by
    if left != right and not shared and not swaps:
        return [(f"two runs differ: {case.call.split('_')[0]}", _first_difference(left, right))]
    return []


def _traces(case: Case, tried: Attempt) -> list[tuple[str, str]]:
    found = [(kind_of_difference(line), line) for line in tried.trace]
    if any(name.endswith("_resized") for name in case.made_of()):  # what resize_ frees may be given to another
        found = [(kind, line) for kind, line in found if not kind.endswith("address")]
    return found


def bits_of(scene: Scene) -> dict[str, Any]:
    """The bytes of every parameter, by name."""
    return {name: bytes_of(p) for name, p in scene.model.named_parameters(remove_duplicate=False)}


def _seeded(made: Ready, seed: int) -> Ready:
    seed_all(seed)
    return made


def text_of(result: Any) -> str:
    """The whole result as text, without addresses."""
    return re.sub(r"0x[0-9a-f]+", "0x", repr(result))


def _first_difference(left: str, right: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    return f"...{left[max(0, at - 90) : at + 60]}... against ...{right[max(0, at - 30) : at + 60]}..."


def _graph(case: Case, scene: Scene) -> Any:
    """A backward pass that the user has yet to make."""
    if case.context != "graph_alive":
        return None
    total = surrogate_of(run_plainly(scene.model, scene.example))
    return total if isinstance(total, torch.Tensor) and total.requires_grad else None


def _backward(case: Case, graph: Any) -> list[tuple[str, str]]:
    """The user's backward pass, unless one more plain run of the model would have spoiled it as well."""
    if case.fault is not None:
        case.fault.arm(False)
    try:
        graph.backward()
    except Exception as error:
        return [("the user's graph no longer runs backward", str(error)[:300])] if _survives(case) else []
    return []


def _survives(case: Case) -> bool:
    scene = case.build()
    graph = _graph(case, scene)
    try:
        run_plainly(scene.model, scene.example)
        graph.backward()
    except Exception:
        return False
    return True

"""How many combinations of a lesson's *fix* pass: by gs.check alone, and by check, demands and 100 steps of training.

    python benchmarks/lab_fixes.py [l03_variance ...]

One row a combination: what the check says, which demands are missed, test accuracy after the steps, and the verdict.
"""

import sys
from importlib import import_module
from itertools import product

from gainstage.lab._errors import LabError
from gainstage.lab._fix import Code, Fix
from gainstage.lab._lessons import Lesson, lessons
from gainstage.lab.course.running import run_of


def fix_of(lesson: Lesson) -> Fix:
    """The fix of a lesson, a document or a marimo notebook."""
    if not lesson.is_document:
        return import_module(f"gainstage.lab.lessons.{lesson.key}").app.run()[1]["fix"]
    run = run_of(lesson)
    run.upto(len(run.document.parts) - 1)
    return run.repair(run.document.of("fix")[0])


def main(keys: list[str]) -> None:
    before = after = total = 0
    for lesson in lessons():
        if keys and lesson.key not in keys:
            continue
        fix = fix_of(lesson)
        options = {name: [str(v)] if isinstance(v, Code) else list(v) for name, v in fix.choices.items()}
        print(lesson.key)
        for values in product(*options.values()):
            choices = dict(zip(options, values, strict=True))
            graded = fix.grade(**choices)
            name = ", ".join(v if "\n" not in v else "as it stands" for v in values)
            total += 1
            if isinstance(graded, LabError):
                print(f"  {'raises':8} {name}: {graded}")
                continue
            missed = [f"{d.says} {d.measured:.3g}" for d in graded.demands if not d.met]
            trained = graded.trained
            score = f"{trained.score:.2f} after {len(trained.losses)}" if trained else "none"
            before += graded.report.ok
            after += graded.ok
            codes = ",".join(sorted({f.code for f in graded.report.findings if f.severity != "note"}))
            print(
                f"  {'PASS' if graded.ok else 'fail':5} check {'ok' if graded.report.ok else codes:20} "
                f"score {score:16} {name} {'; '.join(missed)}",
                flush=True,
            )
    print(f"{total} combinations: {before} pass the check alone, {after} pass all three")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Random modules that run: is a plan made for each, without an exception or a NaN, the same twice and at any scale?

    python benchmarks/fuzz_starts.py --modules 2000     one core, about 20 minutes; --store FILE keeps the summary
    python benchmarks/fuzz_starts.py --seed 17          one module again, with its source

Of every module (`tests/helpers/fuzz/grammar.py`; tied, functional, in place, complex, bfloat16, lazy, scripted, nested
outputs, custom functions, parametrizations, random numbers of its own, writes to buffers) four plans are made, by
`auto`, by theory, and by theory with all weights that it replaces times 0.01 and times 100, and two starts one after
the other. What they have to be is in `tests/helpers/fuzz/started.py`. Modules that do not run by themselves, or have
nothing to train, are not judged; `refused` are those that cannot be observed, with one message.
"""

import argparse
import collections
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))


def main() -> None:
    import torch
    from fuzz.grammar import draw
    from fuzz.started import started

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=int, default=2000)
    parser.add_argument("--first", type=int, default=500_000, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--minutes", type=float, default=60.0, help="no module is begun after that")
    parser.add_argument("--store", type=Path, help="where the summary goes; default: it is printed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.seed is not None:
        print(draw(options.seed), draw(options.seed).source(), started(options.seed), sep="\n")
        return
    until, kinds, wrong, judged = time.monotonic() + 60 * options.minutes, collections.Counter(), [], 0
    for seed in range(options.first, options.first + options.modules):
        if time.monotonic() > until:
            break
        found = started(seed)
        judged += 1
        refused = bool(found) and found[0].startswith("refused")
        kinds["not to be judged" if found is None else "refused" if refused else "wrong" if found else "right"] += 1
        if found:
            wrong.append(f"  seed {seed}: {found[0][:200]}")
            print(wrong[-1], file=sys.stderr, flush=True)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    text = "\n".join([f"{judged} modules from seed {options.first}: {counts}", *wrong])
    print(text)
    if options.store:
        options.store.write_text(text + "\n")


if __name__ == "__main__":
    main()

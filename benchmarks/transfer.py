"""Does behaviour transfer? Families × rules with slopes and verdicts, and the same data from the package `mup`.

    python benchmarks/transfer.py                     every family and rule: benchmarks/results/transfer.md
    python benchmarks/transfer.py --families mlp      some of them
    python benchmarks/transfer.py --depths            the same along the depth, 1 to 8 blocks
    python benchmarks/transfer.py --cost              a transformer of 4 layers at four widths, 3 seeds
    python benchmarks/transfer.py --peer              the MLP beside mup (pip install --no-deps mup)
    python benchmarks/transfer.py --figure            loss against rate at four widths: benchmarks/results/transfer.svg

A run of one family and rule trains 4 sizes × 3 seeds × 5 steps, and more seeds where these cannot tell, up to --most.
Time is CPU time of this process, one thread.
"""

import argparse
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))
from sized import CLASSES, FAMILIES, ROWS  # noqa: E402

from gainstage.run import Subject  # noqa: E402
from gainstage.transfer import Coordinates, transfer  # noqa: E402

WIDTHS = (64, 128, 256, 512)
RESULTS = HERE / "results"


def checked(family: str, rule: str, given: Any) -> tuple[Coordinates, float]:
    began = time.process_time()
    ends: Any = (WIDTHS[0], WIDTHS[-1])
    if given.depths:
        ends = {"width": WIDTHS[0], "depth": 1}, {"width": WIDTHS[0], "depth": 8}
    elif given.cost:
        ends = {"width": WIDTHS[0], "depth": 4}, {"width": WIDTHS[-1], "depth": 4}
    move = transfer(FAMILIES[family], *ends, rule=rule, optimizer=given.optimizer)
    return move.check(seeds=given.seeds, most=given.most), time.process_time() - began


def rows(given: Any) -> Iterator[str]:
    yield "| network | rule | seeds | verdict | steepest slope of what is learned | broken | CPU s |"
    yield "|---|---|---|---|---|---|---|"
    for family in given.families.split(","):
        for rule in given.rules.split(","):
            found, seconds = checked(family, rule, given)
            own = [row for row in found.rows if row.quantity == "own"]
            worst = max(own, key=lambda row: abs(row.slope.slope - row.expected))
            broken = f"{len([r for r in found.causes if r.broken])} of {len(found.rows)}" if not found.ok else "none"
            steepest = f"{worst.slope} ({worst.name})"
            yield f"| {family} | {rule} | {found.seeds} | {found.verdict} | {steepest} | {broken} | {seconds:.0f} |"


# --- the package mup --------------------------------------------------------------------------------------------------


def peer(seeds: int) -> Iterator[str]:
    """Both record how the outputs of an MLP's layers change over 5 steps at 4 widths; time of that alone."""
    from mup import MuAdam, MuReadout, set_base_shapes
    from mup.coord_check import get_coord_data

    def build(width: int, readout: Callable[..., nn.Module] = nn.Linear) -> nn.Module:
        return nn.Sequential(
            nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), readout(width, 4)
        )  # fmt: skip

    def shaped(width: int) -> Callable[[], nn.Module]:
        def make() -> nn.Module:
            model = build(width, MuReadout)
            return set_base_shapes(model, build(64, MuReadout), delta=build(128, MuReadout))

        return make

    loader = [(ROWS, CLASSES)]
    began = time.process_time()
    get_coord_data(
        {width: shaped(width) for width in WIDTHS}, loader, optimizer="adam", lr=1e-3, nseeds=seeds, nsteps=5,
        lossfn="xent", show_progress=False, cuda=False, mup=True, filter_trainable_by_name=None,
    )  # fmt: skip
    theirs = time.process_time() - began
    assert MuAdam is not None

    def make(width: int) -> Subject:
        return Subject(build(width), ROWS, CLASSES, F.cross_entropy)

    began = time.process_time()
    found = transfer(make, WIDTHS[0], WIDTHS[-1]).check(seeds=seeds)
    ours = time.process_time() - began
    yield f"mup 1.0.0 get_coord_data: {theirs:.1f} s, a table of norms that is plotted and judged by eye."
    yield f"gainstage check: {ours:.1f} s ({ours / theirs:.1f} times), {found.summary()}."


# --- loss against rate ------------------------------------------------------------------------------------------------


def figure(seeds: int, steps: int) -> Iterator[str]:
    """An MLP on the digits of scikit-learn at four widths, standard and transferred."""
    import matplotlib
    from sklearn.datasets import load_digits

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    x, y = load_digits(return_X_y=True)
    data = torch.tensor(x, dtype=torch.float32) / 8 - 1, torch.tensor(y)

    def make(width: int) -> Subject:
        layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
        return Subject(nn.Sequential(*layers), data[0][:64], data[1][:64], F.cross_entropy)

    widths = (32, 64, 128, 256)
    move = transfer(make, widths[0], widths[-1])
    rates = [2.0**k for k in range(-12, -2)]
    began = time.process_time()
    study = move.study(widths=widths, rates=rates, seeds=seeds, steps=steps, data=data)
    drawn, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    for ax, arm in zip(axes, ("standard", "mup"), strict=True):
        study.plot(arm, ax)
        ax.set_yscale("log")
    drawn.savefig(RESULTS / "transfer.svg", metadata={"Date": None})
    nets = len(widths) * len(rates) * seeds * len(study.arms)
    yield f"{nets} networks of {steps} steps in {time.process_time() - began:.0f} s of CPU time."
    yield from study.sentences()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--rules", default="standard,mup")
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--most", type=int, default=24)
    parser.add_argument("--depths", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--figure", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    given: Any = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if given.peer:
        made = peer(given.seeds)
    elif given.figure:
        made = figure(given.seeds, given.steps)
    else:
        given.families = "transformer" if given.cost else given.families
        made = rows(given)
    told = []
    for line in made:
        print(line, flush=True)
        told.append(line)
    if given.output:
        machine = f"torch {torch.__version__}, {platform.machine()}, one thread"
        given.output.write_text("\n".join([*told, "", machine]) + "\n")


if __name__ == "__main__":
    main()

"""Arms and grids: what is one, what is none, and what tells two of them apart."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gainstage import init
from gainstage.study import Arm, StudyError, Trial, grid


def factory(width: int = 3) -> nn.Module:
    return nn.Linear(width, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "mpl"}, "Did you mean 'mlp'"),
        ({"optimizer": "adm"}, "Did you mean 'adam'"),
        ({"dropout_kind": "paths"}, "Did you mean 'path'"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"dropout": -0.1}, "from 0 to below 1"),
        ({"mixup": float("nan")}, "mixup is nan"),
        ({"lr": "tune"}, "Did you mean 'tuned'"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"clip": "1"}, "clip is '1'"),
        ({"depth": 0}, "depth is 0"),
        ({"width": 2.5}, "width is 2.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"options": {"a": 1}}, "for a model of your own"),
        ({"model": factory, "depth": 9}, r"options=\{'depth': \.\.\.\}"),
        ({"model": 3}, "model is 3"),
    ],
)
def test_a_value_that_no_study_could_use_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Arm(**fields)


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    st.lists(st.floats(0, 0.9), min_size=1, max_size=3, unique=True),
)
def test_a_grid_is_every_combination_and_the_first_field_varies_slowest(depths: list[int], rates: list[float]) -> None:
    arms = grid(depth=depths, dropout=rates, width=8)
    assert [(arm.depth, arm.dropout, arm.width) for arm in arms] == [(d, r, 8) for d in depths for r in rates]


def test_an_empty_grid_and_an_unknown_field_are_told() -> None:
    with pytest.raises(StudyError, match="the grid is empty: depth has no values"):
        grid(init=["auto"], depth=[])
    with pytest.raises(StudyError, match=r"no field 'dept'\. Did you mean 'depth'"):
        grid(dept=[1])


def test_equal_arms_have_equal_keys_in_every_process_and_others_do_not() -> None:
    arm = Arm(init=init.he_normal(), norm="batch", lr=0.1)
    trial = Trial(arm, 3, 10, 2, "data")
    script = (
        "from gainstage import init; from gainstage.study import Arm, Trial;"
        "print(Trial(Arm(lr=0.1, norm='batch', init=init.he_normal(), name='other'), 3, 10, 2, 'data').key)"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == trial.key
    others = [
        Trial(Arm(init="he_normal", norm="batch", lr=0.2), 3, 10, 2, "data"),
        Trial(arm, 4, 10, 2, "data"),
        Trial(arm, 3, 11, 2, "data"),
        Trial(arm, 3, 10, 3, "data"),
        Trial(arm, 3, 10, 2, "date"),
        Trial(arm, 3, 10, 2, "data", "cuda"),
    ]
    assert len({trial.key, *(other.key for other in others)}) == 1 + len(others)
    json.dumps(arm.key())


def test_a_function_of_ones_own_is_known_by_its_whole_file(tmp_path: Path) -> None:
    """A helper that it uses decides its numbers as much as the function itself."""
    script = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); import net; from gainstage.study import Arm;"
        "print(Arm(model=net.build, options={'act': net.helper}).key())"
    )

    def key(helper: str) -> str:
        (tmp_path / "net.py").write_text(f"def helper():\n    return {helper}\ndef build(act):\n    return helper()\n")
        run = subprocess.run([sys.executable, "-B", "-c", script, tmp_path], capture_output=True, text=True, check=True)
        return run.stdout

    assert key("1") == key("1") != key("2")

"""A study written as TOML."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gainstage.errors import GainstageError
from gainstage.study._arm import Arm, grid
from gainstage.study._data import load
from gainstage.study._errors import StudyError
from gainstage.study._executors import Serial
from gainstage.study._toml import study_of

FULL = """
data = "wine"
seeds = 3
steps = 40
margin = 0.02
rates = [1e-3, 1e-2]

[grid]
init = ["he_normal", "normal(std=0.01)", "none"]
depth = [4, 20]
residual = true

[[arms]]
name = "mine"
lr = 0.01
clip = 1.0

[[arms]]
norm = "none"
activation = "tanh"
"""


def build(width: int) -> nn.Module:
    return nn.Linear(13, width)


def refused(text: str, **options: object) -> str:
    with pytest.raises(StudyError) as error:
        study_of(text, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_grid_and_arms_become_a_study() -> None:
    study = study_of(FULL)
    combined = grid(init=["he_normal", "normal(std=0.01)", None], depth=[4, 20], residual=True)
    assert study.arms == (*combined, Arm(name="mine", lr=0.01, clip=1.0), Arm(activation="tanh"))
    assert (study.data, study.seeds, study.steps, study.margin) == ("wine", 3, 40, 0.02)
    assert study.rates == [1e-3, 1e-2]


def test_a_model_of_one_s_own_is_found_by_the_factory_and_takes_options() -> None:
    text = '[grid]\nmodel = ["mlp"]\n[[arms]]\nmodel = "net.py:build"\noptions = { width = 3 }'
    study = study_of(text, factory={"net.py:build": build}.__getitem__)
    assert study.arms[1].model is build
    assert study.arms[1].options == {"width": 3}


def test_a_factory_that_fails_is_told_with_its_place() -> None:
    def factory(target: str) -> object:
        raise GainstageError(f"there is no file {target}")

    said = refused('[[arms]]\nmodel = "net.py:build"', factory=factory)
    assert said == "study.toml, line 2, in [[arms]] number 1: there is no file net.py:build"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sedes = 3\n[grid]\ndepth = 2", "line 1: there is no key 'sedes'. Did you mean 'seeds'?"),
        ("seeds = 3\n\n[grid]\ndpeth = [2]", "line 4, in [grid]: there is no key 'dpeth'. Did you mean 'depth'?"),
        (
            "[[arms]]\ndepth = 2\n[[arms]]\nwidht = 3",
            "line 4, in [[arms]] number 2: there is no key 'widht'. Did you mean 'width'?",
        ),
        ("depth = 3", "line 1: there is no key 'depth'. It is a field of an arm: write it under [grid] or [[arms]]."),
        ("[grids]\ndepth = 3", "line 1: there is no key 'grids'. Did you mean 'grid'?"),
        ("[grid]\ndepth = []", "line 2, in [grid]: the grid is empty: depth has no values"),
        ("[grid]", "line 1, in [grid]: the grid is empty"),
        ("seeds = 3", "has no arms"),
        ("", "has no arms"),
        ('[grid]\ndepth = ["20"]', "line 2, in [grid]: depth is '20': expected a whole number from 1 to"),
        ("[grid]\ndepth = [2, true]", "line 2, in [grid]: depth is True: expected a whole number"),
        ("[grid]\ninit = 3", "line 2, in [grid]: init is 3: expected a text"),
        ('[grid]\ninit = ["he_norml"]', "Did you mean 'he_normal'?"),
        ('[grid]\nresidual = "yes"', "residual is 'yes': expected true or false"),
        ("[[arms]]\noptions = 3", "options is 3: expected a table"),
        ('[[arms]]\noptimizer = "adm"', "line 2, in [[arms]] number 1: optimizer is 'adm'. Did you mean 'adam'?"),
        ('[[arms]]\nmodel = "net.py:build"', "model is 'net.py:build'"),
        ('[grid]\nname = "x"', "line 2, in [grid]: the arms of a grid have no name of their own"),
        ('seeds = "five"\n[grid]\ndepth = 1', "line 1: seeds is 'five': expected how many"),
        ("steps = 1.5\n[grid]\ndepth = 1", "line 1: steps is 1.5: expected a whole number"),
        ("steps = 0\n[grid]\ndepth = 1", "line 1: steps is 0: expected a whole number from 1 to"),
        ('rates = ["a"]\n[grid]\ndepth = 1', "line 1: rates is ['a']: expected a list of numbers"),
        ("rates = [-1]\n[grid]\ndepth = 1", "rates are [-1]"),
        (
            "seeds = 1000000000\n[grid]\ndepth = 1",
            "line 1: seeds is 1000000000: expected a whole number from 1 to 10,000",
        ),
        (
            "steps = 10000000000\n[grid]\ndepth = 1",
            "steps is 10000000000: expected a whole number from 1 to 100,000,000",
        ),
        ("looks = 1000000\n[grid]\ndepth = 1", "looks is 1000000: expected a whole number from 1 to 100,000"),
        ("tuning_seeds = 2000\n[grid]\ndepth = 1", "tuning_seeds is 2000: expected"),
        ("split_seed = -1\n[grid]\ndepth = 1", "split_seed is -1: expected"),
        ("margin = nan\n[grid]\ndepth = 1", "margin is nan: expected"),
        ("rates = [inf]\n[grid]\ndepth = 1", "rates are [inf]: expected"),
        ('device = "banana"\n[grid]\ndepth = 1', "device is 'banana': expected 'cpu'"),
        ("[grid]\ndepth = 1000000", "depth is 1000000: expected a whole number from 1 to 100,000"),
        ("[grid]\nwidth = 1000000", "width is 1000000: expected a whole number from 1 to 65,536"),
        ("[grid]\nbatch_size = 10000000", "batch_size is 10000000: expected a whole number from 1 to 1,000,000"),
        ("[grid]\nlr = nan", "lr is nan: expected"),
        ("[grid]\nlr = 1" + "0" * 400, "lr is a number of 401 digits: expected"),
        (f"[grid]\ndepth = {list(range(1, 301))}\nwidth = {list(range(1, 301))}", "300 × 300 = 90,000 combinations"),
        ("seeds = " + "9" * 5000, "is not TOML"),
        ("seeds = 0x" + "f" * 5000 + "\n[grid]\ndepth = 1", "seeds is a number of 6021 digits: expected"),
        (".".join("a" * 5000) + " = 1", "is not TOML"),
        ("data = 3\n[grid]\ndepth = 1", "data is 3: expected a data set's name"),
        ("arms = 3", "arms is 3: expected tables, [[arms]]"),
        ("arms = [3]", "expected tables, [[arms]]"),
        ("grid = 3", "grid is 3: expected a table, [grid]"),
        ("[[arms]]\ndepth = 2\n[[arms]]\ndepth = 2", "are the same"),
        ("seeds = = 3", "study.toml is not TOML: Invalid value (at line 1, column 9)"),
        ("a = [" * 5000, "is not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_write(text: str, said: str) -> None:
    message = refused(text)
    assert message.startswith("study.toml")
    assert said in message


@given(st.text(max_size=200))
def test_any_text_is_a_study_or_one_clear_error(text: str) -> None:
    with pytest.raises(StudyError):
        study_of(text)


KEYS = st.sampled_from(
    ["seeds", "steps", "data", "grid", "arms", "depth", "init", "norm", "lr", "clip", "x", "options"]
)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), st.sampled_from(["he_normal", "none", "mlp", ""]), st.floats(-1, 1)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def written(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_toml_is_a_study_or_a_study_error(tables: dict[str, object]) -> None:
    """No value of the wrong kind reaches the code as another exception."""
    text = "\n".join(f"{key} = {written(value)}" for key, value in tables.items())
    try:
        found = study_of(text)
    except StudyError as error:
        found = str(error)
    assert isinstance(found, str) == (not hasattr(found, "arms"))
    assert found


def test_data_from_files_beside_it_and_a_training_of_ones_own(tmp_path: Path) -> None:
    rows = "\n".join(f"{i / 10},{i % 3},{'ab'[i % 2]}" for i in range(40))
    (tmp_path / "words.csv").write_text(f"width,height,label\n{rows}\n")
    np.savez(tmp_path / "arrays.npz", x=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40.0) / 7)
    base = '[[arms]]\ninit = "he_normal"\nlr = 0.1\n'
    for data, classes, shape in [("words.csv", 2, (2,)), ("arrays.npz", 0, (3,))]:
        study = study_of(f'data = "{data}"\n{base}', file=str(tmp_path / "study.toml"))
        found = load(study.data)
        assert (found.classes, found.shape) == (classes, shape)
    own = study_of(
        'train = "net.py:train"\nscore = "reward"\nguess = 0.5\n[[arms]]\nwidth = 3\n[[arms]]\nwidth = 4\n',
        factory=lambda target: lambda arm, seed: float(arm["width"]),
    )
    assert [each.scores for each in own.run(executor=Serial()).arms] == [(3.0,) * 5, (4.0,) * 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2\n3,x,4", "line 2: got '3 cells'"),
        ("", "expected rows"),
        ("1,2,a\n1,z,b", "line 2: got 'z'"),
        (None, "no file"),
    ],
)
def test_a_table_that_is_none_is_told_with_its_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "d.csv").write_text(text)
    with pytest.raises(StudyError, match=said) as caught:
        study_of('data = "d.csv"\n[grid]\ndepth = [1]', file=str(tmp_path / "s.toml"))
    assert "s.toml, line 1" in str(caught.value)

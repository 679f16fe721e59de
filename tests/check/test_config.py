"""`[tool.gainstage]`: where it is found, what it accepts, and what it does to a check."""

from pathlib import Path

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.check import RULES, Config, Finding, Fix
from gainstage.check.config import find, parse


def constant() -> tuple[nn.Module, torch.Tensor]:
    """Three constant weights: INI101 at `body.0` and `body.2`."""
    body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
    model = nn.Sequential()
    model.add_module("body", body)
    model.add_module("head", nn.Linear(16, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model, torch.randn(32, 8)


def found(config: Config, **options: object) -> list[tuple[str, str, str]]:
    model, x = constant()
    return [(f.code, f.where, f.severity) for f in gs.check(model, x, config=config, **options).findings]


def finding(where: str, code: str = "INI101") -> Finding:
    return Finding(code, "identical-units", "error", where, "all", "none", "equal", Fix("draw it anew"))


# --- finding the file ----------------------------------------------------------------------------------------------


def test_the_nearest_file_with_settings_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.gainstage]\nignore = ["INI103"]\n')
    (tmp_path / "a" / "pyproject.toml").write_text('[project]\nname = "no settings here"\n')
    config = find(inner)
    assert (config.ignore, config.file) == (("INI103",), tmp_path / "pyproject.toml")
    (inner / "pyproject.toml").write_text('[tool.gainstage]\nselect = ["ini"]\n')
    assert (find(inner).select, find(inner).ignore) == (("INI",), ())


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert find(tmp_path) == Config()


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.gainstage\n")
    with pytest.raises(gs.GainstageError, match=r"pyproject\.toml"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"selct": ["INI"]}, "Did you mean 'select'"),
        ({"per_module_ignores": {}}, "Did you mean 'per-module-ignores'"),
        ({"ignore": ["INI1011"]}, "Did you mean 'INI1"),
        ({"ignore": "INI101"}, "a list"),
        ({"ignore": [101]}, "a list"),
        ({"select": [""]}, "begins with ''"),
        ({"severity": {"INI101": "warn"}}, "Did you mean 'warning'"),
        ({"severity": {"INX": "note"}}, "Did you mean 'INI'"),
        ({"severity": "error"}, r"\[tool.gainstage.severity\]"),
        ({"severity": {"INI101": ["error"]}}, "Expected one of error"),
        ({"per-module-ignores": {"head": 3}}, "head.* is 3. Expected a list"),
        (3, "is 3. Expected a table"),
        ([], r"is \[\]. Expected a table"),
        ({"select": [[[[[[]]]]]]}, "a list of rule codes"),
        ({"\x1b[31m\u202e": 1}, r"unknown key '\\x1b\[31m\\u202e'"),
        ({"per-module-ignores": {"head": ["OUTT"]}}, "head.*Did you mean 'OUT'"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest(table: dict[str, object], said: str) -> None:
    with pytest.raises(gs.GainstageError, match=said):
        parse(table)


def test_codes_are_read_in_any_case() -> None:
    config = parse({"select": ["ini"], "severity": {"ini103": "off"}, "per-module-ignores": {"a": ["fwd201"]}})
    assert (config.select, dict(config.severity)) == (("INI",), {"INI103": "off"})
    assert config.per_module_ignores == {"a": ("FWD201",)}


# --- options over the file -----------------------------------------------------------------------------------------


def test_a_selection_replaces_the_file_s_and_an_ignore_adds_to_it() -> None:
    config = Config(select=("FWD",), ignore=("FWD201",))
    assert config.over(select=["INI"]) == Config(select=("INI",))
    assert config.over(ignore=["BWD"]) == Config(select=("FWD",), ignore=("FWD201", "BWD"))
    assert config.over() == config


def test_a_rule_that_is_off_runs_when_it_is_selected_by_its_code() -> None:
    config = Config(severity={"INI": "off"})
    assert not any(code == "INI101" for code, *_ in found(config))
    assert {code for code, *_ in found(config, select=["INI101"])} == {"INI101"}
    off_alone = Config(severity={"INI101": "off"})
    assert "INI101" not in {code for code, *_ in found(off_alone, select=["INI"])}


# --- effect ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "where", "silent"),
    [
        ("decoder", "decoder.3.norm.weight", True),
        ("decoder.*", "decoder.3.norm.weight", True),
        ("decoder.*.norm", "decoder.3.norm/layer_norm#0", True),
        ("*.weight", "decoder.3.norm.weight", True),
        ("decode", "decoder.3.norm.weight", False),
        ("norm", "decoder.3.norm.weight", False),
        ("decoder.[0-2]", "decoder.3.norm.weight", False),
        ("*", "/linear#0", True),
        ("a/linear#0", "a/linear#0", True),
        ("a/linear#0", "a/linear#1", False),
    ],
)
def test_a_glob_matches_a_place_and_the_modules_around_it(glob: str, where: str, silent: bool) -> None:
    config = Config(per_module_ignores={glob: ("INI",)})
    assert config.silent_at("INI101", where) == silent
    assert not config.silent_at("FWD201", where)
    assert config.adjusted([finding(where)]) == ([] if silent else [finding(where)])


def test_a_cause_that_is_silenced_hides_no_symptom() -> None:
    everything = found(Config())
    assert everything[0][0] == "INI101"
    silenced = found(Config(per_module_ignores={"body": ("INI101",)}))
    assert "INI101" not in {code for code, *_ in silenced}
    assert "INI102" in {code for code, *_ in silenced}  # what INI101 had explained
    assert ("INI101", "body.0.weight", "error") in found(Config(per_module_ignores={"body.2": ("INI",)}))


def test_the_longest_beginning_gives_the_severity() -> None:
    config = Config(severity={"INI": "error", "INI101": "note"})
    assert {severity for _, _, severity in found(config, select=["INI101"])} == {"note"}


def test_a_rule_that_is_off_is_neither_judged_nor_unjudged() -> None:
    model, x = constant()
    report = gs.check(model, x, config=Config(severity={"INI": "off", "INI101": "warning"}))
    codes = {*report.judged, *(n.code for n in report.not_judged)}
    assert codes == {code for code in RULES if not code.startswith("INI") or code == "INI101"}


def test_allowing_adds_to_the_file_s_ignores() -> None:
    config = Config(per_module_ignores={"a": ("INI101",)})
    assert config.allowing({"a": ["FWD"], "b": "BWD"}).per_module_ignores == {"a": ("INI101", "FWD"), "b": ("BWD",)}
    assert config.allowing(["FWD"]).per_module_ignores["*"] == ("FWD",)
    assert config.allowing(()) == config
    with pytest.raises(gs.GainstageError, match="Did you mean 'INI1"):
        config.allowing(["INI1010"])

"""`gs.testing.assert_healthy`, and the pytest plugin that brings it as a fixture."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import torch
from torch import nn

import gainstage as gs


def constant() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model


def test_a_healthy_model_passes_and_gives_its_report() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), torch.randn(32, 8)
    gs.initialize(model, x)
    report = gs.testing.assert_healthy(model, x)
    assert report == gs.check(model, x)


def test_the_message_names_rule_place_number_and_fix() -> None:
    with pytest.raises(AssertionError) as failed:
        gs.testing.assert_healthy(constant(), torch.randn(32, 8))
    said = str(failed.value).splitlines()
    assert said[0] == "Sequential is not healthy:"
    assert said[1].startswith("Sequential:0.weight: INI101 error ")
    assert "16 of 16 units" in said[1]
    assert any(line.startswith("fix INI101: ") and "gs.initialize" in line for line in said)


def test_notes_do_not_fail_and_are_not_told() -> None:
    config = gs.check.Config(severity=dict.fromkeys(gs.check.RULES, "note"))
    report = gs.testing.assert_healthy(constant(), torch.randn(32, 8), config=config)
    assert report.count("note") == len(report.findings) > 0


def test_what_is_allowed_does_not_fail() -> None:
    model, x = constant(), torch.randn(32, 8)
    every = {f.code for f in gs.check(model, x, select=["INI10"]).findings}
    assert every
    with pytest.raises(AssertionError):
        gs.testing.assert_healthy(model, x, select=["INI101"], allow={"2": ["INI101"]})
    assert gs.testing.assert_healthy(model, x, select=["INI101"], allow={"0": ["INI101"]}).findings == ()
    assert gs.testing.assert_healthy(model, x, select=["INI101"], allow=["INI"]).findings == ()


def test_an_unknown_code_is_an_error_of_its_own() -> None:
    with pytest.raises(gs.GainstageError, match="Did you mean 'INI1"):
        gs.testing.assert_healthy(constant(), torch.randn(32, 8), allow=["INI1011"])


def test_loading_the_plugin_imports_neither_torch_nor_a_room() -> None:
    code = """
import sys
import pytest
import gainstage._pytest
loaded = [m for m in sys.modules if m.partition(".")[0] in ("torch", "numpy", "numba") or m.startswith("gainstage.")]
sys.exit(str(loaded) if loaded != ["gainstage._pytest"] else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


TEST = """
import torch
from torch import nn


def model():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model


def test_sick(assert_healthy):
    assert_healthy(model(), torch.randn(32, 8))


def test_selected(assert_healthy):
    assert_healthy(model(), torch.randn(32, 8), select=["FWD206"])
"""


def test_the_plugin_is_declared() -> None:
    declared = {point.name: point.value for point in entry_points(group="pytest11")}
    assert declared.get("gainstage") == "gainstage._pytest"


def test_the_fixture_fails_at_the_line_of_the_test_with_the_report(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    called, found, fix = "*assert_healthy(model(), torch.randn(32, 8))*", "*0.weight: INI101 error *", "*fix INI101: *"
    result.stdout.fnmatch_lines([called, found, fix])
    result.stdout.no_fnmatch_line("*def assert_healthy*")  # the helper's own frame stays out of the way


def test_the_fixture_reads_the_settings_above_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makepyprojecttoml('[tool.gainstage]\nselect = ["INI101"]\n[tool.gainstage.severity]\nINI101 = "note"\n')
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)

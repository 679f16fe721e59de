"""What objects show in a notebook: short, folded, escaped, without a colour or a script."""

import re
from importlib.metadata import version

import pytest
import torch
from made_results import small
from torch import nn

import gainstage as gs
from gainstage._notebook import folded


def test_the_version_is_that_of_the_package():
    assert gs.__version__ == version("gainstage")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", gs.__version__)


@pytest.fixture(scope="module")
def shown():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(32, 8)
    nn.init.constant_(model[0].weight, 0.1)
    report = gs.check(model, x)
    return report, gs.plan(model, x), gs.record(model, x)


def test_a_report_shows_its_counts_and_folds_every_finding(shown):
    report, page = shown[0], shown[0]._repr_html_()
    assert page.startswith(f"<div><b>Sequential: {report.count('error')} error")
    assert page.count("<details>") == len(report.findings) + 1
    assert report.findings[0].code in page
    assert report.findings[0].fix.text.split()[0] in page


def test_a_forecast_folds_its_table():
    page = gs.foresee(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), torch.randn(4, 8))._repr_html_()
    assert page.startswith("<div><b>Sequential: 2 sites, 100% covered, first loss ")
    assert "0/linear#0" in page


def test_a_plan_a_tape_and_results_fold_their_tables(shown):
    _, plan, tape = shown
    assert "4 parameters" in plan._repr_html_()
    assert "2.weight" in plan._repr_html_()
    assert f"{len(tape.sites)} sites" in tape._repr_html_()
    assert small()._repr_html_().count("<details>") >= 1


def test_pages_are_short_and_take_the_colours_of_the_notebook(shown):
    for page in (*(each._repr_html_() for each in shown), small()._repr_html_()):
        assert len(page) < 50_000
        assert "color" not in page
        assert "<script" not in page


def test_what_comes_from_a_model_is_escaped_and_cut():
    page = folded("<b>x</b>", [("a\x1b[31m<i>", "y" * 30_000)] * 60)
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "\x1b" not in page
    assert "<i>" not in page
    assert "... (30000 characters)" in page
    assert "and 10 more" in page

"""`gainstage lab`: what it writes, and what it says where it cannot."""

import importlib.util
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gainstage.cli import main


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "marimo" else real(name, *rest)
    )
    ran = CliRunner().invoke(main, ["lab"])
    assert ran.exit_code == 2
    assert 'pip install "gainstage[lab]"' in " ".join(ran.output.split())


def test_export_writes_notebooks_pages_and_an_index(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    from gainstage.lab import lessons

    ran = CliRunner().invoke(main, ["lab", "--export", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    index = (tmp_path / "out" / "index.html").read_text()
    names = {f"{lesson.key}{ending}" for lesson in lessons() for ending in (".ipynb", ".html")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"index.html"}
    assert set(re.findall(r'href="(l\d\d_\w+\.html)"', index)) == {name for name in names if name.endswith(".html")}


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(main, ["lab", "--export", str(tmp_path / "file" / "out")])
    assert ran.exit_code == 2
    assert "cannot write" in ran.output

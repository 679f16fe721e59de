"""`gainstage lab`: what it writes, and what it says where it cannot."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from interrupt import answers_ctrl_c

from gainstage.cli import main


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "marimo" else real(name, *rest)
    )
    ran = CliRunner().invoke(main, ["lab"])
    assert ran.exit_code == 2
    assert 'pip install "gainstage[lab]"' in " ".join(ran.output.split())


def test_export_writes_notebooks_pages_and_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("marimo")
    from gainstage.lab import _export, lesson

    one = lesson("l03_variance")  # every lesson's own test looks at its page and its notebook
    monkeypatch.setattr(_export, "lessons", lambda: (one,))
    ran = CliRunner().invoke(main, ["lab", "--export", str(tmp_path / "out")])
    assert ran.exit_code == 0, ran.output
    index = (tmp_path / "out" / "index.html").read_text()
    names = {f"{one.key}.ipynb", f"{one.key}.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"index.html", "playground.html"}
    assert 'href="playground.html"' in index
    assert set(re.findall(r'href="(l\d\d_\w+\.html)"', index)) == {f"{one.key}.html"}


def test_the_playground_is_one_file(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["lab", "--playground", str(tmp_path / "p.html")])
    assert (ran.exit_code, ran.output.strip()) == (0, str(tmp_path / "p.html"))
    assert [path.name for path in tmp_path.iterdir()] == ["p.html"]
    refused = CliRunner().invoke(main, ["lab", "--playground", str(tmp_path / "no" / "p.html")])
    assert refused.exit_code == 2
    assert "cannot write" in refused.output


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(main, ["lab", "--export", str(tmp_path / "file" / "out")])
    assert ran.exit_code == 2
    assert "cannot write" in ran.output


def test_ctrl_c_ends_it_while_a_lesson_is_open(tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    from websockets.sync.client import connect  # marimo needs it too

    from gainstage.lab._lessons import ALL

    command = [sys.executable, "-m", "gainstage", "lab", "--port", "0", "--no-browser"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=answers_ctrl_c
    )
    try:
        assert server.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/\?access_token=(\S+)", server.stdout.readline())
        assert found
        port, token = found.groups()
        notebook = next(each for each in ALL if not each.is_document)  # one that has a thread of marimo's
        where = f"ws://127.0.0.1:{port}{notebook.link}ws?session_id=s_123456"
        with connect(where, additional_headers={"Cookie": f"gainstage_lab_{port}={token}"}) as socket:
            socket.recv()  # the lesson has its thread
            server.send_signal(signal.SIGINT)
            _, complaints = server.communicate(timeout=60)  # without an end it would wait for ever
    finally:
        server.kill()
    assert server.returncode == 0
    assert complaints == ""

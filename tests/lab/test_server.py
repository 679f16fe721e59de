"""The server answers this machine's browser with the token and nobody else; what cannot be served is said."""

import http.client
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gainstage.lab import LabError, _progress, serve
from gainstage.lab._lessons import ALL, FOLDER, lessons
from gainstage.lab._ranges import parsed, steps

TOKEN = "only-for-tests"
LESSON = lessons()[0]


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def cookie(port: int) -> str:
    return f"gainstage_lab_{port}={TOKEN}"


PATHS = ("/", LESSON.link, f"{LESSON.link}assets/nothing.js", f"/notebooks/{LESSON.key}.ipynb", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_without_the_token(lab_port: int, path: str) -> None:
    assert ask(lab_port, path).status == 403
    assert ask(lab_port, f"{path}?access_token=wrong").status == 403
    assert ask(lab_port, path, Cookie=f"gainstage_lab_{lab_port}=wrong").status == 403


def test_the_token_of_the_address_becomes_a_cookie_and_leaves_the_address(lab_port: int) -> None:
    answer = ask(lab_port, f"{LESSON.link}?depth=7&access_token={TOKEN}")
    assert (answer.status, answer.getheader("location")) == (303, f"{LESSON.link}?depth=7")
    given = answer.getheader("set-cookie") or ""
    assert "HttpOnly" in given
    assert "SameSite=Lax" in given
    assert ask(lab_port, "/", Cookie=cookie(lab_port)).status == 200


def test_the_redirect_never_leads_to_another_host(lab_port: int) -> None:
    assert ask(lab_port, f"//evil.example/?access_token={TOKEN}").getheader("location") == "/evil.example/"


def test_another_host_name_is_refused_even_with_the_token(lab_port: int) -> None:
    assert ask(lab_port, "/", Cookie=cookie(lab_port), Host=f"evil.example:{lab_port}").status == 403
    assert ask(lab_port, f"/?access_token={TOKEN}", Host="evil.example").status == 403


def test_a_page_of_another_origin_is_refused(lab_port: int) -> None:
    assert ask(lab_port, "/forget", method="POST", Cookie=cookie(lab_port), Origin="http://evil.example").status == 403
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    key = {"Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    where = f"{LESSON.link}ws?session_id=1"
    foreign = ask(lab_port, where, Cookie=cookie(lab_port), Origin="http://evil.example", **upgrade, **key)
    assert foreign.status == 403
    assert ask(lab_port, where, **upgrade, **key).status == 403


def test_the_page_may_load_nothing_from_elsewhere(lab_port: int) -> None:
    policy = ask(lab_port, LESSON.link, Cookie=cookie(lab_port)).getheader("content-security-policy") or ""
    assert "default-src 'self'" in policy
    assert "https:" not in policy


def test_a_port_in_use_is_said_with_what_to_write_instead() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LabError, match=r"cannot be used .*--port 0"):
            serve(taken.getsockname()[1], browser=False)


def test_every_lesson_file_is_in_the_table_and_numbered() -> None:
    assert {path.stem for path in FOLDER.glob("l[0-9]*")} == {lesson.key for lesson in ALL}
    assert [lesson.number for lesson in ALL] == list(range(1, 19))


def test_marimo_has_nothing_to_complain_of() -> None:
    files = [str(lesson.path) for lesson in lessons() if not lesson.is_document]
    command = [sys.executable, "-m", "marimo", "check", "--strict", *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_lesson_has_its_test() -> None:
    here = Path(__file__).parent
    assert all((here / f"test_{lesson.key[:3]}.py").is_file() for lesson in lessons())


def test_the_first_answer_stays_and_a_spoiled_file_counts_as_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state" / "lab.json"
    monkeypatch.setattr(_progress, "_file", file)
    _progress.answered("l01_why", "predict", "it works", right=False, sure="certain")
    _progress.answered("l01_why", "predict", "like guessing", right=True, sure="a guess")
    kept = _progress.answers()["l01_why"]["predict"]
    assert (kept.first, kept.right, kept.sure, kept.tries, kept.done) == ("it works", False, "certain", 2, True)
    for spoiled in ("no json", "[]", '{"l01_why": 3}', '{"l01_why": ["fix"]}'):
        file.write_text(spoiled)
        assert _progress.answers() == {}


def test_a_signature_holds_for_name_answers_and_word() -> None:
    given = {"l01_why": {"predict": _progress.Answer("it works", tries=1)}}
    handed = msgspec.json.decode(_progress.signed("Ada", given, "overture"), type=_progress.HandedIn)
    assert _progress.genuine(handed, "overture")
    assert not _progress.genuine(handed, "another word")
    assert not _progress.genuine(msgspec.structs.replace(handed, student="Bob"), "overture")
    handed.answers["l01_why"]["predict"].right = True
    assert not _progress.genuine(handed, "overture")


@pytest.mark.parametrize("text", ["banana", "nan", "inf", "1e400", "-3", "61", "2.5", ""])
def test_a_value_that_the_slider_does_not_have_is_not_taken(text: str) -> None:
    assert parsed(text, steps(2, 60)) is None
    assert parsed("20", steps(2, 60)) == 20

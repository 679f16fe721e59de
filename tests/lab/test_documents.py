"""Every lesson that is a document: it runs, grades, becomes a notebook and a page, and works in a browser."""

import contextlib
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from document_battery import KEYS, TOO_WIDE, html, run_whole, unfilled

from gainstage import lab
from gainstage.lab import Judgement, lesson
from gainstage.lab._export import notebook_text
from gainstage.lab.course.controls import controls, few
from gainstage.lab.course.grammar import LONGEST
from gainstage.lab.course.offline import offline
from gainstage.lab.course.running import Run
from gainstage.lab.course.showing import name_of, verdict

every_lesson = pytest.mark.parametrize("key", KEYS)


@every_lesson
def test_it_shows_all_its_parts_and_every_value(key: str) -> None:
    page = html(key)
    assert unfilled(page) == []
    assert "lab-waits" not in page
    assert "e-0" not in re.sub(r"<(pre|code|math|figure)\b.*?</\1>|<[^>]*>", "", page, flags=re.DOTALL)
    assert len(run_whole(key).document.file.read_text(encoding="utf-8").splitlines()) <= LONGEST


@every_lesson
def test_its_prediction_is_what_is_measured(key: str) -> None:
    run = run_whole(key)
    assert run.document.of("predict")
    for part in run.document.of("predict"):
        found = run.prediction(part)
        assert run.truth(part) == found["answer"]
        for option in found["options"]:
            said = "✓ Right." if option == found["answer"] else "✗ Not so."
            assert said in verdict(run, part, option)


@every_lesson
def test_its_fix_is_broken_and_can_be_repaired(key: str) -> None:
    run = run_whole(key)
    assert run.document.of("fix")
    for part in run.document.of("fix"):
        fix, claim = run.repair(part), run.claims[part.line]
        broken, repaired = fix.grade(), fix.grade(**claim["solved"])
        assert isinstance(broken, Judgement), broken
        assert isinstance(repaired, Judgement), repaired
        assert not broken.ok
        assert {finding.code for finding in broken.findings} >= claim["broken"]
        assert repaired.ok, f"{repaired.report} {repaired.demands} {repaired.trained}"


@every_lesson
def test_what_is_taken_home_runs(key: str) -> None:
    (part,) = run_whole(key).document.of("take-home")
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(part.body, "<take home>", "exec"), {})


@every_lesson
def test_its_notebook_is_valid_and_its_code_runs(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat

    for widget in ("live", "repair"):  # what they show was measured when the document was run
        monkeypatch.setattr(lab, widget, lambda function: controls(function, Path(key), 1))
    run_whole(key)
    book = nbformat.reads(notebook_text(lesson(key)), as_version=4)
    nbformat.validate(book)
    install, *code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert install.source.startswith("%pip install")
    scope: dict[str, Any] = {"__name__": "notebook"}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in code:
            exec(compile(cell.source, key, "exec"), scope)
    assert sum("lab.live(" in cell.source for cell in code) == len(run_whole(key).document.of("measure"))


@cache
def page_from_disk() -> str:
    return offline(run_whole("l03_variance"), most=2)


def test_a_page_without_a_server_holds_the_states_of_its_sliders() -> None:
    run, page = run_whole("l03_variance"), page_from_disk()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "connect-src" not in page
    assert "default-src 'none'" in page
    states = json.loads(re.search(r'id="lab-states">(.*?)</script>', page, re.DOTALL)[1])
    (part,) = run.document.of("measure")
    for control in run.controls(part):
        shown = [states[name_of(part)][f"{control.name}={value}"] for value in few(control, 2).values]
        assert all(shown)
        assert len({json.dumps(each) for each in shown}) == len(shown)
    (graded,) = (each for index, each in states["exercises"].items() if '{"law"' in next(iter(each)))
    assert any("✓ Right." in said for said in graded.values())


def test_a_page_from_disk_answers_to_its_sliders(tmp_path: Path, lab_browser: Any) -> None:
    file = tmp_path / "l03_variance.html"
    file.write_text(page_from_disk(), encoding="utf-8")
    page, asked = lab_browser.new_page(), list[str]()
    page.on("request", lambda request: None if request.url.startswith("data:") else asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function("document.body.dataset.live")
    page.get_by_role("radio", name="It grows more than tenfold").check()
    page.get_by_role("button", name="Commit").click()
    page.get_by_text("✓ Right.").first.wait_for()
    number = page.locator('[data-readout="level_at_the_last_layer"]')
    before, thumb = number.inner_text(), page.get_by_role("slider", name="Weight scale")
    thumb.press("End" if thumb.input_value() == "0" else "Home")
    assert number.inner_text() != before
    page.get_by_role("button", name="Check and train it").click()
    page.locator('[data-code="INI104"]').first.wait_for()
    assert asked == [file.as_uri()]
    page.close()


@every_lesson
def test_in_a_real_browser(key: str, lab_browser: Any, lab_address: str) -> None:
    run, home = run_whole(key), lab_address.split("/?")[0]
    page, wrong = lab_browser.new_page(), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((home, "data:")) else None)
    page.goto(lab_address)
    page.goto(f"{home}{run.lesson.link}")
    page.get_by_role("heading", name=run.lesson.title).wait_for()
    page.wait_for_function("document.body.dataset.live")
    _the_prediction_opens_what_it_asks(page, run)
    _a_slider_moves_a_number_and_back_leaves(page, run, home)
    _the_fix_is_graded(page, run)
    _axe_finds_nothing_serious(page)
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(250)  # the figures are drawn anew
    assert page.evaluate(TOO_WIDE) == []
    assert wrong == []
    page.close()


def _the_prediction_opens_what_it_asks(page: Any, run: Run) -> None:
    for form in page.locator("form[data-predict]").all():
        closed = page.locator(f'[data-gate="{form.get_attribute("data-predict")}"]')
        if closed.count():
            assert not closed.locator(".lab-body").first.is_visible()
        part = run.document.parts[int(form.get_attribute("data-predict"))]
        form.get_by_role("radio", name=run.prediction(part)["answer"], exact=True).check()
        form.get_by_role("button", name="Commit").click()
        page.get_by_text("✓ Right.").first.wait_for()
        assert closed.count() == 0
        assert form.get_by_role("button", name="Commit").is_disabled()


def _a_slider_moves_a_number_and_back_leaves(page: Any, run: Run, home: str) -> None:
    part = next(part for part in run.document.of("measure") if run.controls(part))
    name, control = name_of(part), next(c for c in run.controls(part) if c.kind == "range")
    box, thumb = page.locator(f'[data-shown="{name}"]'), page.get_by_role("slider", name=control.label)
    before, entries = box.inner_html(), page.evaluate("history.length")
    key = "ArrowRight" if control.start != control.values[-1] else "ArrowLeft"
    thumb.press(key)
    page.wait_for_function(
        "([n, b]) => document.querySelector(`[data-shown=${n}]`).innerHTML !== b", arg=[name, before]
    )
    assert f"{control.name}=" in page.url
    assert page.evaluate("history.length") == entries
    said = thumb.get_attribute("aria-valuetext")
    page.reload()  # the link restores the state
    page.wait_for_function("document.body.dataset.live")
    assert page.get_by_role("slider", name=control.label).get_attribute("aria-valuetext") == said
    page.go_back()
    assert page.url == f"{home}/"
    page.goto(f"{home}{run.lesson.link}?{control.name}=banana")
    page.get_by_text("the link says 'banana'").first.wait_for(state="attached")


def _the_fix_is_graded(page: Any, run: Run) -> None:
    (part,) = run.document.of("fix")
    form = page.locator("form[data-fix]")
    form.wait_for()
    for name, choice in run.claims[part.line]["solved"].items():
        box = form.locator(f'[name="{name}"]')
        box.select_option(choice) if box.evaluate("e => e.tagName") == "SELECT" else box.fill(choice)
    form.get_by_role("button", name="Check and train it").click()
    page.get_by_text("gs.check: 0 errors, 0 warnings").wait_for()


def _axe_finds_nothing_serious(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    while page.locator("[data-open]").count():  # one opens all that wait for the same prediction
        page.locator("[data-open]").first.click()
    for scheme, width in (("light", 1000), ("dark", 500)):  # 500: what 1000 shows at 200 %
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(300)  # the figures are drawn anew
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
    page.emulate_media(color_scheme="light")

"""What every lesson of the lab has to do: run headless, in a real browser, and as files that open offline."""

import contextlib
import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from gainstage.lab import Judgement, exercises, lesson
from gainstage.lab._export import notebook_text, page_text
from gainstage.lab._lessons import Lesson


@dataclass(frozen=True, eq=False)
class Case:
    """What is particular to one lesson, in one place.

    Attributes:
        key: of the lesson.
        slider: label of a slider; `name` is its key in the address, `bad` a value that it does not know.
        name, bad: see `slider`.
        readout: name of a number that this slider moves.
        right, wrong: answers to the prediction.
        codes: rule codes that the network of the fix has as it stands.
        fixed: choices that repair it, by name.
    """

    key: str
    slider: str
    name: str
    readout: str
    right: str
    wrong: str
    codes: frozenset[str]
    fixed: Mapping[str, str] = field(default_factory=dict)
    bad: str = "banana"

    @property
    def lesson(self) -> Lesson:
        return lesson(self.key)


def app_of(case: Case) -> Any:
    return import_module(f"gainstage.lab.lessons.{case.key}").app


@cache
def definitions(case: Case) -> Mapping[str, Any]:
    """What the cells define, at the values that the lesson starts with."""
    return app_of(case).run()[1]


def committed_to(case: Case, answer: Any) -> str:
    """All that the lesson shows after a commit to `answer`, as text."""
    outputs, _ = app_of(case).run(defs={"committed": lambda: answer, "commit": lambda _: None})
    return "".join(getattr(output, "text", "") for output in outputs)


class LessonBattery:
    """Subclass it with a `case`, in the test file of the lesson."""

    case: Case

    def test_the_prediction_grades_a_right_and_a_wrong_answer(self) -> None:
        defined = definitions(self.case)
        truth = defined["truth"]
        assert defined["prediction"].right(self.case.right, truth)
        assert not defined["prediction"].right(self.case.wrong, truth)

    def test_the_fix_grades_with_the_codes_of_the_check(self) -> None:
        fix = definitions(self.case)["fix"]
        broken, repaired = fix.grade(), fix.grade(**self.case.fixed)
        assert isinstance(broken, Judgement), broken
        assert isinstance(repaired, Judgement), repaired
        assert not broken.ok
        assert {finding.code for finding in broken.findings} >= self.case.codes
        assert repaired.report.ok, str(repaired.report)
        assert repaired.ok, f"{repaired.demands} {repaired.trained and repaired.trained.score}"

    def test_what_is_taken_home_runs(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(definitions(self.case)["take_home"].code, "<take home>", "exec"), {})

    def test_the_notebook_is_valid_and_its_code_runs_without_marimo_serving_it(self) -> None:
        import nbformat

        book = nbformat.reads(notebook_text(self.case.lesson), as_version=4)
        nbformat.validate(book)
        code = [cell for cell in book.cells if cell.cell_type == "code"]
        assert any(cell.outputs for cell in code)
        assert any(cell.cell_type == "markdown" and "$" in cell.source for cell in book.cells)
        scope: dict[str, Any] = {"__name__": "notebook"}
        for cell in code:
            exec(compile(cell.source, self.case.key, "exec"), scope)

    def test_the_exported_page_needs_no_script_and_no_network(self) -> None:
        page = page_text(self.case.lesson)
        assert "<script" not in page
        assert "<marimo-" not in page
        assert "<p>button(" not in page
        assert "Your prediction: <strong>None" not in page
        assert "<svg" in page
        assert "<math" in page
        assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)


class BrowserBattery(LessonBattery):
    """And in a real browser, for some lessons: the parts of a page are the same in all."""

    def test_in_a_real_browser(self, lab_browser: Any, lab_address: str) -> None:
        case, home = self.case, lab_address.split("/?")[0]
        page = lab_browser.new_page()
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if _elsewhere(asked.url, home) else None)
        page.goto(f"{home}{case.lesson.link}?{case.name}={case.bad}&{lab_address.split('?')[1]}")
        page.get_by_role("heading", name=case.lesson.title).wait_for()
        page.get_by_text(f"the link says '{case.bad}'").first.wait_for()
        page.get_by_role("heading", name="Questions").wait_for()
        self._the_prediction_is_graded_once(page)  # before it, what gives the answer away is not shown
        self._a_slider_moves_a_number(page)
        self._the_exercise_is_graded(page)
        self._the_fix_is_graded(page)
        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_timeout(200)  # the page is laid out anew
        too_wide = page.evaluate(TOO_WIDE)
        _screenshot(page, case.key)
        assert too_wide == [], f"the page scrolls sideways on a phone: {too_wide}"
        page.goto(f"{home}/")
        marked = page.locator(f'[data-done="{case.key}:predict"]').inner_text()
        assert marked == "✗ predicted otherwise"  # the first answer counts
        assert page.locator(f'[data-done="{case.key}:fix"]').inner_text() == "✓ fix (2 tries)"
        assert wrong == []
        page.close()

    def _a_slider_moves_a_number(self, page: Any) -> None:
        case = self.case
        number = page.locator(f'[data-readout="{case.readout}"]')
        number.wait_for()
        before = number.inner_text()
        thumb = page.get_by_role("slider", name=case.slider)
        thumb.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(CHANGED, arg=[case.readout, before])
        page.wait_for_function(WRITTEN, arg=[case.name, case.bad])
        after = number.inner_text()
        page.reload()  # the link restores the state
        page.wait_for_function(CHANGED, arg=[case.readout, before])
        assert page.locator(f'[data-readout="{case.readout}"]').inner_text() == after
        assert page.get_by_text("the link says").count() == 0

    def _the_prediction_is_graded_once(self, page: Any) -> None:
        for answer, verdict in ((self.case.wrong, "✗ Not so."), (self.case.right, "✓ Right.")):
            page.get_by_role("radio", name=answer).click()
            page.get_by_role("button", name="Commit").click()
            page.get_by_text(verdict).wait_for()
            assert page.get_by_role("button", name="Commit").count() == 0
            if verdict != "✓ Right.":
                page.get_by_role("button", name="Ask me again").click()
                page.get_by_text("Commit to an answer").wait_for()

    def _the_exercise_is_graded(self, page: Any) -> None:
        task = exercises.load(exercises.of_lesson(self.case.lesson.number)[0])
        press = page.get_by_role("button", name="Run the tests").first
        press.click()
        page.get_by_text(f"0 of {task.points} points").first.wait_for()
        page.get_by_role("button", name="Give me a hint").first.click()
        page.get_by_text("Hint 1.").first.wait_for()
        editor = page.locator("marimo-code-editor").filter(has_text=f"Your code: {task.title}")
        editor.locator(".cm-content").fill(task.solution)
        page.wait_for_timeout(300)  # marimo gathers changes before it sends them
        press.click()
        page.get_by_text(f"{task.points} of {task.points} points.").first.wait_for()

    def _the_fix_is_graded(self, page: Any) -> None:
        fix = definitions(self.case)["fix"]
        press = page.get_by_role("button", name=re.compile("Run gs.check|Check and train it"))
        press.click()
        for code in self.case.codes:
            page.locator(f'[data-code="{code}"]').first.wait_for()
        for name, choice in self.case.fixed.items():
            label = fix.labels.get(name, name.replace("_", " ").capitalize())
            if "\n" in choice:
                page.locator("marimo-code-editor .cm-content").last.fill(choice)
            else:
                page.get_by_label(label, exact=True).last.select_option(choice)
        page.wait_for_timeout(300)  # marimo gathers changes before it sends them
        press.click()
        page.get_by_text("gs.check: 0 errors, 0 warnings").wait_for()


CHANGED = """([name, before]) => {
  const number = document.querySelector(`[data-readout="${name}"]`);
  return number && number.textContent && number.textContent !== before;
}"""
WRITTEN = """([name, bad]) => {
  const given = new URLSearchParams(location.search).get(name);
  return given !== null && given !== bad;
}"""
TOO_WIDE = """() => [document.documentElement, document.querySelector('#App')]
  .filter((part) => part && part.scrollWidth > part.clientWidth + 1)
  .map((part) => [part.tagName, part.scrollWidth, part.clientWidth,
    [...document.querySelectorAll('#App *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
      .map((e) => e.tagName + ' ' + e.className).slice(0, 5)])"""


def _elsewhere(url: str, home: str) -> bool:
    return not url.startswith((home, home.replace("http:", "ws:"), "data:", "blob:", "about:"))


def _screenshot(page: Any, key: str) -> None:
    """`LAB_SCREENSHOTS=folder pytest tests/lab` writes what a phone, a desktop and a desktop at night show."""
    folder = os.environ.get("LAB_SCREENSHOTS")
    if not folder:
        return
    for name, width, scheme in (("phone", 390, "light"), ("light", 1000, "light"), ("dark", 1000, "dark")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(700)
        height = page.evaluate("document.querySelector('#App').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(height + 40, 12_000)})
        page.wait_for_timeout(700)
        page.screenshot(path=f"{folder}/{key}-{name}.png")

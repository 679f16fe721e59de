"""The page in a real browser: it trains, its address holds the run, and everybody can read and use it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gainstage.lab.playground import page as page_text
from gainstage.lab.playground._assemble import script

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


@pytest.fixture
def opened(browser: "Browser", playground_file: Path) -> Iterator[Open]:
    """`opened("#depth=8", width=..., color_scheme=...)`: the page, which asks for nothing and complains of nothing."""
    contexts, requests, complaints = [], [], []

    def go(hash_: str = "", width: int = 1200, height: int = 900, **options: Any) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.on("request", lambda request: requests.append(request.url))
        context.on("console", lambda message: complaints.append(message.text))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(playground_file.as_uri() + hash_)
        page.wait_for_selector("body[data-steps]")
        return page

    yield go
    for context in contexts:
        context.close()
    assert {url.split("#")[0] for url in requests if not url.startswith("blob:")} == {playground_file.as_uri()}
    assert complaints == []


def steps(page: "Page") -> int:
    return int(page.evaluate("document.body.dataset.steps"))


def until(page: "Page", condition: str) -> None:
    """Wait, ten seconds at most. The page forbids `eval`, which Playwright's own waiting for a function needs."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never true: {condition}")


def at(page: "Page", number: int) -> None:
    until(page, f"document.body.dataset.steps === '{number}'")


def setting(page: "Page", name: str) -> str:
    return str(page.evaluate("(name) => new URLSearchParams(location.hash.slice(1)).get(name)", name))


def slide(page: "Page", name: str, place: int) -> None:
    """Let a slider go at a place of its list, as the mouse does."""
    page.locator(f"#{name}").evaluate(
        """(range, place) => { range.value = place;
           for (const kind of ["input", "change"]) range.dispatchEvent(new Event(kind)); }""",
        place,
    )


def test_one_file_below_400_kilobytes_the_same_whenever_it_is_made() -> None:
    made = page_text()
    page_text.cache_clear()
    assert page_text() == made
    assert len(made.encode()) < 400_000
    assert not re.search(r"https?://", made)


def test_modules_become_one_script_in_the_order_of_their_imports() -> None:
    made = {
        "a.js": 'import { b, c } from "./d/b.js";\nimport * as all from "./d/b.js";\nb(c, all);\n',
        "d/b.js": 'import { X } from "../x.js";\nexport const c = X;\nexport function b() {}\n',
        "x.js": "export class X {}\n",
    }
    text = script("a.js", made)
    assert text.index('gainstage["x.js"] =') < text.index('gainstage["d/b.js"] =') < text.index('gainstage["a.js"] =')
    assert 'const { b, c } = gainstage["d/b.js"];' in text
    assert 'const all = gainstage["d/b.js"];' in text
    assert "return { c, b };" in text
    assert "import" not in text
    assert "export" not in text


def test_play_pause_step_and_reset(opened: Open) -> None:
    page = opened()
    page.get_by_role("button", name="Step").click()
    at(page, 1)
    assert setting(page, "step") == "1"
    page.get_by_role("button", name="Play").click()
    until(page, "document.body.dataset.steps > 30")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Play").wait_for()
    stood = steps(page)
    page.wait_for_timeout(150)
    assert steps(page) == stood
    assert setting(page, "step") == str(stood)
    assert page.locator("#loss-says").inner_text().startswith(f"Step {stood}:")
    page.get_by_role("button", name="Reset").click()
    at(page, 0)
    assert setting(page, "step") == "None"


def test_a_link_shows_the_same_run_at_the_same_step(opened: Open) -> None:
    first = opened("#depth=3&data=spirals&seed=7")
    first.evaluate("() => document.getElementById('step').click()")
    at(first, 1)
    slide(first, "pace", 0)
    first.get_by_role("button", name="Play").click()
    until(first, "document.body.dataset.steps > 20")
    first.get_by_role("button", name="Pause").click()
    first.get_by_role("button", name="Play").wait_for()
    until(first, "location.hash.includes('step=' + document.body.dataset.steps)")
    reached = steps(first)
    second = opened(first.evaluate("location.hash"))
    at(second, reached)
    for what in ("map-says", "levels-says", "updates-says", "own-says", "train-loss"):
        assert second.locator(f"#{what}").inner_text() == first.locator(f"#{what}").inner_text()


def test_back_and_forward_take_back_a_change_and_make_it_again(opened: Open) -> None:
    page = opened("#depth=5")
    slide(page, "depth", 9)
    assert setting(page, "depth") == "10"
    page.get_by_role("link", name="Dead ReLU").click()
    until(page, "document.getElementById('story-title').textContent === 'Dead ReLU'")
    assert page.locator("#rate + *, label[for=rate] + output").first.inner_text() == "1"
    page.go_back()
    until(page, "document.querySelector('label[for=depth] + output').value === '10'")
    page.go_back()
    until(page, "document.querySelector('label[for=depth] + output').value === '5'")
    page.go_forward()
    until(page, "document.querySelector('label[for=depth] + output').value === '10'")


def test_what_an_address_cannot_mean_is_said(opened: Open) -> None:
    page = opened("#depth=900&colour=red&width=32&step=-4&activation=<b>")
    said = page.locator("#status").inner_text()
    assert "Depth, hidden layers cannot be “900”; it is 4." in said
    assert "There is no setting “colour”." in said
    assert "Step cannot be “-4”" in said
    assert "Activation cannot be “<b>”; it is ReLU." in said
    assert page.locator("label[for=width] + output").inner_text() == "32"


def test_the_link_is_copied(opened: Open) -> None:
    page = opened("#depth=6", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    until(page, "document.getElementById('status').textContent !== ''")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(page.url.split("#")[0])
    assert "depth=6" in copied


def test_a_run_that_overflows_stops_and_says_so(opened: Open) -> None:
    page = opened("#law=large_normal&depth=40&width=64&rate=10&data=digits&activation=identity&batch=8")
    page.get_by_role("button", name="Play").click()
    until(page, "document.getElementById('status').textContent.startsWith('Stopped')")
    assert "no longer a number" in page.locator("#verdict").inner_text()
    assert page.get_by_role("button", name="Play").is_visible()


def test_it_trains_in_a_thread_of_its_own_so_that_the_page_answers(opened: Open) -> None:
    page = opened("#depth=40&width=64&batch=128")
    assert len(page.workers) == 1
    page.get_by_role("button", name="Play").click()
    page.get_by_role("link", name="A healthy start").click()  # while a step of the large network is under way
    until(page, "document.getElementById('levels-says').textContent.includes('layer 4')")


def test_sliders_say_values_and_the_keyboard_moves_them(opened: Open) -> None:
    page = opened("#rate=0.1")
    rate = page.get_by_role("slider", name="Learning rate")
    assert rate.get_attribute("aria-valuetext") == "0.1"
    rate.focus()
    page.keyboard.press("ArrowRight")
    assert rate.get_attribute("aria-valuetext") == "0.3"
    until(page, "location.hash.includes('rate=0.3')")
    assert rate.evaluate("(range) => getComputedStyle(range).outlineStyle") == "solid"
    layer = page.get_by_role("slider", name="Layer", exact=True)
    layer.focus()
    page.keyboard.press("End")
    assert page.get_by_role("heading", name="Inside layer 4").is_visible()


def test_a_layer_under_the_pointer_is_chosen_everywhere(opened: Open) -> None:
    page = opened("#depth=10")
    for figure, share, layer in (("levels", 0.95, 10), ("updates", 0.5, 5), ("spread", 0.16, 1)):
        box = page.locator(f"#{figure}").bounding_box()
        page.locator(f"#{figure}").hover(position={"x": share * box["width"], "y": box["height"] / 2})
        page.get_by_role("heading", name=f"Inside layer {layer}", exact=True).wait_for(timeout=2000)


def test_the_table_holds_the_numbers_of_every_layer(opened: Open) -> None:
    page = opened("#depth=6")
    page.get_by_text("All numbers as a table").click()
    rows = page.locator("#rows tr")
    rows.nth(5).wait_for()
    assert rows.count() == 6
    signal = rows.nth(0).locator("td").first.inner_text()
    assert f"from {signal} at layer 1" in page.locator("#levels-says").inner_text()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1, "1"),
        (0.12345, "0.123"),
        (1234.5, "1,230"),
        (9999, "1·10⁴"),
        (-2.5, "−2.5"),
        (3.21e-7, "3.21·10⁻⁷"),
    ],
)
def test_a_number_has_three_digits_at_most(engine: Callable[..., Any], number: float, text: str) -> None:
    assert engine('(modules, x) => modules["page/numbers.js"].show(x)', number) == text


def test_no_number_on_the_page_has_more_than_three_digits(opened: Open) -> None:
    page = opened("#depth=12&activation=tanh&scale=0.5&step=37")
    at(page, 37)
    page.get_by_text("All numbers as a table").click()
    text = page.evaluate("document.querySelector('main').innerText + document.querySelector('.transport').innerText")
    for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text):
        digits = found.replace(",", "").replace(".", "").strip("0")
        assert len(digits) <= 3, found


SIZES = {
    "light": {"width": 1200},
    "dark": {"width": 1200, "color_scheme": "dark"},
    "phone": {"width": 390, "height": 844},
    "zoom": {"width": 640, "height": 450},  # 200 % on 1280 by 900
}


@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_and_nothing_goes_sideways(opened: Open, size: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened("#depth=8&activation=tanh&law=lecun_normal&scale=0.2&step=3", **SIZES[size])
    at(page, 3)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_it_runs_where_a_page_may_have_no_worker(browser: "Browser", playground_file: Path) -> None:
    page = browser.new_page()
    page.add_init_script(
        "delete globalThis.Worker; globalThis.Worker = class { constructor() { throw Error('no'); } };"
    )
    page.goto(playground_file.as_uri())
    page.get_by_role("button", name="Step").click()
    at(page, 1)
    assert page.workers == []
    page.close()


def test_the_lab_serves_it_and_links_to_it(lab_browser: Any, lab_address: str) -> None:
    page = lab_browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(lab_address)
    page.get_by_role("link", name="Playground").click()
    page.wait_for_selector("body[data-steps]")
    page.get_by_role("button", name="Step").click()
    at(page, 1)
    assert page.evaluate("gainstage['page/run.js'] !== undefined")
    assert complaints == []
    page.close()

"""The HTML report in a real browser: it renders, asks for nothing, and fits a phone."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.check.findings import Report
from gainstage.report import Details, html
from gainstage.theory import predict

from .conftest import finding

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def page_of_a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with a finding that names everything awkward, the chart and the plan of a real model."""
    torch.manual_seed(0)
    layers = [layer for _ in range(12) for layer in (nn.Linear(16, 16), nn.ReLU())]
    model, x = nn.Sequential(*layers, nn.Linear(16, 3)), torch.randn(32, 16)
    tape = gs.record(model, x)
    long = "encoder.layers.11.attention." + "projection_" * 20 + "weight"
    report = Report(
        "Net<b>", 1234, len(tape), (finding("0.weight"), finding(long, code="INI102", severity="note")), (), ("FWD201",)
    )
    details = Details("nets.py:build", tape=tape, predicted=predict(tape, model), plan=gs.plan(model, x))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(report, details), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: "Browser", page_of_a_model: Path) -> "Open":
    """`opened(width=..., color_scheme=...)`: the page, which was seen to ask for nothing and to complain of nothing."""

    def go(width: int = 1100, **options: str) -> "Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        requests, complaints = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(page_of_a_model.as_uri())
        assert requests == [page_of_a_model.as_uri()]
        assert complaints == []
        return page

    return go


def test_the_findings_are_visible_and_names_are_text(opened: "Open") -> None:
    page = opened()
    assert page.get_by_role("heading", level=1).inner_text() == "gainstage check: Net<b>"
    assert page.get_by_role("heading", name="INI101 identical-units").is_visible()
    assert page.get_by_text("16 of 16 units are identical").first.is_visible()
    assert page.get_by_text("1 error, 1 note.").is_visible()


def test_the_chart_has_a_name_a_description_and_both_directions(opened: "Open") -> None:
    page = opened()
    chart = page.get_by_role("img", name="Signal and gradient of Sequential by depth")
    box = chart.bounding_box()
    assert chart.is_visible()
    assert box["width"] > 600
    assert box["height"] > 250
    said = page.locator("#chart-desc").text_content()
    assert "Forward: " in said
    assert "Gradient: " in said
    legend = chart.text_content()
    for label in ("forward, predicted", "gradient, predicted", "forward, between samples", "gradient"):
        assert label in legend


def test_the_numbers_of_the_chart_are_a_table(opened: "Open") -> None:
    page = opened()
    table = page.locator("#signal table")
    assert not table.is_visible()
    page.get_by_text("the chart as numbers").click()
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 25
    assert "0/linear#0" in table.inner_text()


def test_the_plan_says_role_law_and_reason(opened: "Open") -> None:
    page = opened()
    row = page.locator("#plan tbody tr").first
    assert row.is_visible()
    assert row.locator("td").count() == 4
    assert "0.weight" in row.inner_text()


@pytest.mark.parametrize("width", [320, 390, 768])
def test_no_page_scrolls_sideways(opened: "Open", width: int) -> None:
    page = opened(width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 600:  # the chart scrolls within itself instead of shrinking until nothing can be read
        scroll = page.locator("#signal .scroll").first
        assert scroll.evaluate("e => e.scrollWidth > e.clientWidth")


LUMINANCE = """() => {
  const parse = c => c.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  const light = c => { const [r, g, b] = parse(c); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255,255,255)'; };
  const worst = {};
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ['TITLE', 'DESC', 'STYLE'].includes(e.tagName.toUpperCase())) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    const a = light(svg ? style.fill : style.color), b = light(behind(svg ? e.closest('figure') : e));
    const name = e.tagName + '.' + (e.getAttribute('class') || '');
    worst[name] = Math.min(worst[name] ?? 99, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast_on_both_grounds(opened: "Open", scheme: str) -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of text (criterion 1.4.3)."""
    page = opened(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    ratios = page.evaluate(LUMINANCE)
    assert len(ratios) > 10
    assert {what: ratio for what, ratio in ratios.items() if ratio < 4.5} == {}
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_everything_that_opens_is_reached_by_keyboard(opened: "Open") -> None:
    page = opened()
    page.locator("#signal summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#signal table").is_visible()

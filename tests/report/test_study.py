"""A study as text, page, JSON and CSV."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_results import arm_result, outcome, results_of, small, spread, textbook_like

from gainstage.errors import GainstageError
from gainstage.report.study import (
    STUDY_FORMATS,
    StudyDetails,
    study_csv,
    study_html,
    study_json,
    study_text,
    write_study,
)
from gainstage.report.study._layout import best_and_like, blocks
from gainstage.study._arm import Arm, grid
from gainstage.study.claims import judge

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x>',
    "\x1b[31mred",
    "a\nb",
    "\u202eleft",
    "$\\frac$",
    "{{ 7 * 7 }}",
    "&amp;",
]


def with_claims(**changes: object) -> StudyDetails:
    given = {"title": "textbook", "trials": 705, "known": 12, "claims": judge(textbook_like())}
    return StudyDetails(**{**given, "versions": {"torch": "2.0"}, **changes})


def named(names: list[str]):
    return results_of([arm_result(Arm(name=name, depth=i + 1), spread(0.9 - i / 50)) for i, name in enumerate(names)])


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("study_small.txt", lambda: study_text(small(), StudyDetails("depth and init", 102, 40))),
        ("study_textbook.txt", lambda: study_text(textbook_like(), with_claims())),
        ("study_one_seed.txt", lambda: study_text(results_of([arm_result(a, [0.9]) for a in grid(depth=[1, 2])]))),
        ("study_color.txt", lambda: study_text(small(), color=True)),
    ],
)
def test_the_text_is_the_golden_one(golden, name: str, page) -> None:
    golden(name, page())


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(
    "results",
    [
        small(),
        textbook_like(),
        named([*EVIL, "x" * 200]),
        results_of([arm_result(a, spread(0.9)) for a in grid(depth=list(range(1, 9)), width=list(range(1, 11)))]),
        results_of([arm_result(Arm(), [-1.5e9, -12.25, 0.5])], score="R²", guess=0.0),
    ],
)
def test_no_line_is_longer_than_80_columns(results, verbose: bool) -> None:
    page = study_text(results, with_claims(claims=()), verbose=verbose)
    assert max(map(len, page.splitlines())) <= 80
    assert all(line == line.rstrip() for line in page.splitlines())
    assert all(c.isprintable() or c == "\n" for c in page)


def test_color_changes_nothing_but_color() -> None:
    plain, colored = (study_text(textbook_like(), with_claims(), color=color) for color in (False, True))
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain
    assert not re.search(r"\x1b\[(?:[0-9;]*;)?(?:4[0-9]|10[0-7]|38|48)[;m]", colored)  # no ground, no fixed colours


def test_every_arm_is_in_a_table_once() -> None:
    for results in (small(), textbook_like(), named(["a", "b"])):
        for columns in (1, 3):
            found = [arm for block in blocks(results, columns=columns) for _, arms in block.rows for arm in arms]
            assert sorted(found) == list(range(len(results.arms)))


def test_a_row_and_a_column_hold_the_arm_of_their_levels() -> None:
    results = textbook_like()
    for block in blocks(results, columns=2):
        for label, arms in block.rows:
            for head, i in zip(block.columns, arms, strict=True):
                arm = results.arms[i].arm
                assert (str(arm.init), arm.activation, f"depth {arm.depth}") == (label, block.where, head)


def test_a_long_head_goes_on_below() -> None:
    def model(data: object, block: str) -> None: ...

    heads = ("a block with two norms", "a block with a single norm and two skips")
    arms = [Arm(model=model, init=f"normal(std=0.{i:02})", options={"block": b}) for i in range(1, 14) for b in heads]
    lines = study_text(results_of([arm_result(arm, spread(0.5, 0.01)) for arm in arms])).splitlines()
    at = lines[4].index("a block with a single")
    assert " ".join(line[at:].strip() for line in lines[4:6]) == heads[1]


def test_the_best_is_marked_with_those_that_are_not_told_apart_from_it() -> None:
    scores = {"auto": spread(0.95, 0.01), "he_normal": [0.96, 0.93, 0.95, 0.97, 0.92], "zeros": [0.1] * 5}
    results = results_of([arm_result(arm, scores[str(arm.init)]) for arm in grid(init=list(scores))])
    assert best_and_like(results) == ({0}, {1})
    lines = study_text(results).splitlines()
    assert any("auto" in line and "0.950 ± 0.010*" in line for line in lines)
    assert any("he_normal" in line and "0.946 ± 0.026=" in line for line in lines)


def test_nothing_is_best_where_nothing_is_learned() -> None:
    results = results_of([arm_result(arm, [0.1] * 5, edge=True) for arm in grid(init=["zeros", "ones"])])
    assert best_and_like(results) == (set(), set())
    assert "*" not in study_text(results)
    assert "^" not in study_text(results)


def test_which_engine_trained_what_is_said() -> None:
    runs = tuple(outcome(0.9, engine=engine) for engine in ("alone", "as one with 1 other", "as one with 39 others"))
    results = results_of([replace(arm_result(Arm(), [0.9] * 3), outcomes=runs)])
    assert "2 of 3 trials as one program with others, 1 alone" in study_text(results)


class Reader(HTMLParser):
    """What a page holds: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    page = study_html(textbook_like(), with_claims())
    read = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "embed", "image", "form"} & {tag for tag, _ in read.tags}
    for _, attributes in read.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "xlink:href", "src"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "url(http" not in page
    assert "@import" not in page
    assert len(page.encode()) < 500_000


def test_names_are_text() -> None:
    results = named(EVIL)
    read = Reader(study_html(results, StudyDetails(title=EVIL[0])))
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    for name in ("<script>alert(1)</script>", '"><img src=x>', "\\x1b[31mred", "a b", "{{ 7 * 7 }}", "&amp;"):
        assert name in read.text
    assert "\u202e" not in read.text


def test_ids_of_a_page_are_its_own() -> None:
    read = Reader(study_html(textbook_like(), with_claims()))
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    titles = [i for i in ids if i and i.endswith(("-title", "-desc"))]
    assert len(titles) == len(set(titles)) >= 2 * (1 + 2)
    described = [attributes["aria-labelledby"] for tag, attributes in read.tags if tag == "svg"]
    assert all(set((each or "").split()) <= set(ids) for each in described)


def test_the_page_says_verdicts_claims_and_method() -> None:
    results = textbook_like()
    text = " ".join(Reader(study_html(results, with_claims())).text.split())
    for verdict in results.verdicts():
        assert verdict.sentence in text
    assert "With relu, he_normal beats" in text
    assert "does not hold" in text
    assert "The learning rate of every arm was tuned: the best of a grid, within 1e-4 to 1e-2" in text
    assert "with the seeds 0 to 4" in text
    assert "705 trials with those that chose the learning rates; 12 were known from the store." in text
    assert "torch 2.0" in text
    assert version("gainstage") in text


def test_a_huge_study_stays_below_500_kB() -> None:
    arms = [arm_result(a, spread(0.9)) for a in grid(depth=list(range(1, 41)), width=list(range(1, 16)))]
    page = study_html(results_of(arms))
    assert len(page.encode()) < 500_000
    assert "more tables are not drawn" in page


def test_json_is_strict_and_holds_everything() -> None:
    results = textbook_like()
    text = study_json(results, with_claims())
    told = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert text.isascii()
    assert told["version"] == 1
    assert len(told["arms"]) == 64
    assert len(told["runs"]) == len(told["curves"]) == 320
    assert [v["sentence"] for v in told["verdicts"]] == [v.sentence for v in results.verdicts()]
    assert len(told["claims"]) == 40
    assert told["claims"][0]["said"] == "with tanh, xavier_normal beats he_normal"
    assert told["curves"][0]["step"] == [25, 50, 75, 100]
    assert told["arms"][0]["mean"] == pytest.approx(results.summary(0).mean)


def test_csv_has_a_line_a_run_and_reads_back() -> None:
    names = ["a,b", 'say "x"', "=1+1", "two\nlines"]
    results = named(names)
    rows = list(csv.DictReader(io.StringIO(study_csv(results))))
    assert [row["arm"] for row in rows[::5]] == ["a,b", 'say "x"', "'=1+1", "two\nlines"]
    assert [float(row["test"]) for row in rows] == [s for each in results.arms for s in each.scores]
    assert [row["seed"] for row in rows[:5]] == list("01234")


@pytest.mark.parametrize("style", STUDY_FORMATS)
def test_every_format_writes_a_study_of_one_arm(style: str) -> None:
    assert write_study(results_of([arm_result(Arm(lr=0.1), [0.9])]), style).strip()


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(GainstageError, match="Expected one of text, json, html, csv"):
        write_study(small(), "xml")


def test_importing_the_writers_imports_neither_torch_nor_matplotlib() -> None:
    heavy = {"torch", "numpy", "matplotlib", "jinja2", "scipy"}
    code = f"import sys, gainstage.report.study; print(sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.fixture(scope="module")
def page_of_a_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.html"
    path.write_text(study_html(textbook_like(), with_claims(title="x" * 120)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (1100, "light")])
def test_the_page_in_a_browser(browser: "Browser", page_of_a_study: Path, width: int, scheme: str) -> None:
    """It fits a phone, asks for nothing, complains of nothing, and its text has contrast (WCAG 2.2, 1.4.3)."""
    from .test_browser import LUMINANCE

    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(page_of_a_study.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert (requests, complaints) == ([page_of_a_study.as_uri()], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("img", name="Mean accuracy by init and activation, depth").is_visible()
    cells = re.compile(
        r"^0\.\d\d$"
    )  # numbers in the heat map stand on its own colours: see tests/study/test_figures.py
    ratios = page.evaluate(LUMINANCE)
    assert {what: ratio for what, ratio in ratios.items() if ratio < 4.5 and what.lower() != "text."} == {}
    assert page.locator("#overview svg text").filter(has_text=cells).count() == 64

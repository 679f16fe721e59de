"""The documentation builds without a warning, knows every public name, has no dead link, and its examples run."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from gainstage.check import RULES, _registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WRITTEN = sorted(p for folder in ("", "tutorials", "howto", "explanation") for p in (DOCS / folder).glob("*.md"))


def test_the_site(tmp_path: Path) -> None:
    """One test, as building it takes most of the time."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "cache"), str(DOCS)]
    done = subprocess.run([*command, str(tmp_path / "html")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    no_link_is_dead_and_nothing_comes_from_another_host(tmp_path / "html")
    every_public_name_every_rule_and_every_command_has_its_place(tmp_path / "html")
    formulas_are_set_by_the_browser(tmp_path / "html")


class Links(HTMLParser):
    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for key in ("id", "name") if (value := given.get(key))}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in ("script", "img", "link") and (source := given.get("src") or given.get("href")):
            self.loaded.append(source)


def no_link_is_dead_and_nothing_comes_from_another_host(site: Path) -> None:
    pages = {page.resolve(): Links(page) for page in site.rglob("*.html")}
    dead = []
    for page, found in pages.items():
        assert not [source for source in found.loaded if urlsplit(source).netloc], page
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if there not in pages:
                if not there.exists():
                    dead.append((page.name, link))
            elif parts.fragment and unquote(parts.fragment) not in pages[there].ids:
                dead.append((page.name, link))
    assert not dead


def every_public_name_every_rule_and_every_command_has_its_place(site: Path) -> None:
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        import rooms
    finally:
        sys.path.pop(0)
    from gainstage.cli import main

    for room in rooms.ROOMS:
        for name, thing in rooms.names(room).items():
            where = rooms.home(room, name, thing)
            text = (site / "reference" / "rooms" / f"{where}.html").read_text(encoding="utf-8")
            assert f'id="{where}.{name}"' in text, f"{room}.{name}"
    for code in RULES:
        assert (site / "reference" / "rules" / f"{code}.html").exists()
        assert code in (site / "rules.json").read_text(encoding="utf-8")
        assert code in (site / "llms.txt").read_text(encoding="utf-8")
    commands = (site / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    assert all(f"gainstage {name}" in commands for name in main.commands)


def formulas_are_set_by_the_browser(site: Path) -> None:
    theory = (site / "explanation" / "theory.html").read_text(encoding="utf-8")
    assert theory.count("<math") >= 10
    assert "$" not in re.sub(r"<(script|style|pre|code).*?</\1>", "", theory, flags=re.DOTALL)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.relative_to(DOCS).as_posix())
def test_the_examples_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_registry, "RULES", dict(RULES))  # a page declares one of its own
    names: dict[str, object] = {"__name__": "example"}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        exec(compile(code, str(page), "exec"), names)
    assert "Traceback" not in capsys.readouterr().out

"""What machines read: `llms.txt`, the index of rules, and the schemas of the files that gainstage reads and writes."""

import json
from pathlib import Path

from files import put
from gainstage.check import RULES
from rooms import ROOMS, first_line, home, names
from rules import what

TITLE = (
    "# gainstage\n\n> Initialize any PyTorch module well, with a reason for every parameter; check a model before and "
)
TITLE += "while it trains; controlled studies of what matters.\n"


def write(place: Path) -> None:
    put(place / "llms.txt", _llms(place.parent))
    index = [
        {
            "code": r.code,
            "name": r.name,
            "severity": r.severity,
            "what": what(r),
            "page": f"reference/rules/{r.code}.html",
        }
        for r in (RULES[code] for code in sorted(RULES))
    ]
    put(place / "rules.json", json.dumps({"version": 1, "rules": index}, indent=1) + "\n")


def _llms(docs: Path) -> str:
    lines = [TITLE]
    for title, folder in (("Tutorials", "tutorials"), ("How to", "howto"), ("Explanation", "explanation")):
        lines += [f"## {title}", ""]
        for page in sorted((docs / folder).glob("*.md")):
            head, said = _head(page)
            if page.stem != "index":
                lines.append(f"- [{head}]({folder}/{page.stem}.html): {said}")
        lines.append("")
    lines += ["## The public names of `import gainstage as gs`", ""]
    for name, thing in names("gainstage").items():
        where = home("gainstage", name, thing)
        lines.append(f"- [gs.{name}](reference/rooms/{where}.html): {first_line(thing, name)}")
    lines += ["", "## Rooms", "", *(f"- [{room}](reference/rooms/{room}.html)" for room in ROOMS), ""]
    lines += ["## Rules of `gainstage check`", ""]
    lines += [f"- [{r.code} {r.name}](reference/rules/{r.code}.html): {what(r)}" for _, r in sorted(RULES.items())]
    return "\n".join(lines) + "\n"


def _head(page: Path) -> tuple[str, str]:
    """The title of a page and the first sentence below it."""
    title, _, text = page.read_text(encoding="utf-8").partition("\n")
    said = text.strip().split("\n\n")[0].replace("\n", " ")
    return title.lstrip("# "), said.split(". ")[0].rstrip(".") + "."

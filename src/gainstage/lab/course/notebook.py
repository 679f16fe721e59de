"""A lesson as a Jupyter notebook: the same code in cells, sliders by ipywidgets, and what it shows at first."""

from importlib import import_module
from typing import Any

from gainstage.lab._blocks import static
from gainstage.lab._notebooks import book
from gainstage.lab.course.grammar import PROSE, QUESTIONS, Part
from gainstage.lab.course.running import Run, caption, table_name
from gainstage.lab.course.showing import fix_code, name_of
from gainstage.lab.exercises import load

INSTALL = '%pip install -q "gainstage[lab]" ipywidgets'


def notebook(run: Run) -> str:
    """The text of the notebook."""
    v4: Any = import_module("nbformat.v4")  # untyped
    run.upto(len(run.document.parts) - 1)
    head = f"# {run.lesson.number}. {run.lesson.title}\n\n**Required:** {run.lesson.requirement}"
    cells = [v4.new_markdown_cell(head), v4.new_code_cell(INSTALL)]
    for index, part in enumerate(run.document.parts):
        cells += _cells(run, part, index, v4)
    return book(cells, run.lesson.key[:3])


def _cells(run: Run, part: Part, index: int, v4: Any) -> list[Any]:
    body = part.body.strip("\n")

    def text(source: str) -> Any:
        return v4.new_markdown_cell(run.text(source, part.line))

    def code(source: str, *items: Any) -> Any:
        html = "\n".join(static(item) for item in items)
        outputs = [v4.new_output("display_data", {"text/html": html, "text/plain": "output"})] if items else []
        return v4.new_code_cell(source, outputs=outputs)

    if part.kind == PROSE:
        return [text(body)]
    if part.kind == QUESTIONS:
        return [text(body.replace("\n### ", "\n#### "))]
    if part.kind in ("setup", "code", "take-home"):
        return [code(body)]
    if part.kind == "table":
        said = run.text(caption(part), part.line - 1)
        name = table_name(part)
        lines = [f"row = lab.Rows({said!r})", body, *([f"{name} = row.rows"] if name else []), "row.show()"]
        from gainstage.lab._blocks import table

        return [code("\n".join(lines), table(run.tables[index], said))]
    if part.kind == "measure":
        return [code(f"{body}\n\n\nlab.live({name_of(part)})", *(made for _, made in run.at_first(part)))]
    if part.kind == "exercise":
        tasks = [load(name.strip()) for name in part.argument.split(",")]
        how = f"*Write it in the lab, or in the notebook of `gainstage lab --assign {run.lesson.number}`.*"
        return [v4.new_markdown_cell(f"## Write it: {task.title}\n\n{task.prompt}\n{how}") for task in tasks]
    if part.kind == "predict":
        return _prediction(run, part, v4, code)
    if part.kind == "fix":
        return [
            v4.new_markdown_cell(f"## Fix\n\n{run.task(part)}"),
            code(f"{fix_code(part).strip()}\n\n\nlab.repair(build)"),
        ]
    return []


def _prediction(run: Run, part: Part, v4: Any, code: Any) -> list[Any]:
    found = run.prediction(part)
    asked = run.text(found["question"], part.line)
    options = "\n".join(f"- {label}" for label in found["options"])
    holds = ",\n".join(f"    {str(label)!r}: {condition}" for label, condition in found["options"].items())
    measured = f"{found['measure'].strip()}\n[answer for answer, holds in {{\n{holds},\n}}.items() if holds]"
    why = f"<details><summary>Why</summary>\n\n{run.text(found['why'], part.line)}\n\n</details>"
    return [
        v4.new_markdown_cell(f"## Predict\n\n{asked}\n\n{options}\n\nWrite your answer down, then run the next cell."),
        code(measured),
        v4.new_markdown_cell(why),
    ]

"""Formulas as MathML, which browsers set themselves: no script, no font, no other host."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def _set(display: str) -> Any:
    def visit(self: Any, node: nodes.Element) -> None:
        formula = convert(node.astext().replace(r"\_", "_"), display=display)
        self.body.append(f'<div class="math">{formula}</div>' if display == "block" else formula)
        raise nodes.SkipNode

    return visit


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_set("inline"), None), (_set("block"), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

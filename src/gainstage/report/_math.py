"""Formulas of rule pages for places that set no TeX: a terminal, a page without scripts."""

import re

_SIGNS = {
    "cdot": "· ",
    "times": "× ",
    "le": "≤ ",
    "ge": "≥ ",
    "approx": "≈ ",
    "sim": "~ ",
    "ln": "ln ",
    "log": "log ",
    "lVert": "‖",
    "rVert": "‖",
    "sum": "Σ",
    "infty": "∞",
    "ell": "ℓ",
    "left": "",
    "right": "",
    "Delta": "Δ",
    "alpha": "α",
    "beta": "β",
    "chi": "χ",
    "epsilon": "ε",
    "eta": "η",
    "gamma": "γ",
    "lambda": "λ",
    "mu": "μ",
    "phi": "φ",
    "pi": "π",
    "sigma": "σ",
    "theta": "θ",
}
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def readable(text: str, around: str = "") -> str:
    r"""Every `$...$` of a text in plain characters, with `around` on both sides.

    Commands without a plain character keep their name, so nothing is lost.

    Example:
        >>> readable(r"Compares $\lVert g \rVert / \sqrt{\text{fan\_in}}$ with $10^{-3}$.")
        'Compares ‖g‖ / √(fan_in) with 10⁻³.'
    """
    return re.sub(r"\$([^$\n]+(?:\n[^$\n]+)?)\$", lambda found: around + _plain(found[1]) + around, text)


def _plain(formula: str) -> str:
    formula = " ".join(formula.split()).replace(r"\_", "\0")
    formula = re.sub(r"\\(?:mathrm|text|mathbb|operatorname)\s*\{([^{}]*)\}", r"\1", formula)
    formula = re.sub(r"\\lVert\s*(.*?)\s*\\rVert", r"‖\1‖", formula)
    formula = re.sub(r"\^(?:\{(-?\d+)\}|(\d))", lambda found: (found[1] or found[2]).translate(_RAISED), formula)
    for name, sign in (("sqrt", "√"), ("overline", "mean")):
        formula = re.sub(rf"\\{name}\s*\{{([^{{}}]*)\}}", rf"{sign}(\1)", formula)
    formula = re.sub(r"\\([A-Za-z]+)\s?", lambda found: _SIGNS.get(found[1], f"{found[1]} "), formula)
    formula = re.sub(r"√\((\w)\)", r"√\1", re.sub(r"\{([^{}]*)\}", r"\1", formula))
    formula = formula.replace("ln (", "ln(").replace("log (", "log(")
    return re.sub(r"\\[,;! ]", " ", formula).replace("\0", "_").strip()

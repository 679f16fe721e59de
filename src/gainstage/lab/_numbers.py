"""Numbers as people read them: three significant digits at most, and no 1e-07."""

from math import floor, isfinite, isnan, log10
from typing import Any

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def show(value: Any) -> str:
    """A value in a table, a readout or a sentence.

    Example:
        >>> show(0.123456), show(1234.5), show(3.2e-7), show(True), show("he")
        ('0.123', '1,230', '3.2·10⁻⁷', 'yes', 'he')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
    if isnan(value):
        return "not a number"
    if not isfinite(value):
        return "infinite" if value > 0 else "−infinite"
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    power = floor(log10(abs(rounded)))
    if not -4 < power < 4:
        return f"{rounded / 10.0**power:.3g}·10{raised(power)}"
    text = f"{rounded:,.{max(0, 2 - power)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def raised(power: int) -> str:
    """A power of ten, raised: `⁻⁷`."""
    return str(power).translate(_RAISED)

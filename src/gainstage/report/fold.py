"""Long tables whose rows repeat, shortened in the middle."""

import re


def fold(table: str, *, least: int = 4, longest: int = 6) -> str:
    """Shorten runs of rows that differ only in their numbers: the first and the last stay, the rest are counted.

    Args:
        table: lines of text.
        least: repeats it takes to be folded.
        longest: rows that one repeat may span (a weight, its bias, a line of reason, ...).

    Returns:
        The table with `... 46 more rows like these` where rows were left out.

    Example:
        >>> print(fold("\\n".join(f"layer {i}  64" for i in range(9))))
        layer 0  64
          ... 7 more rows like these
        layer 8  64
    """
    lines = table.split("\n")
    shapes = [re.sub(r"\d+|\s+", lambda m: "#" if m[0].strip() else " ", line).strip() for line in lines]
    shown: list[str] = []
    at = 0
    while at < len(lines):
        period, repeats = _longest_run(shapes, at, longest)
        if repeats < least:
            shown.append(lines[at])
            at += 1
            continue
        end = at + period * repeats
        left_out = period * (repeats - 2)
        shown += [*lines[at : at + period], f"  ... {left_out} more rows like these", *lines[end - period : end]]
        at = end
    return "\n".join(shown)


def _longest_run(shapes: list[str], at: int, longest: int) -> tuple[int, int]:
    """The period whose repeats from here on span the most rows; of equals, the shortest."""
    best = (1, 1)
    for period in range(1, longest + 1):
        first = shapes[at : at + period]
        if len(first) < period or not any(first):
            continue
        repeats = 1
        while shapes[at + repeats * period : at + (repeats + 1) * period] == first:
            repeats += 1
        if period * repeats > best[0] * best[1] and repeats > 1:
            best = (period, repeats)
    return best

"""Names come from the model: what does not print is shown as its escape, never sent to the reader's terminal."""


def visible(text: str, *, keep: str = "") -> str:
    r"""`text` with every character that does not print written as its escape; those in `keep` pass.

    Args:
        text: a name or message that may hold anything: escape sequences, line breaks, bidirectional marks.
        keep: characters that pass all the same, `"\n"` for finished text of several lines.

    Example:
        >>> visible("layer\x1b[31m")
        'layer\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)

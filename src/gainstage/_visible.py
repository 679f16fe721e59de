"""Foreign text on its way to a reader: names and values that come from a model or a file, shown and never obeyed."""

import re
from reprlib import Repr
from typing import Any

# Characters that `str.isprintable` lets pass and that show nothing: fillers, selectors, the grapheme joiner.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the last four: of full width


def visible(text: str, *, keep: str = "") -> str:
    r"""`text` with every character that does not print written as its escape; those in `keep` pass.

    Escape sequences, line breaks, marks that turn the direction of writing, and whatever has no width cannot reach a
    terminal or a page that way, and cannot make one name look like another.

    Args:
        text: a name or message that may hold anything.
        keep: characters that pass all the same, `"\n"` for finished text of several lines.

    Example:
        >>> visible("layer\x1b[31m"), visible("a\u202eb")
        ('layer\\x1b[31m', 'a\\u202eb')
    """
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(c if c in keep or _prints(c) else c.encode("unicode_escape").decode() for c in text)


def shown(value: Any) -> str:
    """A value from a file in a message: its `repr`, shortened where it is long, deep or a number without end.

    Example:
        >>> shown("5"), shown([[1] * 100]), shown(16**5000)
        ("'5'", '[[1, 1, 1, 1, 1, 1, 1, 1, ...]]', 'a number of 6021 digits')
    """
    return visible(_SHORT.repr(value))


def said(error: BaseException, most: int = 400) -> str:
    """What an exception says, on one line of at most `most` characters.

    Example:
        >>> said(ValueError("bad\\nworse"))
        'bad worse'
    """
    text = visible(" ".join(str(error).split()))
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def cell(value: Any) -> Any:
    """A value for a file of comma-separated values: a text that a spreadsheet would take for a formula gets an
    apostrophe in front, as OWASP advises; numbers, negative ones too, stay numbers.

    Example:
        >>> cell("=1+1"), cell("he_normal"), cell(-1.5)
        ("'=1+1", 'he_normal', -1.5)

    References:
        OWASP, *CSV Injection*: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


class _Short(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 3, 8, 8, 6
        self.maxstring = self.maxother = 100

    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write a number of more than 4,300 digits."""
        digits = int(value.bit_length() * 0.30103) + 1
        return repr(value) if digits <= 40 else f"a number of {digits} digits"


_SHORT = _Short()


def _prints(character: str) -> bool:
    return character.isprintable() and not _UNSEEN.match(character)

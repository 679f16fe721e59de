"""Ways in which a file goes bad: on a disk, in a merge, under a hand, or on purpose."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

Damage = Callable[[random.Random, bytes], bytes]

# What a value is replaced by: other types, numbers without end or out of range, depth, what no terminal should get.
OTHERS: tuple[str, ...] = (
    "null", "true", "3", "-1", "0", "1.5", "-0.0", "1e999", "NaN", "-Infinity", "nan", "inf", "1e-320", '""', '"x"',
    '"3"', "[]", "{}", "[1, 2]", '{"a": 1}', "[[]]", "18446744073709551616", "9" * 400, "9" * 5000, "-" + "9" * 5000,
    "0x" + "f" * 5000, "1000000000", "[" * 200 + "]" * 200, "[" * 100_000, '{"a":' * 5000, '"\\u0000"', '"\\ud800"',
    '"\\u202e\\u001b[31m"', "1979-05-27", "1979-05-27T07:32:00Z", "'''", '"""', "[1000000000, 1]",
    '"' + "a" * 10_000 + '"',
)  # fmt: skip


def flipped(draw: random.Random, content: bytes) -> bytes:
    """One to eight bits the other way."""
    made = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def cut(draw: random.Random, content: bytes) -> bytes:
    return content[: draw.randrange(len(content))]


def doubled(draw: random.Random, content: bytes) -> bytes:
    start, end = _span(draw, content)
    return content[:end] + content[start:]


def gone(draw: random.Random, content: bytes) -> bytes:
    start, end = _span(draw, content)
    return content[:start] + content[end:]


def overwritten(draw: random.Random, content: bytes) -> bytes:
    """Zeros, 0xff or noise over a stretch, as of a bad sector."""
    start, end = _span(draw, content)
    size = end - start
    new = draw.choice((bytes(size), b"\xff" * size, draw.randbytes(size)))
    return content[:start] + new + content[end:]


def inserted(draw: random.Random, content: bytes) -> bytes:
    """What no text holds: a nul byte, bytes that are no UTF-8, an escape sequence, a mark of direction."""
    at = draw.randrange(len(content) + 1)
    new = draw.choice((b"\0", b"\xff\xfe", b"\xc3", b"\x1b[31m", "\u202e".encode(), b"\r", draw.randbytes(5)))
    return content[:at] + new + content[at:]


def another_value(draw: random.Random, content: bytes) -> bytes:
    """A value of JSON or TOML in place of another one."""
    spots = list(re.finditer(rb'(?<=[:=,\[] )[^\s,\]}{\[]+|(?<=[:=,\[])"[^"]*"|\[[^\[\]]*\]', content))
    if not spots:
        return cut(draw, content)
    spot = draw.choice(spots)
    return content[: spot.start()] + draw.choice(OTHERS).encode() + content[spot.end() :]


def another_line(draw: random.Random, content: bytes) -> bytes:
    """A line left out, twice, or elsewhere."""
    lines = content.split(b"\n")
    line = lines.pop(draw.randrange(len(lines)))
    for _ in range(draw.choice((0, 1, 2))):
        lines.insert(draw.randrange(len(lines) + 1), line)
    return b"\n".join(lines)


def another_tree(draw: random.Random, content: bytes) -> bytes:
    """JSON whose tree has a key less, a key more, another name, or another value somewhere."""
    try:
        tree = json.loads(content)
    except ValueError:
        return another_line(draw, content)
    holder, key = draw.choice(list(_places(tree)))
    what = draw.randrange(4)
    if what == 0 or (what > 1 and isinstance(holder, list)):
        holder[key] = draw.choice((None, True, 7, -1, 1.5, "x", [], {}, [[]], 2**70, float("nan"), float("inf"), tree))
    elif what == 1:
        del holder[key]
    else:
        holder["version" if what == 2 else "more"] = holder.pop(key)
    try:
        return json.dumps(tree).encode()
    except (ValueError, RecursionError):  # the tree within itself
        return b"[" * draw.randrange(1, 200_000)


TEXT: tuple[Damage, ...] = (
    flipped,
    cut,
    doubled,
    gone,
    inserted,
    another_value,
    another_value,
    another_line,
    another_tree,
)
BINARY: tuple[Damage, ...] = (flipped, flipped, flipped, cut, doubled, gone, overwritten, inserted)


def _span(draw: random.Random, content: bytes) -> tuple[int, int]:
    start = draw.randrange(len(content))
    return start, min(len(content), start + draw.choice((1, 4, 30, 500)))


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)

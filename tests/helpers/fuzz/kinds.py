"""Failures in few words, so that alike ones are counted together."""

import re

_ROLES = (
    (r"\.grad$|\.grad\.", "gradient"),
    (r"_hooks|\.hooks", "hooks"),
    (r"^example", "example"),
    (r"^target", "target"),
    (r"^optimizer", "optimizer"),
    (r"^others", "what the training step holds"),
    (r"/parameter/|~|_parameters$", "parameter"),
    (r"/buffer/|_buffers$", "buffer"),
    (r"\.training$", "training flag"),
    (r"\._modules$", "children"),
)


def kind_of_difference(line: str) -> str:
    """`trace: buffer: bytes`."""
    if line.startswith("world: "):
        return "trace: " + ": ".join(line.split(": ")[:2])
    path, _, rest = line.partition(": ")
    role = next((role for pattern, role in _ROLES if re.search(pattern, path)), "attribute")
    return f"trace: {role}: {rest.split(':')[0]}"


def kind_of_message(error: BaseException) -> str:
    """The type and the beginning of the message, without names and numbers."""
    return kind_of_text(f"{type(error).__name__}: {error}")


def kind_of_text(text: str) -> str:
    """The first line, without what differs from model to model."""
    text = text.partition("\n")[0]
    text = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "'..'", text)
    text = re.sub(r"[\w.]*/[\w.]+#\d+", "SITE", text)
    text = re.sub(r"thrown by the fuzzer at \w+", "thrown", re.sub(r"0x[0-9a-f]+|\d+", "N", text))
    return text[:120]


def readable(path: str) -> str:
    """A path as one would write it: `model.body.0.linear.weight`."""
    path = re.sub(r"\.__dict__\['_modules'\]\['([^']*)'\]", r".\1", path)
    path = re.sub(r"\.__dict__\['_(parameters|buffers)'\]\['([^']*)'\]", r".\1.\2", path)
    path = path.replace(".parameters.", "/parameter/").replace(".buffers.", "/buffer/")
    return re.sub(r"\.__dict__\['([^']*)'\]", r".\1", path)

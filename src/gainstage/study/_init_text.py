"""A start written as text: a scheme, `lsuv`, or a law with its numbers."""

import ast
import inspect
from typing import Any

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.plan import CLASSICAL
from gainstage.study._arm import nearest
from gainstage.study._errors import StudyError

SCHEMES = ("auto", "lsuv", *CLASSICAL)
LAWS = (
    *("constant", "zeros", "ones", "normal", "uniform", "trunc_normal", "truncated_normal", "variance_scaling"),
    *("xavier_normal", "xavier_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform"),
    *("he_normal", "he_uniform", "kaiming_normal", "kaiming_uniform", "caffe_xavier_normal", "caffe_xavier_uniform"),
    *("small_normal", "scaled_normal", "gpt2_residual", "fixup", "torch_default", "keras_default"),
    *("keras_glorot_normal", "keras_he_normal", "keras_lecun_normal"),
    *("orthogonal", "delta_orthogonal", "mirrored", "identity", "dirac", "sparse"),
)
_KNOWN = tuple(dict.fromkeys((*SCHEMES, *LAWS)))


def init_of(text: str) -> str | Law:
    """The scheme or the law that a text names.

    Args:
        text: a scheme of `gs.plan`, `"lsuv"`, or a law of `gs.init` with its arguments in brackets where it takes
            some: numbers, strings, True and False. A scheme goes before a law of the same name.

    Returns:
        The scheme as it is, or the law.

    Raises:
        StudyError: it is neither, or the law does not take these arguments; the nearest name is suggested.

    Example:
        >>> init_of("he_normal")
        'he_normal'
        >>> str(init_of("normal(std=0.01)")), str(init_of("constant(0.5)"))
        ('normal(std=0.01)', 'constant(0.5)')
    """
    if text in SCHEMES:
        return text
    name, positional, named = _parts(text)
    if name not in LAWS:
        raise StudyError(
            f"init is {text!r}: no scheme and no law is called {name!r}.{nearest(name, {*SCHEMES, *LAWS})}"
        )
    law = getattr(init, name)
    try:
        inspect.signature(law).bind(*positional, **named)
        found: Law = law(*positional, **named)
    except (TypeError, OverflowError) as error:
        takes = ", ".join(str(p.replace(annotation=p.empty)) for p in inspect.signature(law).parameters.values())
        raise StudyError(f"init is {text!r}: {error}. Write {name}({takes}).") from None
    except GainstageError as error:
        raise StudyError(f"init is {text!r}: {error}") from error
    return found


def _parts(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The name and the literal arguments of `name` or `name(...)`; nothing is evaluated but literals."""
    try:
        match ast.parse(text.strip(), mode="eval").body:
            case ast.Name(id=name):
                return name, [], {}
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if all(k.arg for k in keywords):
                named = {str(k.arg): ast.literal_eval(k.value) for k in keywords}
                return name, [ast.literal_eval(each) for each in args], named
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    word = text.partition("(")[0].strip()
    raise StudyError(
        f"init is {text!r}: expected a scheme such as 'he_normal', 'lsuv', or a law such as 'normal(std=0.01)'."
        f"{nearest(word, _KNOWN)}"
    )

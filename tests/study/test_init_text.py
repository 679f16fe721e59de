"""A start written as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainstage import init
from gainstage.init import Law
from gainstage.plan.schemes import CLASSICAL
from gainstage.study._errors import StudyError
from gainstage.study._init_text import LAWS, SCHEMES, init_of

positive = st.floats(1e-6, 1e6)


@pytest.mark.parametrize("scheme", ["auto", "lsuv", *CLASSICAL])
def test_a_scheme_stays_a_scheme(scheme: str) -> None:
    assert init_of(scheme) == scheme


@pytest.mark.parametrize("name", LAWS)
def test_every_name_is_a_law_of_init(name: str) -> None:
    assert callable(getattr(init, name))
    assert name in dir(init)


@given(gain=positive)
def test_a_law_gets_its_numbers_by_name_and_by_place(gain: float) -> None:
    expected = init.lecun_normal(gain=gain)
    assert init_of(f"lecun_normal(gain={gain!r})") == expected
    assert init_of(f" lecun_normal( {gain!r} ) ") == expected


@given(mean=st.floats(-10, 10), std=positive)
def test_several_numbers(mean: float, std: float) -> None:
    assert init_of(f"normal(mean={mean!r}, std={std!r})") == init.normal(mean, std) == init_of(f"normal({mean}, {std})")


@given(thousandths=st.integers(1, 999), low=st.integers(-99, 0), high=st.integers(1, 99))
def test_what_a_law_prints_is_read_back(thousandths: int, low: int, high: int) -> None:
    """Laws print three digits; those that have no more come back."""
    value = thousandths / 1000
    laws = (init.constant(value), init.normal(std=value), init.uniform(low, high), init.orthogonal(gain=value))
    for law in laws:
        assert init_of(str(law)) in (law, str(law))


def test_words_and_flags_are_arguments_too() -> None:
    assert init_of("he_normal(mode='fan_out')") == init.he_normal(mode="fan_out")
    assert init_of("mirrored(rows=False)") == init.mirrored(rows=False)
    assert init_of("truncated_normal") == init.truncated_normal()


@given(st.text())
def test_any_text_is_a_start_or_one_clear_error(text: str) -> None:
    try:
        found = init_of(text)
    except StudyError as error:
        found = str(error)
    assert found in SCHEMES or isinstance(found, Law) or found.startswith(f"init is {text!r}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("xavier_norml", "Did you mean 'xavier_normal'?"),
        ("he_norml(a=1)", "Did you mean 'he_normal'?"),
        ("normal(sdt=1)", "unexpected keyword argument 'sdt'. Write normal(mean=0.0, std=1.0)"),
        ("constant()", "missing a required argument: 'value'. Write constant(value)"),
        ("normal(std=-1)", "must be at least 0"),
        ("normal(std='x')", "must be a number"),
        ("normal(std=0.01", "such as 'normal(std=0.01)'. Did you mean 'normal'?"),
        ("normal(std=10**9)", "expected a scheme"),
        ("normal(**{'std': 1})", "expected a scheme"),
        ("init.normal(std=1)", "expected a scheme"),
        ("__import__('os').system('true')", "expected a scheme"),
        ("", "expected a scheme"),
        ("(" * 10_000, "expected a scheme"),
        ("normal(std=1e999)", "must be finite"),
    ],
)
def test_what_is_no_start_is_said_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(StudyError) as error:
        init_of(text)
    assert said in str(error.value)


def test_nothing_is_evaluated() -> None:
    """A study file is data: a call inside of a law is refused, not made."""
    with pytest.raises(StudyError):
        init_of("normal(std=print('run'))")

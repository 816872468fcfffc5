import fnmatch
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.patterns import compile_pattern, covers, is_pattern

PATTERNS = st.text("ab*?", max_size=6)
#: Every text of up to 5 characters of which the patterns know two.
TEXTS = ["".join(text) for length in range(6) for text in itertools.product("abc", repeat=length)]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("*", "", True),
        ("*", "anything\nat all", True),
        ("gpt-4*", "gpt-4", True),
        ("gpt-4*", "gpt-4o-mini", True),
        ("gpt-4*", "GPT-4o", False),
        ("gpt-4*", "my-gpt-4", False),
        ("gpt-?", "gpt-4", True),
        ("gpt-?", "gpt-", False),
        ("gpt-?", "gpt-4o", False),
        ("*.gguf", "llama.gguf", True),
        ("*.gguf", "llamaxgguf", False),
        ("[ab]*", "[ab]c", True),
        ("[ab]*", "a", False),
        ("a\\*", "a\\b", True),
    ],
)
def test_matching(pattern: str, text: str, matches: bool) -> None:
    assert (compile_pattern(pattern).fullmatch(text) is not None) is matches


def test_a_name_is_a_pattern_by_its_wildcards() -> None:
    assert [name for name in ("a*", "?", "[a-z]", "a.b", "") if is_pattern(name)] == ["a*", "?"]


def test_many_stars_do_not_take_long() -> None:
    # A plain `.*a.*a…` would not return before the sun goes out.
    assert compile_pattern("*" * 60 + "a*" * 40 + "b").fullmatch("a" * 5000) is None


@pytest.mark.parametrize(
    ("general", "special", "expected"),
    [
        ("*", "gpt-*", True),
        ("*", "*", True),
        ("gpt-*", "gpt-4*", True),
        ("gpt-4*", "gpt-*", False),
        ("gpt-?", "gpt-*", False),
        ("gpt-*", "gpt-?", True),
        ("?*", "*?", True),
        ("*?", "?*", True),
        ("*a*", "*ba*b", True),
        ("*-mini", "gpt-*", False),
        ("?", "*", False),
    ],
)
def test_covering(general: str, special: str, expected: bool) -> None:
    assert covers(general, special) is expected


def test_patterns_too_hard_to_compare_count_as_different() -> None:
    # To follow the 40 places after each `a` takes 2^40 states; that both are equal is not seen.
    hard = "*a" + "?" * 40
    assert covers(hard, hard) is False


@given(PATTERNS)
def test_matching_agrees_with_the_standard_library(pattern: str) -> None:
    expression = compile_pattern(pattern)
    for text in TEXTS:
        assert (expression.fullmatch(text) is not None) is fnmatch.fnmatchcase(text, pattern)


@given(PATTERNS, PATTERNS)
def test_one_covers_another_exactly_if_no_text_tells_them_apart(general: str, special: str) -> None:
    apart = [
        text
        for text in TEXTS
        if compile_pattern(special).fullmatch(text) and not compile_pattern(general).fullmatch(text)
    ]
    if covers(general, special):
        assert apart == []
    elif len(general) + len(special) <= 4:
        assert apart != []

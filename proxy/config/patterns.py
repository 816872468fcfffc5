"""Patterns of model names: `*` is any text, `?` any one character, all else itself."""

import re
from typing import Final

# Enough for any pattern that a person writes; the comparison can grow with 2^length.
_MOST_STATES: Final = 4_000
#: A character that no pattern names.
_OTHER: Final = "\0"


def is_pattern(name: str) -> bool:
    """Tell whether a name has wildcards."""
    return "*" in name or "?" in name


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Make an expression of a pattern, for `fullmatch`; case counts.

    The time to match grows with the text's length and no faster, for the text is a client's.
    """
    first, *others = (
        "".join("." if character == "?" else re.escape(character) for character in part)
        for part in re.split(r"\*+", pattern)
    )
    if not others:
        return re.compile(first, re.DOTALL)
    # What stands between two stars matches at its first place, and no other need be tried.
    between = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(f"{first}{between}.*{others[-1]}", re.DOTALL)


def covers(general: str, special: str) -> bool:
    """Tell whether `general` matches everything that `special` matches.

    Both are run as automata side by side: a text that `special` accepts and
    `general` does not would show that it does not cover it.
    """
    alphabet = {*general, *special, _OTHER} - {"*", "?"}
    start = (_rest(special, frozenset({0})), _rest(general, frozenset({0})))
    seen = {start}
    waiting = [start]
    while waiting:
        those, these = waiting.pop()
        if len(special) in those and len(general) not in these:
            return False
        if len(seen) > _MOST_STATES:
            return False
        for character in alphabet:
            following = (_after(special, those, character), _after(general, these, character))
            if following[0] and following not in seen:
                seen.add(following)
                waiting.append(following)
    return True


def _rest(pattern: str, positions: frozenset[int]) -> frozenset[int]:
    """Add the positions behind each `*`, which may stand for nothing."""
    reached = set(positions)
    for position in positions:
        while position < len(pattern) and pattern[position] == "*":
            position += 1
            reached.add(position)
    return frozenset(reached)


def _after(pattern: str, positions: frozenset[int], character: str) -> frozenset[int]:
    """Return the positions that a pattern can be at after one more character."""
    reached = set()
    for position in positions:
        if position == len(pattern):
            continue
        if pattern[position] == "*":
            reached.add(position)
        elif pattern[position] in ("?", character):
            reached.add(position + 1)
    return _rest(pattern, frozenset(reached))

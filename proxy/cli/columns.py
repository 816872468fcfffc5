"""Two streams side by side on a terminal, with what was wrong and what was added in colour."""

import re
from collections.abc import Iterable
from typing import Final

import click

#: What LocalAI of May 2023 wrote and OpenAI does not.
WRONG: Final = re.compile(r'event: data|"role":"assistant",?(?="content")|,?"usage":\{[^}]*\}')
#: What straightwire fills in.
ADDED: Final = re.compile(
    r'"id":"[^"]*",?|"created":\d+,?|"index":\d+,?|,?"finish_reason":null|"delta":\{\},?'
    r'|"delta":\{"role":"assistant"\}|\[DONE\]'
)
GAP: Final = " │ "
MIN_COLUMN: Final = 30


def column_width(terminal: int) -> int:
    """Return the width of each of two columns on a terminal of so many columns."""
    return max((terminal - len(GAP)) // 2, MIN_COLUMN)


def side_by_side(rows: Iterable[tuple[str, str]], width: int) -> Iterable[str]:
    """Yield the lines of two columns.

    Args:
        rows: what stands beside each other, each side of any number of lines.
        width: the width of a column in characters.
    """
    for left, right in rows:
        lefts, rights = _wrapped(left, width, WRONG, "red"), _wrapped(right, width, ADDED, "green")
        blank = " " * width
        for place in range(max(len(lefts), len(rights))):
            first = lefts[place] if place < len(lefts) else blank
            second = rights[place] if place < len(rights) else ""
            yield f"{first}{click.style(GAP, dim=True)}{second}".rstrip()


def _wrapped(text: str, width: int, marked: re.Pattern[str], colour: str) -> list[str]:
    lines = []
    for line in text.splitlines() or [""]:
        colours: list[str | None] = [None] * len(line)
        for match in marked.finditer(line):
            colours[match.start() : match.end()] = [colour] * (match.end() - match.start())
        for start in range(0, max(len(line), 1), width):
            piece = line[start : start + width]
            lines.append(_styled(piece, colours[start : start + width]) + " " * (width - len(piece)))
    return lines


def _styled(piece: str, colours: list[str | None]) -> str:
    """Colour the runs of a piece of a line."""
    styled, start = "", 0
    for place in range(1, len(piece) + 1):
        if place == len(piece) or colours[place] != colours[start]:
            run = piece[start:place]
            styled += click.style(run, fg=colours[start]) if colours[start] else run
            start = place
    return styled

"""The arguments of one tool call, as they come: are they whole yet?"""

import re
from typing import Final

#: An escape with what it escapes, where that has come; a quote; a bracket.
_STRUCTURE: Final = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class Arguments:
    """Follows the arguments of one call, to tell whether they are a whole JSON object or array."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_pieces", "_structured", "begun", "half")

    def __init__(self) -> None:
        self.begun = False
        self.half = ""  # of a code point, whose other half is still to come
        self._structured = False  # begins with a bracket: of other text nobody knows where it ends
        self._pieces: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False

    @property
    def complete(self) -> bool:
        """An object or array has begun, and nothing in it is open."""
        return self._structured and not self._depth and not self._in_string

    @property
    def text(self) -> str:
        """All that has come."""
        return "".join(self._pieces)

    def feed(self, text: str) -> None:
        """Take a further piece. Linear in its length, whatever was there before."""
        if not text:
            return
        self._pieces.append(text)
        if not self.begun and not text.isspace():
            self.begun = True
            self._structured = text.lstrip()[0] in "{["
        start = 1 if self._escaped else 0
        self._escaped = False
        for match in _STRUCTURE.finditer(text, start):
            mark = match.group()
            if mark[0] == "\\":
                self._escaped = len(mark) == 1  # what it escapes is still to come
            elif mark == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if mark in "{[" else -1

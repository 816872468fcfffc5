"""What the operator gave, and where each value comes from."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The way to a value: the names of the sections and the key, positions in lists.
KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was given: a line of a file, or (line 0) a variable or an option.

    Attributes:
        layer: 0 for the file, 1 for the environment, 2 for the command line.
        line: counted from 1.
        source: the file's name, the variable's, the option's.
    """

    layer: int
    line: int
    source: str

    def __str__(self) -> str:
        """Write it as compilers do, so that editors can jump to it."""
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, and where."""

    place: Place
    key: KeyPath
    what: str

    def __str__(self) -> str:
        """Write it on one line: place, key, and what is wrong."""
        key = f"{dotted(self.key)}: " if self.key else ""
        return f"{self.place}: {key}{self.what}"

    @property
    def order(self) -> tuple[Place, str, str]:
        """What mistakes are sorted by: the order in which the operator meets them."""
        return self.place, dotted(self.key), self.what


def dotted(path: KeyPath) -> str:
    """Write a path as `upstreams.local.url`; keys that could be misread are quoted."""
    return ".".join(
        str(part)
        if isinstance(part, int) or _PLAIN_KEY.fullmatch(part)
        else json.dumps(part, ensure_ascii=True)
        for part in path
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean …?)` with the nearest of `known`, or nothing."""
    folded = {name.lower(): name for name in sorted(known, reverse=True)}
    # Comparing takes time that grows with the square of the length.
    nearest = difflib.get_close_matches(word.lower()[:100], folded, n=1)
    return f" (did you mean {folded[nearest[0]]}?)" if nearest else ""


@dataclass
class Tree:
    """All values given, as mappings, lists and scalars, and the place of each.

    Attributes:
        data: the values.
        places: of every key and list item, by path; `()` is the place of the whole.
        mistakes: what was found wrong so far.
        unfinished: values that lack a variable, of whose form nothing can be said.
    """

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unfinished: set[KeyPath] = field(default_factory=set)

    def known(self, path: KeyPath) -> KeyPath:
        """Return the longest part of `path`, from its beginning, that has a place."""
        while path and path not in self.places:
            path = path[:-1]
        return path

    def place(self, path: KeyPath) -> Place:
        """Return the place of a value, else that of the section it belongs in."""
        return self.places.get(self.known(path)) or Place(0, 0, "configuration")

    def get(self, path: KeyPath) -> Any:
        """Return the value at a path, None where there is none."""
        value: Any = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def section(self, *path: str | int) -> Mapping[str, Any]:
        """Return the mapping at a path; an empty one where there is none."""
        value = self.get(path)
        return value if isinstance(value, dict) else {}

    def put(self, path: tuple[str, ...], value: Any, place: Place) -> None:
        """Set a value, making the sections on the way to it."""
        section = self.data
        for depth, part in enumerate(path[:-1], start=1):
            if not isinstance(section.get(part), dict):
                section[part] = {}
                self.places[path[:depth]] = place
            section = section[part]
        section[path[-1]] = value
        self.forget(path)
        self._settle(path, value, place)

    def drop(self, path: tuple[str, ...]) -> None:
        """Take out a key that is there."""
        self.get(path[:-1]).pop(path[-1])
        self.forget(path)

    def forget(self, path: KeyPath) -> None:
        """Take out the places of a value and of all in it, and what was missing there."""
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]
        gone = {known for known in self.unfinished if known[: len(path)] == path}
        self.unfinished -= gone
        self.mistakes = [mistake for mistake in self.mistakes if mistake.key not in gone]

    def _settle(self, path: KeyPath, value: Any, place: Place) -> None:
        self.places[path] = place
        if isinstance(value, dict):
            for key, item in value.items():
                self._settle((*path, key), item, place)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                self._settle((*path, position), item, place)

"""YAML as plain values, each with the line it stands in, and every mistake noted.

The nodes that PyYAML composes are walked here instead of being constructed, for
the constructor forgets lines, takes the last of two equal keys, and makes
numbers and dates of what may be a model's name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.config.scalars import NULLS, Scalar
from proxy.config.tree import KeyPath, Mistake, Place, Tree
from proxy.config.variables import expand
from proxy.errors import ConfigurationError

_LARGEST_FILE: Final = 2**20
_DEEPEST: Final = 32
# Aliases let a short text stand for billions of values; each use is counted.
_MOST_VALUES: Final = 50_000
_TAGS: Final = {
    yaml.ScalarNode: "tag:yaml.org,2002:str",
    yaml.SequenceNode: "tag:yaml.org,2002:seq",
    yaml.MappingNode: "tag:yaml.org,2002:map",
}
_Pair = tuple[yaml.Node, yaml.Node]


class _Composer(yaml.SafeLoader):
    """PyYAML's parser, without its ideas of types and with a limit to its recursion."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own form
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.MarkedYAMLError(problem="is nested too deep", problem_mark=self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Unreadable(Exception):
    """The text as a whole cannot be understood."""

    def __init__(self, place: Place, what: str):
        self.mistake = Mistake(place, (), what)
        super().__init__(str(self.mistake))


def read_file(path: Path, environ: Mapping[str, str]) -> Tree:
    """Read a configuration file.

    Args:
        path: the file, whose name as given stands in the mistakes.
        environ: what `${NAME}` in it stands for.

    Raises:
        ConfigurationError: it cannot be read as a mapping at all. Lesser mistakes are in the tree.
    """
    reader = _Reader(Place(0, 1, str(path)), environ)
    try:
        value = reader.read(_decode(_content(path), reader.first))
        if value is None:
            raise _Unreadable(reader.first, "is empty; write at least an upstream's url")
        if not isinstance(value, dict):
            raise _Unreadable(reader.first, "must be a mapping, of keys such as upstreams:")
    except _Unreadable as error:
        # PyYAML's errors quote the lines around them, which may hold keys.
        raise ConfigurationError(str(error)) from None
    return Tree(value, {(): reader.first, **reader.places}, reader.mistakes, reader.unfinished)


def read_value(text: str, place: Place) -> tuple[Any, list[Mistake]]:
    """Read YAML on one line, such as `[a, b]`; variables in it are not filled in.

    Returns:
        The value, None if there is none, and what is wrong.
    """
    reader = _Reader(place, None)
    try:
        return reader.read(text), reader.mistakes
    except _Unreadable as error:
        return None, [error.mistake]


def _content(path: Path) -> bytes:
    place = Place(0, 0, str(path))
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _Unreadable(place, f"cannot be read: {reason}") from error
    if len(content) > _LARGEST_FILE:
        raise _Unreadable(place, f"is larger than {_LARGEST_FILE} bytes")
    return content


def _decode(content: bytes, first: Place) -> str:
    if (position := content.find(0)) >= 0:
        place = Place(0, content.count(b"\n", 0, position) + 1, first.source)
        raise _Unreadable(place, "holds a NUL byte; it must be text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(0, content.count(b"\n", 0, error.start) + 1, first.source)
        raise _Unreadable(place, "is not UTF-8") from error


class _Reader:
    """One walk through one text."""

    def __init__(self, first: Place, environ: Mapping[str, str] | None):
        """Take the place of the first line; without `environ`, `${…}` stays as it is."""
        self.first = first
        self.places: dict[KeyPath, Place] = {}
        self.mistakes: list[Mistake] = []
        self.unfinished: set[KeyPath] = set()
        self._environ = environ
        self._values = 0

    def read(self, text: str) -> Any:
        node = self._compose(text)
        return None if node is None else self._value(node, ())

    def _compose(self, text: str) -> yaml.Node | None:
        line = 0
        try:
            composer = _Composer(text)
            try:
                node: yaml.Node | None = composer.get_single_node()
            finally:
                line = composer.line
                composer.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._failure(mark.line if mark else line, _explain(error)) from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            raise self._failure(line, "holds a control character") from error
        except (ValueError, OverflowError) as error:
            # PyYAML passes on what chr() and int() say to an escape or a version out of range.
            raise self._failure(line, "holds a number or an escape out of range") from error
        return node

    def _failure(self, line: int, what: str) -> _Unreadable:
        return _Unreadable(self._place(line), what)

    def _place(self, line: int) -> Place:
        """Return the place of a line, as PyYAML counts it from 0; a variable has no lines."""
        first = self.first
        return Place(first.layer, first.line + line, first.source) if first.line else first

    def _complain(self, node: yaml.Node, path: KeyPath, what: str) -> None:
        self.mistakes.append(Mistake(self._place(node.start_mark.line), path, what))

    def _count(self, node: yaml.Node, depth: int) -> None:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise self._failure(
                node.start_mark.line, f"has more than {_MOST_VALUES} values, with its aliases"
            )
        if depth > 2 * _DEEPEST:
            raise self._failure(node.start_mark.line, "is nested too deep, or within itself")

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count(node, len(path))
        if node.tag != _TAGS[type(node)]:
            self._complain(node, path, "has a tag (!); write the value without it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, at)) for at, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 - there is no fourth kind
        return self._scalar(node, path)

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.places[path] = self._place(node.start_mark.line)
        return self._value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values = {}
        for name, (key, value) in self._pairs(node, path, len(path)).items():
            self.places[*path, name] = self._place(key.start_mark.line)
            values[name] = self._value(value, (*path, name))
        return values

    def _pairs(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, _Pair]:
        """Return a mapping's keys and values, with those that `<<` merges into it."""
        first: dict[str, yaml.Node] = {}
        own: dict[str, _Pair] = {}
        merged: dict[str, _Pair] = {}
        for key, value in node.value:
            self._count(key, depth)
            name = self._key(key, path)
            if name is None:
                continue
            if name in first:
                place = self._place(first[name].start_mark.line)
                self._complain(key, (*path, name), f"is given twice, first at {place}")
                continue
            first[name] = key
            if name == "<<" and key.style is None:
                merged = self._merged(value, path, depth + 1)
            else:
                own[name] = (key, value)
        return merged | own

    def _merged(self, node: yaml.Node, path: KeyPath, depth: int) -> dict[str, _Pair]:
        """Return what `<<` brings; of several mappings an earlier one wins over a later one."""
        merged: dict[str, _Pair] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            self._count(source, depth)
            if isinstance(source, yaml.MappingNode):
                merged = self._pairs(source, path, depth) | merged
            else:
                self._complain(source, (*path, "<<"), "must name mappings to merge")
        return merged

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAGS[yaml.ScalarNode]:
            self._complain(node, path, "has a key that is not text")
            return None
        if "${" in node.value and self._environ is not None:
            self._complain(node, path, "has a variable in a key; they stand in values only")
            return None
        return self._text(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Scalar | None:
        written = text = self._text(node, path)
        if self._environ is not None:
            text, problems = expand(text, self._environ)
            for problem in problems:
                self._complain(node, path, problem)
                self.unfinished.add(path)
        quoted = node.style is not None
        if not quoted and text in NULLS:
            return None
        return Scalar(text, written=written, quoted=quoted)

    def _text(self, node: yaml.ScalarNode, path: KeyPath) -> str:
        text = str(node.value)
        if text.isascii():
            return text
        # JSON writes a character beyond U+FFFF as two escapes, and JSON is YAML.
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if whole.count("\ufffd") > text.count("\ufffd"):
            self._complain(node, path, "holds half a character (a lone surrogate as an escape)")
        return whole


def _explain(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong with the YAML, without words from it: they may be part of a key."""
    problem = (error.problem or "").removeprefix("found ")
    if "'\\t'" in problem:
        return "is not YAML: a tab; indent with spaces"
    if "mapping values" in problem:
        return "is not YAML: a key that cannot stand here; indent it, or quote text with ': '"
    if "alias" in problem:
        return "is not YAML: an alias (*) without its anchor (&); quote text that begins with *"
    if "anchor" in f"{error.context}":
        return "is not YAML: an anchor (&) that is given twice"
    if "tag" in problem:
        return "is not YAML: a tag (!) that cannot be read; quote text that begins with !"
    if "document" in problem:
        return "holds a second document (---); one file, one configuration"
    return problem if "nested" in problem else f"is not YAML: {problem}"

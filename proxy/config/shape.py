"""The schema as a tree to walk: which keys there are, and which kind of value each takes."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from proxy.config.schema import Configuration, Section
from proxy.config.tree import KeyPath


class Kind(Enum):
    """What a key takes."""

    #: Keys that the schema names.
    SECTION = "section"
    #: Keys that the operator names.
    TABLE = "table"
    LIST = "list"
    #: Whatever JSON can hold.
    JSON = "json"
    #: Text, or what is read from text: numbers, switches, durations.
    TEXT = "text"


@dataclass(frozen=True)
class Shape:
    """What stands at a key.

    Attributes:
        section: the model of a SECTION.
        inner: what stands in a TABLE or LIST.
    """

    kind: Kind
    section: type[Section] | None = None
    inner: Any = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that a SECTION names; of all others, none."""
        return tuple(self.section.model_fields) if self.section else ()

    def at(self, key: str | int) -> "Shape | None":
        """Return the shape below a key; None where there can be none."""
        if self.section and isinstance(key, str) and key in self.section.model_fields:
            return _of(self.section.model_fields[key].annotation)
        if self.kind is (Kind.LIST if isinstance(key, int) else Kind.TABLE):
            return _of(self.inner)
        return None


def _of(annotation: Any) -> Shape:
    """Return the shape that a type annotation of the schema stands for."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _of(members[0]) if len(members) == 1 else Shape(Kind.TEXT)
    if annotation is Any:
        return Shape(Kind.JSON)
    if origin is tuple:
        return Shape(Kind.LIST, inner=get_args(annotation)[0])
    if origin is Mapping:
        return Shape(Kind.TABLE, inner=get_args(annotation)[1])
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Shape(Kind.SECTION, section=annotation)
    return Shape(Kind.TEXT)


#: The whole configuration.
ROOT = Shape(Kind.SECTION, section=Configuration)


def at(path: KeyPath) -> Shape | None:
    """Return the shape at a path; None where the schema has nothing."""
    shape: Shape | None = ROOT
    for key in path:
        if shape is None:
            return None
        shape = shape.at(key)
    return shape


def walk(
    names: Mapping[tuple[str, ...], list[str]], start: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key there is, sections before what is in them.

    Args:
        names: the operator's names in each table, by the table's path.
        start: the section to begin in.
    """
    shape = at(start)
    for key in names.get(start, shape.keys if shape else ()):
        yield (*start, key)
        yield from walk(names, (*start, key))

"""What the model finds wrong, in an operator's words."""

import difflib
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config import shape
from proxy.config.scalars import shown, written
from proxy.config.tree import KeyPath, Mistake, Tree, did_you_mean, dotted

#: What is compared of a key that nobody knows, in characters; the time grows with the square.
_LONGEST: Final = 100


def of(error: ValidationError, tree: Tree) -> Iterator[Mistake]:
    """Yield a mistake for each thing that pydantic found, except where a variable is missing."""
    for detail in error.errors(include_url=False, include_input=False):
        path: KeyPath = detail["loc"]
        if not any(path[:end] in tree.unfinished for end in range(len(path) + 1)):
            yield _mistake(detail, path, tree)


def _mistake(detail: ErrorDetails, path: KeyPath, tree: Tree) -> Mistake:
    kind = detail["type"]
    if kind == "missing":
        return Mistake(tree.place(path), path, "is missing")
    if kind == "extra_forbidden":
        return Mistake(tree.place(path), path, "unknown key" + _belongs(path))
    # A value that the schema wraps has no deeper place than its own.
    path = tree.known(path)
    return Mistake(tree.place(path), path, _what(kind, detail, tree.get(path)))


def _what(kind: str, detail: ErrorDetails, value: Any) -> str:
    context = detail.get("ctx", {})
    match kind:
        case "value_error":
            return str(context["error"])
        case "model_type" | "dict_type" | "mapping_type":
            return f"must be a mapping of keys and values, not {_kind_of(value)}"
        case "tuple_type" | "list_type":
            return f"must be a list such as [a, b], not {_kind_of(value)}"
        case "string_type":
            return f"must be text, not {_kind_of(value)}"
        case "string_too_short":
            return "must not be empty"
        case "literal_error":
            words = context["expected"].replace("'", "")
            hint = did_you_mean(written(value), words.replace(" or ", ", ").split(", "))
            return f"must be {words}, not {shown(value)}{hint}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {shown(value)}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {shown(value)}"
    return detail["msg"]


def _kind_of(value: object) -> str:
    """Name what was given, but never show it: a key may stand where a list of keys should."""
    return "text" if isinstance(value, str) else shown(value)


def _belongs(path: KeyPath) -> str:
    """Say which key was meant, or where the key has its place."""
    section = shape.at(path[:-1])
    key = str(path[-1])
    if section and (hint := did_you_mean(key, section.keys)):
        return hint
    names: dict[tuple[str, ...], list[str]] = {("upstreams",): ["NAME"], ("models",): ["NAME"]}
    everywhere = list(shape.walk(names))
    nearest = difflib.get_close_matches(key.lower()[:_LONGEST], {known[-1] for known in everywhere}, n=1)
    places = [dotted(known) for known in everywhere if known[-1] in nearest]
    return f" (did you mean {' or '.join(places[:2])}?)" if places else ""

"""How a translation is written: one function, and what there is to know about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: A request's JSON object, which a translation changes in place.
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Translation:
    """One entry of the catalogue.

    Attributes:
        name: kebab-case, after what the server lacks: configuration key and metric label.
        summary: what it does, one line.
        before: a request that needs it, as the client sends it.
        after: the same request as it leaves.
        why: what the server does with it as it is.
        sources: issues, pull requests or commits that know of it.
        apply: changes the request; returns at how many places.
    """

    name: str
    summary: str
    before: str
    after: str
    why: str
    sources: tuple[str, ...]
    apply: Callable[[Body], int]


def translation(
    name: str, *, before: str, after: str, why: str, sources: tuple[str, ...]
) -> Callable[[Callable[[Body], int]], Translation]:
    """Make a function the translation called `name`. Its docstring's first line says what it does."""

    def enter(function: Callable[[Body], int]) -> Translation:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        return Translation(name, summary, before, after, why, sources, function)

    return enter


def messages(request: Body) -> list[dict[str, Any]]:
    """Return the messages that are objects; what else stands among them is the upstream's to refuse."""
    return _objects(request.get("messages"))


def tools(request: Body) -> list[dict[str, Any]]:
    """Return the tools that are objects."""
    return _objects(request.get("tools"))


def function_name(tool: dict[str, Any]) -> str | None:
    """Return the name in a tool, a call or a `tool_choice`, nested as OpenAI has it or flat."""
    function = tool.get("function")
    name = (function if isinstance(function, dict) else tool).get("name")
    return name if isinstance(name, str) and tool.get("type", "function") == "function" else None


def text_alone(parts: Any) -> str | None:
    """Return the text of a list of content parts; None where it holds anything else."""
    if not isinstance(parts, list) or not parts:
        return None
    texts = [_text(part) for part in parts]
    known = [text for text in texts if text is not None]
    return "".join(known) if len(known) == len(parts) else None


def _text(part: Any) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get(kind) if kind in ("text", "refusal") else None
    return text if isinstance(text, str) else None


def _objects(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []

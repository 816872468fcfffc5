"""Requests, and how one is translated, for the tests of translations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from proxy.wire.translations import compile_translations

Request = dict[str, Any]


@dataclass
class Parameters:
    """The operator's own changes, as the configuration has them."""

    default: Mapping[str, Any] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()


def translate(request: Request, *names: str) -> tuple[Request, dict[str, int]]:
    """Translate with these translations on and no other."""
    translator = compile_translations(switches=dict.fromkeys(names, True))
    body, counts = translator.apply(orjson.dumps(request), None)
    return orjson.loads(body), counts


def tool(name: str, **schema: Any) -> dict[str, Any]:
    """Make a tool."""
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", **schema}}}


def call(call_id: str | None, name: str, arguments: Any = "{}") -> dict[str, Any]:
    """Make a tool call; without an id, if that is None."""
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if call_id is None else {"id": call_id, **made}


def result(call_id: str | None, content: Any, **more: Any) -> dict[str, Any]:
    """Make a tool's result."""
    made = {"role": "tool", "content": content, **more}
    return made if call_id is None else {**made, "tool_call_id": call_id}

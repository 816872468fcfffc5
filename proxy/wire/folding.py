"""The chunks of a stream, folded into the one body that says the same."""

from dataclasses import dataclass, field
from typing import Any, Final

from proxy.wire.chunk import Chunk
from proxy.wire.requests import Endpoint

#: What a chunk has for the sake of the stream alone.
STREAM_KEYS: Final = frozenset({"choices", "usage", "obfuscation"})
#: What a call says once; all other strings of a delta are pieces of a text.
SAID_ONCE: Final = frozenset({"id", "type", "index"})
#: Objects are merged as deep as any server nests what it sends in pieces.
MAX_DEPTH: Final = 8


class Pieces(list[str]):
    """A text that is still coming."""


@dataclass(slots=True)
class Folded:
    """One choice so far: its own keys, its message, its calls by their index."""

    choice: dict[str, Any] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)


class Folding:
    """Folds the chunks of one stream, as the rewriter lets them out.

    Strings of a delta are joined, lists extended, objects merged, as OpenAI's own
    clients accumulate them; of what stands outside a delta the last word counts.
    The cost is linear in the length of the stream.
    """

    __slots__ = ("_body", "_folded", "_is_chat", "_usage")

    def __init__(self, endpoint: Endpoint) -> None:
        self._is_chat = endpoint is Endpoint.CHAT
        self._body: dict[str, Any] = {}
        self._folded: dict[int, Folded] = {}
        self._usage: dict[str, Any] | None = None

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        for key, value in chunk.items():
            if key not in STREAM_KEYS:
                _keep(self._body, key, value)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            folded = self._folded.setdefault(_index(choice), Folded())
            for key, value in choice.items():
                if key == "delta" and self._is_chat:
                    _add_delta(folded, value)
                elif key in ("text", "logprobs"):
                    _merge(folded.choice, {key: value})
                else:
                    _keep(folded.choice, key, value)

    def body(self) -> Chunk:
        """Return the body."""
        indices = sorted(self._folded)
        body = self._body | {"choices": [self._choice(self._folded[index]) for index in indices]}
        if self._is_chat:
            body["object"] = "chat.completion"
        return body if self._usage is None else body | {"usage": self._usage}

    def _choice(self, folded: Folded) -> dict[str, Any]:
        choice: dict[str, Any] = {"logprobs": None} | _joined(folded.choice)
        if self._is_chat:
            message = {"role": "assistant", "content": None, "refusal": None} | _joined(folded.message)
            if folded.calls:
                message["tool_calls"] = [_joined(call) for call in folded.calls.values()]
            if folded.calls or "function_call" in message:
                message["content"] = message["content"] or None
            choice["message"] = message
        return choice


def _add_delta(folded: Folded, delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for fragment in value or ():
                call = folded.calls.setdefault(_index(fragment), {})
                _merge(call, {name: item for name, item in fragment.items() if name != "index"})
        elif key != "role":
            _merge(folded.message, {key: value})


def _index(numbered: dict[str, Any]) -> int:
    """An index, which is only missing where the operator wants it so."""
    index = numbered.get("index")
    return index if type(index) is int else 0


def _keep(place: dict[str, Any], key: str, value: Any) -> None:
    if value is not None or key not in place:
        place[key] = value


def _merge(place: dict[str, Any], given: dict[str, Any], depth: int = 0) -> None:
    for key, value in given.items():
        before = place.get(key)
        if isinstance(value, str) and key not in SAID_ONCE:
            if not isinstance(before, Pieces):
                place[key] = before = Pieces()
            before.append(value)
        elif isinstance(value, dict) and depth < MAX_DEPTH:
            if not isinstance(before, dict):
                place[key] = before = {}
            _merge(before, value, depth + 1)
        elif isinstance(before, list) and isinstance(value, list) and not isinstance(before, Pieces):
            before.extend(value)
        else:
            _keep(place, key, value)


def _joined(place: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    for key, value in place.items():
        if isinstance(value, Pieces):
            place[key] = "".join(value)
        elif isinstance(value, dict) and depth < MAX_DEPTH:
            _joined(value, depth + 1)
    return place

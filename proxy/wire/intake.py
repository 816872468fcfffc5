"""Events into chunks: tells chunks from errors, and both from all else that comes as an event."""

import re
from typing import Any, Final

from proxy.errors import UpstreamError, UpstreamMalformed, UpstreamReported
from proxy.wire import codec, framing, reported
from proxy.wire.chunk import CHAT_CHUNK, StreamState
from proxy.wire.machine import ChunkMachine
from proxy.wire.repairs.usage import has_counts
from proxy.wire.requests import Endpoint
from proxy.wire.sse import Event

#: What servers send as data to keep a connection open.
#: Words that say no more than that a server lives, without what may stand around or between them.
_KEEP_ALIVES: Final = frozenset(
    {b"ping", b"pong", b"keepalive", b"heartbeat", b"processing", b"openrouterprocessing"}
)
_AROUND: Final = b" \t[]<>()\"'*#:.-"
_BETWEEN: Final = b" -_"
WHOLE_CHAT: Final = "chat.completion"
#: Where a choice keeps what it says.
SAYING: Final = frozenset({"message", "delta", "text"})
#: What an event begins with whose data is an event itself, and all of it.
FIELD: Final = b"data:"
INNER_FIELDS: Final = re.compile(rb"(?:data:\s*)+")


class Intake:
    """Reads the events of one stream and gives its chunks to the machine.

    Attributes:
        bare: the events are the values of a JSON body, not of an event stream.
        events: how many were a chunk, an error or the end. Signs of life do not count, in
            whatever form they come: they say nothing of the answer.
    """

    __slots__ = ("_machine", "_stream", "bare", "events")

    def __init__(self, stream: StreamState, machine: ChunkMachine) -> None:
        self.bare = False
        self.events = 0
        self._stream = stream
        self._machine = machine

    def receive(self, event: Event) -> bool:
        """Take one event; return whether it says that the stream is over.

        Raises:
            UpstreamError: it is an error, or cannot be understood.
        """
        data, name = event
        if data == framing.DONE:
            self.events += 1
            return True
        if name == b"error" and data.strip():
            self.events += 1
            raise self._error_event(data)
        try:
            value, rough = codec.loads(data)
        except codec.NotJSON:
            return self._not_json(data)
        if isinstance(value, str) and framing.says_done(data):
            return self._not_json(data)  # the word, as a JSON string
        self._stream.rough = rough
        if b"\n" in data:  # JSON has no line end that would mean anything
            data = data.replace(b"\n", b" ")
        try:
            if type(value) is dict and not rough:
                self._object(value, data.strip())
            else:
                self._value(value, data.strip(), rough)
        except codec.NotJSON as error:
            raise UpstreamMalformed(
                f"The upstream sent an event that cannot be rewritten: {error}."
            ) from None
        return False

    def _object(self, value: dict[str, Any], data: bytes | None) -> None:
        """Take a JSON object: an error, a chunk, or something of the upstream's own."""
        stream, machine = self._stream, self._machine
        if machine.glances and "id" in value and data is not None and machine.forward(value, data):
            self.events += 1
            stream.whole = False
            return
        if reported.is_error(value):
            self.events += 1
            if value.get("choices"):
                stream.count("error-in-chunk")
            raise stream.counted(*reported.from_value(value))
        if "choices" in value or isinstance(value.get("usage"), dict):
            self.events += 1
            stream.whole = self.events == 1 and self._is_whole(value)
            machine.receive(value, data)
        else:
            stream.count("foreign-event")

    def _value(self, value: Any, data: bytes, rough: bool) -> None:
        """Take what is no object, or has to be cleaned first."""
        stream = self._stream
        if rough:
            stream.count("rough-json")
            value = codec.scrub(value, keep=codec.TEXT_KEYS)
        if isinstance(value, dict):
            self._object(value, None if rough else data)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            if reported.is_error(value[0]):
                self.events += 1
                raise stream.counted(*reported.from_value(value))
            stream.count("concatenated-json")
            for item in value:
                self._object(item, None)
        elif isinstance(value, str) and _is_keep_alive(value.encode("utf-8", "replace")):
            stream.count("comment-as-data")
        elif isinstance(value, str) and value.strip():
            raise self._text(value)
        else:
            stream.count("foreign-event")

    def _is_whole(self, value: dict[str, Any]) -> bool:
        """The first object of an answer is all of it: it says so, or is a body in form and stands alone.

        Of one in an event a finish reason or its usage must show that: chunks, too, may bear a body's name.
        Whether it does stand alone the end of the answer will show.
        """
        request, kind = self._stream.request, value.get("object")
        if kind == CHAT_CHUNK and self._stream.is_chat:
            return False
        choices = _choices(value.get("choices"))
        if not choices or not all(isinstance(choice, dict) for choice in choices):
            return False
        if request.endpoint is Endpoint.COMPLETIONS:  # whose chunks and bodies have one form
            whole = self.bare and kind in ("text_completion", None) and len(choices) >= request.choices
            return whole and all(isinstance(choice.get("text"), str) for choice in choices)
        if kind == WHOLE_CHAT and self.bare:
            return all("message" in choice or "text" in choice for choice in choices)
        if not all(isinstance(choice.get("message"), dict | str) for choice in choices):
            return False
        usage = value.get("usage")
        counted = kind == WHOLE_CHAT and isinstance(usage, dict) and has_counts(usage)
        return self.bare or counted or all(choice.get("finish_reason") for choice in choices)

    def _not_json(self, data: bytes) -> bool:
        """Take data that is no JSON: nothing, a sign of life, several objects, or an error's text."""
        word = data.strip()
        if word.startswith(FIELD):
            self._stream.count("data-in-data")
            return self.receive(Event(INNER_FIELDS.sub(b"", word, count=1)))
        if not word:
            self._stream.count("empty-data")
        elif framing.says_done(word) or word.lower() == b"done":
            if word != framing.DONE:
                self._stream.count("bare-done")
            self.events += 1
            return True
        elif _is_keep_alive(word):
            self._stream.count("comment-as-data")
        else:
            pieces = framing.split(word)
            if len(pieces) < 2 or not framing.is_object(pieces[0]):
                said = word if pieces[0][:1] == b"[" else pieces[0]  # of a tag, `[ERROR]`, what follows it
                raise self._text(said.decode("utf-8", "replace"))
            self._stream.count("concatenated-json")
            return any(self.receive(Event(piece)) for piece in pieces)
        return False

    def _text(self, text: str) -> UpstreamError:
        self.events += 1
        if (quote := reported.broken_json(text)) is not None:
            return UpstreamMalformed(f"The upstream sent an event that is not valid JSON: {quote}")
        return self._stream.counted(*reported.from_text(text))

    def _error_event(self, data: bytes) -> UpstreamReported:
        self._stream.count("error-event")
        try:
            value, _ = codec.loads(data)
        except codec.NotJSON:
            value = None
        if isinstance(value, dict | list):
            return self._stream.counted(*reported.from_value(value))
        return self._stream.counted(*reported.from_text(data.decode("utf-8", "replace")))


def _is_keep_alive(word: bytes) -> bool:
    return word[:1] == b":" or word.strip(_AROUND).lower().translate(None, _BETWEEN) in _KEEP_ALIVES


def _choices(choices: Any) -> list[Any]:
    """The choices, whatever holds them."""
    if isinstance(choices, dict):
        choices = list(choices.values()) if SAYING.isdisjoint(choices) else [choices]
    return choices if isinstance(choices, list) else []

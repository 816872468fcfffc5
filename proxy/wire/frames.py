"""Chunks, written as frames: in their own bytes, or anew."""

from typing import Any

from proxy.errors import UpstreamMalformed
from proxy.wire import codec
from proxy.wire.chunk import CHUNK_KEYS, Choice, Chunk, StreamState, in_order
from proxy.wire.sse import FRAME


class FrameWriter:
    """Writes the chunks of one stream, in OpenAI's order of keys where it has to write them anew.

    Attributes:
        frames: what has been written and not been taken yet.
        written: how many frames were taken before.
    """

    __slots__ = ("_said", "_stream", "frames", "written")

    def __init__(self, stream: StreamState) -> None:
        self.frames: list[bytes] = []
        self.written = 0
        self._stream = stream
        self._said = "delta" if stream.is_chat else "text"

    def chunk(self, chunk: Chunk, data: bytes | None) -> None:
        """Write a chunk: `data`, its own bytes, or anew where they are None.

        Raises:
            UpstreamMalformed: it is nested too deeply to be written anew.
        """
        if data is None:
            try:
                data = self._anew(chunk)
            except codec.NotJSON as error:
                raise UpstreamMalformed(
                    f"The upstream sent an event that cannot be rewritten: {error}."
                ) from None
        self.frames.append(FRAME % data)

    def _anew(self, chunk: Chunk) -> bytes:
        if self._stream.rough:
            chunk = codec.scrub(chunk)
        choices = chunk["choices"]
        for place, choice in enumerate(choices):
            choices[place] = _choice_in_order(choice, self._said)
        return codec.dumps(_chunk_in_order(chunk))

    def choice(self, choice: Choice) -> None:
        """Write a chunk of our own with this one choice."""
        self._own([choice], {"usage": None} if self._stream.request.include_usage else {})

    def usage(self, usage: dict[str, Any]) -> None:
        """Write the chunk that ends a stream whose request asked for usage."""
        self._own([], {"usage": usage})

    def _own(self, choices: list[Choice], usage: dict[str, Any]) -> None:
        identity = self._stream.identity or self._stream.identify({})
        chunk = {
            "id": identity.id,
            "object": identity.object,
            "created": identity.created,
            "model": identity.model,
            "choices": choices,
            **usage,
        }
        self.frames.append(FRAME % codec.dumps(chunk))


def _chunk_in_order(chunk: Chunk) -> Chunk:
    """Return a chunk with its keys in OpenAI's order, then whatever else it has."""
    try:
        ordered = {
            "id": chunk["id"],
            "object": chunk["object"],
            "created": chunk["created"],
            "model": chunk["model"],
        }
    except KeyError:  # repairs are off
        return in_order(chunk, CHUNK_KEYS)
    if "service_tier" in chunk:
        ordered["service_tier"] = chunk["service_tier"]
    if "system_fingerprint" in chunk:
        ordered["system_fingerprint"] = chunk["system_fingerprint"]
    ordered["choices"] = chunk["choices"]
    if "usage" in chunk:
        ordered["usage"] = chunk["usage"]
    return ordered if len(ordered) == len(chunk) else ordered | chunk


def _choice_in_order(choice: Choice, said: str) -> Choice:
    """Do the same with a choice, which says something under the key `said`."""
    try:
        ordered = {"index": choice["index"], said: choice[said]}
        if "logprobs" in choice:
            ordered["logprobs"] = choice["logprobs"]
        ordered["finish_reason"] = choice["finish_reason"]
    except KeyError:  # repairs are off
        return in_order(choice, ("index", said, "logprobs", "finish_reason"))
    return ordered if len(ordered) == len(choice) else ordered | choice

"""Chunks, written as frames: in their own bytes, or anew."""

from typing import Any

from proxy.wire import codec
from proxy.wire.chunk import (
    CHAT_CHOICE_KEYS,
    CHUNK_KEYS,
    TEXT_CHOICE_KEYS,
    Choice,
    Chunk,
    StreamState,
    in_order,
)
from proxy.wire.sse import encode


class FrameWriter:
    """Writes the chunks of one stream, in OpenAI's order of keys where it has to write them anew.

    Attributes:
        frames: what has been written and not been taken yet.
        written: how many frames there were in all.
    """

    __slots__ = ("_choice_keys", "_stream", "frames", "written")

    def __init__(self, stream: StreamState) -> None:
        self.frames: list[bytes] = []
        self.written = 0
        self._stream = stream
        self._choice_keys = CHAT_CHOICE_KEYS if stream.is_chat else TEXT_CHOICE_KEYS

    def take(self) -> list[bytes]:
        """Return the frames written since the last call."""
        frames, self.frames = self.frames, []
        self.written += len(frames)
        return frames

    def chunk(self, chunk: Chunk, data: bytes | None) -> None:
        """Write a chunk: `data`, its own bytes, or anew where they are None."""
        if data is None:
            if self._stream.rough:
                chunk = codec.scrub(chunk)
            choices = chunk["choices"]
            for place, choice in enumerate(choices):
                choices[place] = in_order(choice, self._choice_keys)
            data = codec.dumps(in_order(chunk, CHUNK_KEYS))
        self.frames.append(encode(data))

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
        self.frames.append(encode(codec.dumps(chunk)))

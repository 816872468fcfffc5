"""What is asked of a target."""

import json
from dataclasses import dataclass, replace
from typing import Final

MODEL: Final = "ggml-gpt4all-j"

#: A token's text: the emitter puts the time at which the frame leaves into it.
STAMP: Final = " " + "0" * 16


@dataclass(frozen=True)
class Load:
    """So many streams, each so many requests one after the other, each answered by so many frames."""

    name: str
    streams: int
    frames: int
    #: Frames a second in each stream; 0: all at once.
    rate: int = 0
    requests: int = 1
    #: Microseconds between the starts of two streams.
    gap: int = 0

    @property
    def all_frames(self) -> int:
        return self.streams * self.requests * self.frames

    @property
    def all_requests(self) -> int:
        return self.streams * self.requests

    @property
    def seconds(self) -> float:
        """What it takes at least, if the pace is kept."""
        pace = (self.frames - 1) / self.rate if self.rate else 0.0
        return (self.streams - 1) * self.gap / 1e6 + self.requests * pace

    @property
    def body(self) -> str:
        """The JSON of a request. The emitter reads its orders from the prompt."""
        order = f"Write {self.frames} tokens, {self.rate} a second."
        messages = [
            {"role": "system", "content": "You are a careful assistant. " * 8},
            {"role": "user", "content": order},
        ]
        return json.dumps({"model": MODEL, "stream": True, "temperature": 0.2, "messages": messages})

    def short(self, share: float) -> "Load":
        """Return the same load, over a share of its length. All frames at once take no time worth saving."""
        if self.requests > 1:
            return replace(self, requests=max(1, round(self.requests * share)))
        return replace(self, frames=max(1, round(self.frames * share))) if self.rate else self


#: Streams of many readers, each token a read of its own: the everyday load.
PACED: Final = Load("paced", streams=50, frames=200, rate=40, gap=500)
#: One wake-up for each frame, and nothing to share it with: the dearest.
LONE: Final = Load("lone", streams=1, frames=2_000, rate=500)
#: A fast server, or one that answers from a cache.
FLOOD: Final = Load("flood", streams=4, frames=20_000)
#: What a request costs beside its frames.
REQUEST: Final = Load("request", streams=1, frames=1, requests=2_000)

LOADS: Final = {load.name: load for load in (PACED, LONE, FLOOD, REQUEST)}


def opened(streams: int, *, ramp: int, stay: int) -> Load:
    """Return the load of many streams that are open at once, a frame a second in each.

    They start evenly over `ramp` seconds, and stay for `stay` seconds after that.
    """
    return Load("open", streams=streams, frames=ramp + stay, rate=1, gap=1_000_000 * ramp // streams)

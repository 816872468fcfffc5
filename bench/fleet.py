"""What the figures mean for many machines: docs/scaling.md's arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.report import Document, markdown, results

STREAMS: Final = 1_000_000
#: Frames a second of one stream: a large model, a middling one, a small one on a fast machine.
RATES: Final = (10, 20, 40)
#: Processors that are not to be busier, so that a queue does not grow: with one machine lost, too.
BUSY: Final = 0.6


@dataclass(frozen=True)
class Costs:
    """What straightwire takes: microseconds of CPU for a frame, KiB for a stream, MiB for a process."""

    frame: float
    stream: float
    process: float

    def cores(self, rate: int) -> float:
        """Return how many cores carry all streams at so many frames a second each."""
        return STREAMS * rate * self.frame / 1e6 / BUSY

    def memory(self, rate: int) -> float:
        """Return the GiB for all streams, in one process a core."""
        return (STREAMS * self.stream / 2**10 + self.cores(rate) * self.process) / 2**10


def costs(document: Document) -> Costs | None:
    """Return what a measuring found; None where it did not measure all of it."""
    medians = {line.what: line.median for line in results(document)}
    paced = document["targets"].get("paced", {}).get("straightwire")
    if not paced or "memory per stream" not in medians or "memory" not in medians:
        return None
    return Costs(paced["cpu_us"], medians["memory per stream"], medians["memory"])


def parts(document: Document) -> Iterator[str]:
    """Yield the paragraphs of docs/scaling.md that hold figures."""
    found = costs(document)
    if found is None:
        return
    yield (
        f"A frame takes {found.frame:.1f} µs of CPU, an open stream {found.stream:.1f} KiB, a process"
        f" {found.process:.0f} MiB ([performance.md](performance.md) tells the conditions). So a core carries"
        f" {1e6 / found.frame:,.0f} frames a second, and a GiB {2**20 / found.stream:,.0f} streams. For"
        f" {STREAMS:,} streams, with the processors {BUSY:.0%} busy:"
    )
    head = ["frames a second of each stream", "streams a core", "cores", "memory"]
    rows = []
    for rate in RATES:
        cores = found.cores(rate)
        rows.append([f"{rate}", f"{STREAMS / cores:,.0f}", f"{cores:,.0f}", f"{found.memory(rate):,.0f} GiB"])
    yield markdown([head, *rows])

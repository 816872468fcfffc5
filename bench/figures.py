"""From samples to figures: what a frame and a request cost, and how that compares within a round."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bench.rounds import Round, Run

OURS: Final = "straightwire"
REFERENCE: Final = "nginx"
DIRECT: Final = "direct"


#: What can be told of one target in one round. It raises LookupError where the round did not look at it.
Quantity = Callable[[Run, Round, str], float]


def cost(load: str) -> Quantity:
    """CPU microseconds for a frame, less what the target takes idle; of `request`, for a request with one."""

    def quantity(run: Run, this: Round, target: str) -> float:
        sample = this.samples[load, target]
        idle = run.idle[target] * sample.seconds
        return (sample.cpu - idle) / sample.frames * 1e6

    return quantity


def age(load: str, rank: str) -> Quantity:
    """Microseconds from a frame's leaving the emitter to its reading by the client: p50, p99 or max."""
    return lambda _run, this, target: float(this.samples[load, target].reading.frame[rank])


def added_age(load: str, rank: str) -> Quantity:
    """What of `age` a target adds to the direct way."""
    whole = age(load, rank)
    return lambda run, this, target: whole(run, this, target) - whole(run, this, DIRECT)


def pace(load: str) -> Quantity:
    """Frames a second that came through."""

    def quantity(_run: Run, this: Round, target: str) -> float:
        reading = this.samples[load, target].reading
        return reading.frames / reading.seconds

    return quantity


def stream_memory(_run: Run, this: Round, target: str) -> float:
    """Resident KiB for each open stream."""
    sample = this.samples["open", target]
    before, during = sample.resident
    return (during - before) / sample.load.streams / 1024


def idle_memory(_run: Run, this: Round, target: str) -> float:
    """Resident MiB of a process that has just started."""
    return this.starts[target].idle_bytes / 2**20


def start_cpu(_run: Run, this: Round, target: str) -> float:
    """CPU seconds from the start of a process to its first answer."""
    return this.starts[target].start_cpu


def by_round(run: Run, quantity: Quantity, target: str) -> tuple[float, ...]:
    """Return a quantity of one target in each round that looked at it."""
    values = []
    for this in run.rounds:
        with suppress(LookupError):
            values.append(quantity(run, this, target))
    return tuple(values)


def ratios(run: Run, quantity: Quantity, target: str = OURS, reference: str = REFERENCE) -> tuple[float, ...]:
    """Return a quantity over the reference's in each round that looked at both.

    A round in which the reference's is lost in the noise, at zero or below, has no ratio.
    """

    def ratio(run: Run, this: Round, target: str) -> float:
        other = quantity(run, this, reference)
        if other <= 0:
            raise LookupError(reference)
        return quantity(run, this, target) / other

    return by_round(run, ratio, target)

"""The measuring: rounds in which every load visits every target, in an order that is drawn anew."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from bench.loads import REQUEST, Load
from bench.native import BenchError, Reading, run_client
from bench.targets import Target


@dataclass(frozen=True)
class Sample:
    """One visit of a load to a target.

    Of a load that has a pace its middle is counted, from the moment when all of its streams have begun until
    the first of them is about to end. So what it takes to open and to end streams falls on no frame, be the
    load short or long. A load without a pace is counted whole.
    """

    load: Load
    #: CPU seconds that the target's processes took in what is counted.
    cpu: float
    #: How long that was.
    seconds: float
    #: How many frames came in it.
    frames: int
    reading: Reading
    #: Resident bytes before the load, and at the moment when all its streams were open.
    resident: tuple[int, int] = (0, 0)


@dataclass
class Round:
    """All that was measured in a round."""

    #: By the names of load and target.
    samples: dict[tuple[str, str], Sample] = field(default_factory=dict)
    #: A fresh start of each target, by its name.
    starts: dict[str, Target] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """All rounds on one set of targets, in one form of stream."""

    rounds: list[Round]
    #: CPU seconds that each target takes in a second of doing nothing.
    idle: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """What the clocks of a target say, and how many frames its client has read by then."""

    cpu: float
    seconds: float
    frames: int

    @classmethod
    def of(cls, target: Target, frames: int) -> "Moment":
        return cls(target.cpu(), time.monotonic(), frames)


Tell = Callable[[str], None]


def steady(
    run: Run,
    targets: Sequence[Target],
    loads: Sequence[Load],
    *,
    key: str,
    shuffle: random.Random,
    tell: Tell,
) -> None:
    """Put every load on every target in each round of `run`.

    Within a load the targets are visited one right after the other, so that their ratio is taken under the
    same weather; the order of loads and of targets is drawn for each round.

    Args:
        run: Where the samples go.
        targets: What runs already. One of them, without a process, is the way past all of them.
        loads: What to put on them.
        key: What the targets ask clients for.
        shuffle: Draws the order.
        tell: Is told what comes next.

    Raises:
        BenchError: A stream failed, came short, or lacked its [DONE].
    """
    if not loads:
        return
    tell("warming up")
    for load in loads:
        for target in targets:
            warm(target, load.short(0.1), key)
    run.idle.update(_idle(targets))
    for number, this in enumerate(run.rounds, 1):
        tell(f"round {number} of {len(run.rounds)}")
        for load in shuffle.sample(loads, len(loads)):
            for target in shuffle.sample(targets, len(targets)):
                this.samples[load.name, target.name] = visit(target, load, key)


def fresh(
    run: Run,
    starters: Mapping[str, Callable[[], AbstractContextManager[Target]]],
    load: Load | None,
    *,
    key: str,
    shuffle: random.Random,
    tell: Tell,
) -> None:
    """Start every target anew in each round of `run`, and put `load` on it, if there is one.

    Memory that a process has once used it seldom gives back, so what open streams take shows only in a
    process that has not had them before.

    Args:
        run: Where the starts and samples go.
        starters: What starts a target, by its name.
        load: Many streams that are open at once.
        key: What the targets ask clients for.
        shuffle: Draws the order.
        tell: Is told what comes next.

    Raises:
        BenchError: A target did not start, or a stream failed.
    """
    for number, this in enumerate(run.rounds, 1):
        what = f"{load.streams:,} open streams" if load else "starting"
        tell(f"{what}, round {number} of {len(run.rounds)}")
        for name in shuffle.sample(list(starters), len(starters)):
            with starters[name]() as target:
                this.starts[name] = target
                if load:
                    warm(target, REQUEST.short(0.01), key)
                    this.samples[load.name, name] = visit(target, load, key)


def warm(target: Target, load: Load, key: str) -> None:
    """Put a load on a target without measuring it.

    Raises:
        BenchError: An answer was not whole.
    """
    _check(target, load, run_client(target.port, key, load))


def visit(target: Target, load: Load, key: str) -> Sample:
    """Put a load on a target, and see that the answers are whole.

    Raises:
        BenchError: They are not, or a load with a pace was too short to have a middle.
    """
    before = during = target.resident()
    moments = {"start": Moment.of(target, 0)}

    def look(mark: str, frames: int) -> None:
        nonlocal during
        moments[mark] = Moment.of(target, frames)
        if mark == "open":
            during = target.resident()

    reading = run_client(target.port, key, load, mark=look)
    moments["end"] = Moment.of(target, reading.frames)
    _check(target, load, reading)
    first, last = map(moments.get, ("open", "closing") if load.rate else ("start", "end"))
    if not first or not last or first.frames == last.frames:
        raise BenchError(
            f"{load.name} on {target.name}: its streams were never all open at once; make them longer"
        )
    return Sample(
        load,
        last.cpu - first.cpu,
        last.seconds - first.seconds,
        last.frames - first.frames,
        reading,
        (before, during),
    )


def _check(target: Target, load: Load, reading: Reading) -> None:
    where, failures = f"{load.name} on {target.name}", reading.failures
    wanted = load.all_requests
    if failures or reading.answers != wanted:
        raise BenchError(f"{where}: {failures} of {wanted} answers failed; the first: {reading.failure}")
    if reading.frames != load.all_frames:
        raise BenchError(f"{where}: {reading.frames} frames came of {load.all_frames}")
    if reading.seconds < 0.9 * load.seconds:
        raise BenchError(f"{where}: took {reading.seconds:.2f} s, but its pace asks for {load.seconds:.2f} s")
    if target.finishes and reading.done != wanted:
        raise BenchError(f"{where}: {wanted - reading.done} streams had no [DONE]")


def _idle(targets: Sequence[Target], seconds: float = 2.0) -> dict[str, float]:
    before = {target.name: target.cpu() for target in targets}
    time.sleep(seconds)
    return {target.name: (target.cpu() - before[target.name]) / seconds for target in targets}

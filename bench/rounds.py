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
    """One visit of a load to a target."""

    load: Load
    #: CPU seconds that the target's processes took meanwhile.
    cpu: float
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
    same weather; the order of loads and of targets is drawn for each round. What a request costs is part of
    each round, since the cost of a frame is what is left without it.

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
    if not any(load.name == REQUEST.name for load in loads):
        loads = [*loads, REQUEST.short(0.3)]
    tell("warming up")
    for load in loads:
        for target in targets:
            visit(target, load.short(0.1), key)
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
                    visit(target, REQUEST.short(0.01), key)
                    this.samples[load.name, name] = visit(target, load, key)


def visit(target: Target, load: Load, key: str) -> Sample:
    """Put a load on a target, and see that the answers are whole.

    Raises:
        BenchError: They are not.
    """
    before = during = target.resident()

    def look() -> None:
        nonlocal during
        during = target.resident()

    cpu = target.cpu()
    reading = run_client(target.port, key, load, when_open=look)
    cpu = target.cpu() - cpu
    _check(target, load, reading)
    return Sample(load, cpu, reading, (before, during))


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

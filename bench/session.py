"""One call of the bench: emitters, targets and loads brought together, and a document made of it."""

import random
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench import machine, peers, report, rounds
from bench.figures import DIRECT
from bench.loads import Load
from bench.native import COMPLIANT, LOCALAI, Form, emitter
from bench.rounds import Round, Run, Tell
from bench.targets import TARGETS, Starter, Target, allow_descriptors, new_key, straightwire

Starters = Mapping[str, Callable[[], AbstractContextManager[Target]]]


def measure(
    loads: Sequence[Load],
    opened: Load | None,
    *,
    starts: bool,
    chosen_peers: Collection[str] = (),
    count: int,
    seed: int,
    tell: Tell,
) -> report.Document:
    """Measure, and return everything that is worth keeping.

    Args:
        loads: What to put on nginx and straightwire, side by side.
        opened: Many streams at once, for processes that have just started; None for none.
        starts: Look at what a start costs, even without `opened`.
        chosen_peers: Names out of `peers.PEERS`.
        count: Rounds.
        seed: Draws the order within each round.
        tell: Is told what comes next.

    Raises:
        BenchError: Something is missing, or an answer was not whole.
    """
    allow_descriptors(opened.streams if opened else 100)
    for peer in chosen_peers:
        peers.install(peers.PEERS[peer])
    shuffle = random.Random(seed)
    conditions, before = machine.conditions(), machine.Weather.now()
    spent: dict[str, float] = {}
    comparisons = []
    for peer in chosen_peers:
        with _timed(spent, peer):
            comparisons += _compare(peer, count=count, shuffle=shuffle, tell=tell)
    run = Run([Round() for _ in range(count)])
    with _side(LOCALAI, TARGETS) as (key, starters):
        with _timed(spent, "loads side by side"):
            _steady(run, starters, loads, key=key, shuffle=shuffle, tell=tell)
        with _timed(spent, "fresh processes"):
            if starts or opened:
                processes = {name: start for name, start in starters.items() if name != DIRECT}
                rounds.fresh(run, processes, opened, key=key, shuffle=shuffle, tell=tell)
    return {
        "conditions": {**conditions, "rounds": count, "seed": seed},
        "weather": {**before.since(), "seconds_spent": {part: round(took) for part, took in spent.items()}},
        **report.document(run),
        "peers": [asdict(line) for line in comparisons],
    }


@contextmanager
def _timed(spent: dict[str, float], part: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    spent[part] = time.monotonic() - began


def _compare(peer: str, *, count: int, shuffle: random.Random, tell: Tell) -> list[peers.Comparison]:
    run = Run([Round() for _ in range(count)])
    tell(f"{peer}, beside straightwire, on a compliant stream")
    with _side(COMPLIANT, {"straightwire": straightwire, peer: peers.STARTERS[peer]}) as (key, starters):
        _steady(run, starters, peers.LOADS, key=key, shuffle=shuffle, tell=tell)
        rounds.fresh(run, starters, None, key=key, shuffle=shuffle, tell=tell)
    return peers.compare(run, peers.PEERS[peer], peers.PEERS[peer].version)


@contextmanager
def _side(form: Form, targets: Mapping[str, Starter]) -> Iterator[tuple[str, Starters]]:
    """Run an emitter, and give a key and what starts each target before it."""
    with tempfile.TemporaryDirectory(prefix="straightwire-bench-") as folder, emitter(form) as (port, _):
        Path(folder).chmod(0o755)  # nginx's worker is not always the user that we are
        key = new_key()
        yield key, {name: partial(start, port, key, Path(folder)) for name, start in targets.items()}


def _steady(
    run: Run, starters: Starters, loads: Sequence[Load], *, key: str, shuffle: random.Random, tell: Tell
) -> None:
    if not loads:
        return
    with ExitStack() as side_by_side:
        targets = [side_by_side.enter_context(start()) for start in starters.values()]
        rounds.steady(run, targets, loads, key=key, shuffle=shuffle, tell=tell)

"""What is counted of a visit, and in which order targets are visited."""

import random
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest

from bench import rounds
from bench.loads import LONE, PACED, REQUEST, Load, opened
from bench.native import LOCALAI, BenchError, Reading, emitter
from bench.rounds import Round, Run
from bench.targets import Target

NOTHING = {"p50": 0, "p99": 0, "max": 0}


@dataclass
class Scripted:
    """A target whose clocks the test sets."""

    name: str = "scripted"
    port: int = 0
    finishes: bool = False
    taken: float = 0.0
    held: int = 0

    def cpu(self):
        return self.taken

    def resident(self):
        return self.held


@pytest.fixture
def clock(monkeypatch):
    """The time, as the test sets it."""
    now = [100.0]
    monkeypatch.setattr("bench.rounds.time.monotonic", lambda: now[0])
    return now


def play(monkeypatch, clock, target, marks):
    """Let the client write these marks: (seconds, CPU seconds, name, frames), and come to its end."""

    def client(_port, _key, load, *, mark):
        for seconds, cpu, name, frames in marks:
            clock[0], target.taken = 100 + seconds, cpu
            target.held += 4096
            mark(name, frames)
        clock[0], target.taken, target.held = 110.0, 9.0, 77
        counts = (load.all_frames, load.all_requests, load.all_requests)
        return Reading(*counts, 0, "", 10.0, 0.0, NOTHING, NOTHING, NOTHING)

    monkeypatch.setattr(rounds, "run_client", client)


MARKS = [(1.0, 2.0, "open", 60), (4.0, 5.0, "closing", 360)]


def test_the_middle_of_a_paced_load_is_counted(monkeypatch, clock):
    target = Scripted(held=1000)
    play(monkeypatch, clock, target, MARKS)
    sample = rounds.visit(target, Load("paced", streams=50, frames=10, rate=40), "key")
    assert (sample.cpu, sample.seconds, sample.frames) == (3.0, 3.0, 300)
    assert sample.resident == (1000, 5096), "before the load, and when all were open"


def test_a_load_without_a_pace_is_counted_whole(monkeypatch, clock):
    target = Scripted(taken=1.0)
    play(monkeypatch, clock, target, MARKS)
    sample = rounds.visit(target, Load("flood", streams=50, frames=10), "key")
    assert (sample.cpu, sample.seconds, sample.frames) == (8.0, 10.0, 500)


@pytest.mark.parametrize("marks", [[], MARKS[:1], MARKS[1:], [MARKS[0], (4.0, 5.0, "closing", 60)]])
def test_a_paced_load_without_a_middle_stops_the_bench(monkeypatch, clock, marks):
    target = Scripted()
    play(monkeypatch, clock, target, marks)
    with pytest.raises(BenchError, match="paced on scripted: its streams were never all open at once"):
        rounds.visit(target, Load("paced", streams=50, frames=10, rate=40), "key")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"failures": 2, "failure": "refused"}, "2 of 4 answers failed; the first: refused"),
        ({"answers": 3}, "0 of 4 answers failed"),
        ({"frames": 39}, "39 frames came of 40"),
        ({"done": 3}, r"1 streams had no \[DONE\]"),
        ({"seconds": 0.4}, "took 0.40 s, but its pace asks for 0.45 s"),
    ],
)
@pytest.mark.parametrize("bear", [rounds.warm, rounds.visit])
def test_answers_that_are_not_whole_stop_the_bench(monkeypatch, bear, wrong, told):
    whole = Reading(40, 4, 4, 0, "", 0.46, 0.0, NOTHING, NOTHING, NOTHING)
    monkeypatch.setattr(rounds, "run_client", lambda *_, **__: replace(whole, **wrong))
    with pytest.raises(BenchError, match=f"^paced on scripted: {told}"):
        bear(Scripted(finishes=True), Load("paced", streams=4, frames=10, rate=20), "key")


def test_a_lone_stream_is_counted_between_its_first_frame_and_its_last_but_one():
    with emitter(LOCALAI) as (port, pid):
        sample = rounds.visit(Target("emitter", port, pid), Load("lone", 1, 10, rate=100), "key")
        whole = rounds.visit(Target("emitter", port, pid), Load("request", 1, 1, requests=10), "key")
    assert (sample.frames, whole.frames) == (8, 10)
    assert 0 < sample.seconds < sample.reading.seconds
    assert sample.cpu > 0
    assert 0 < whole.reading.seconds < whole.seconds


def test_every_target_bears_every_load_once_a_round_in_an_order_of_its_own(monkeypatch):
    warming, measured = [], []
    monkeypatch.setattr(rounds, "warm", lambda target, load, _key: warming.append((load, target.name)))
    monkeypatch.setattr(rounds, "visit", lambda target, load, _key: measured.append((load, target.name)))
    monkeypatch.setattr("bench.rounds.time.sleep", lambda _: None)
    targets = [Scripted(name) for name in "abc"]
    run = Run([Round() for _ in range(8)])

    rounds.steady(run, targets, [PACED, REQUEST], key="key", shuffle=random.Random(1), tell=lambda _: None)

    assert set(warming) == {(load.short(0.1), name) for load in (PACED, REQUEST) for name in "abc"}
    assert len(measured) == 8 * 6
    orders = set()
    for start in range(0, len(measured), 3):
        together = measured[start : start + 3]
        assert len({load for load, _ in together}) == 1, "one load, at all targets, one right after the other"
        assert sorted(name for _, name in together) == ["a", "b", "c"]
        orders.add(tuple(name for _, name in together))
    assert len(orders) > 3
    assert all(len(this.samples) == 6 for this in run.rounds)
    assert run.idle == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_open_streams_are_put_on_processes_that_have_just_started(monkeypatch):
    told, running = [], []

    @contextmanager
    def start(name):
        running.append(name)
        yield Scripted(name)
        running.remove(name)

    def visit(target, load, _key):
        assert running == [target.name], "no other runs beside it"
        assert told[-1] == (target.name, REQUEST.short(0.01)), "it has answered before"
        return load

    monkeypatch.setattr(rounds, "warm", lambda target, load, _key: told.append((target.name, load)))
    monkeypatch.setattr(rounds, "visit", visit)
    run, load = Run([Round(), Round()]), opened(10, ramp=1, stay=3)
    starters = {name: partial(start, name) for name in "ab"}

    rounds.fresh(run, starters, load, key="key", shuffle=random.Random(1), tell=lambda _: None)

    for this in run.rounds:
        assert sorted(this.starts) == ["a", "b"]
        assert this.samples == {("open", "a"): load, ("open", "b"): load}


def test_what_a_target_takes_idle_is_by_the_second(monkeypatch):
    target = Scripted()
    monkeypatch.setattr(rounds, "warm", lambda *_: None)
    monkeypatch.setattr("bench.rounds.time.sleep", lambda seconds: setattr(target, "taken", 0.5 * seconds))
    run = Run([])
    rounds.steady(run, [target], [LONE], key="key", shuffle=random.Random(1), tell=lambda _: None)
    assert run.idle == {"scripted": 0.5}


def test_a_load_is_as_long_as_its_pace_asks():
    load = Load("paced", streams=3, frames=11, rate=10, requests=2, gap=500_000)
    assert (load.all_frames, load.all_requests, load.seconds) == (66, 6, 3.0)
    assert replace(load, rate=0).seconds == 1.0


def test_a_short_load_is_as_wide_and_as_fast():
    assert PACED.short(0.4) == replace(PACED, frames=80)
    assert REQUEST.short(0.4) == replace(REQUEST, requests=800)
    assert LONE.short(0.0001).frames == 1
    flood = Load("flood", streams=4, frames=100)
    assert flood.short(0.1) == flood, "it is over too soon to be shortened"


def test_open_streams_start_evenly_and_are_all_open_for_a_while():
    load = opened(500, ramp=8, stay=4)
    assert (load.streams, load.frames, load.rate, load.gap) == (500, 12, 1, 16_000)
    until_the_first_is_about_to_end = load.frames - 2
    assert load.streams * load.gap / 1e6 < until_the_first_is_about_to_end

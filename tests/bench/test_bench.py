"""The bench works: its programs build, small loads go through nginx and straightwire, the table is made."""

import json
import os
import shutil
import socket
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bench import native, peers, report, rounds, session
from bench.loads import FLOOD, LONE, PACED, REQUEST, Load
from bench.native import LOCALAI, BenchError, emitter, run_client
from bench.targets import TARGETS, Target, find_nginx

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler: gcc, libc6-dev")


@pytest.fixture
def upstream():
    with emitter(LOCALAI) as (port, _):
        yield port


@pytest.mark.skipif(not NGINX, reason="needs nginx: nginx-light")
def test_a_small_run_goes_all_the_way_to_the_tables():
    told = []
    document = session.measure(
        # Few streams that last, so that they are all open at once on a busy machine, too.
        [replace(PACED, streams=10, frames=40), *(load.short(0.1) for load in (LONE, FLOOD, REQUEST))],
        Load("open", streams=20, frames=10, rate=10, gap=1000),
        starts=True,
        count=1,
        seed=1,
        tell=told.append,
    )
    document = json.loads(json.dumps(document))

    assert list(document["targets"]) == ["paced", "lone", "flood", "request", "open"]
    for load, by_target in document["targets"].items():
        assert list(by_target) == ["direct"] * (load != "open") + ["nginx", "straightwire"]
        assert all(found["frames_per_second"] > 0 and found["p50_us"] > 0 for found in by_target.values())
    # So small a load can be lost in the noise, and has no ratio then: which goals have one is not certain.
    results = {(result.load, result.what): result for result in report.results(document)}
    certain = [
        ("20 open streams, 1 frame/s each", "age of a frame, p99"),
        ("idle", "memory"),
        ("start", "CPU"),
    ]
    assert all(results[line].straightwire > 0 for line in certain)
    assert results["idle", "memory"].nginx > 0
    assert len(report.goals_table(document).splitlines()) == len(results) + 2
    assert "| flood" in report.targets_table(document)
    assert document["conditions"]["versions"]["nginx"][0].isdigit()
    assert told == ["warming up", "round 1 of 1", "20 open streams, round 1 of 1"]


def test_every_frame_is_counted_and_stamped(upstream):
    load = Load("paced", streams=3, frames=7, rate=200, requests=2)
    reading = run_client(upstream, "any", load)
    assert (reading.frames, reading.answers, reading.failures, reading.done) == (42, 6, 0, 0)
    assert 0 < reading.frame["p50"] <= reading.frame["max"] < 10_000_000
    assert reading.seconds >= 0.9 * load.seconds == pytest.approx(0.9 * 2 * 6 / 200)


def test_streams_are_seen_when_all_are_open_and_before_one_ends(upstream):
    marks = []
    load = Load("open", streams=4, frames=20, rate=20, gap=50_000)
    run_client(upstream, "any", load, mark=lambda name, frames: marks.append((name, frames)))
    (first, begun), (last, left) = marks
    assert (first, last) == ("open", "closing")
    assert 4 <= begun < left <= 4 * 19, "each has read a frame, and each still has one to read"


def test_streams_that_are_not_all_open_at_once_are_not_said_to_be(upstream):
    marks = []
    load = Load("open", streams=2, frames=3, rate=20, gap=1_000_000)
    run_client(upstream, "any", load, mark=lambda name, _: marks.append(name))
    assert marks == ["closing"]


def test_a_stream_without_done_stops_the_bench(upstream):
    """LocalAI's own stream is one; the bench would notice if straightwire let it through."""
    with pytest.raises(BenchError, match=r"flood on pretender: 2 streams had no \[DONE\]"):
        rounds.visit(Target("pretender", upstream, 0, finishes=True), Load("flood", 2, 5), "any")


def test_a_pace_that_is_not_kept_stops_the_bench(upstream, monkeypatch):
    """A gateway that does not pass on what the emitter is told would look cheap."""
    monkeypatch.setattr(Load, "body", Load("flood", 1, 50).body)
    with pytest.raises(BenchError, match=r"paced on direct: took 0\.\d\d s, but its pace asks for 0\.98 s"):
        rounds.visit(Target("direct", upstream, 0), Load("paced", 1, 50, rate=50), "any")


def test_a_refusal_stops_the_bench(upstream, tmp_path):
    starter = TARGETS["straightwire"]
    with starter(upstream, "right", tmp_path) as target:
        with pytest.raises(
            BenchError,
            match=r"request on straightwire: 1 of 1 answers failed; .*: HTTP/1\.1 401 Unauthorized$",
        ):
            rounds.visit(target, Load("request", 1, 1), "wrong")
        assert rounds.visit(target, Load("request", 1, 1), "right").cpu > 0


def test_a_target_that_does_not_start_is_told_with_its_words(tmp_path):
    with (
        pytest.raises(BenchError, match="straightwire ended with status 2; its last words"),
        TARGETS["straightwire"](1, 'a"', tmp_path),
    ):
        pytest.fail("it started")


def test_what_the_machine_lacks_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(native, "BUILD", tmp_path)
    monkeypatch.delenv("CC", raising=False)
    native.build.cache_clear()
    with pytest.raises(BenchError, match=r"needs a C compiler; .*sudo apt install gcc libc6-dev"):
        native.build("client")
    with pytest.raises(BenchError, match=r"needs nginx .*sudo apt install nginx-light"):
        find_nginx()


def test_a_client_that_does_not_come_to_an_end_is_told(monkeypatch):
    monkeypatch.setattr(native, "_PATIENCE", 1.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BenchError, match="flood: the streams did not end within 1 s"),
    ):
        run_client(silent.getsockname()[1], "any", Load("flood", 1, 1))


def test_a_client_that_dies_is_told(monkeypatch):
    monkeypatch.setattr(native, "build", lambda _: shutil.which("false"))
    with pytest.raises(BenchError, match="flood: the client ended with status 1"):
        run_client(1, "any", Load("flood", 1, 1))


def test_a_peer_is_installed_first_and_then_measured_beside_straightwire(monkeypatch):
    told = []

    @contextmanager
    def start(upstream, key, folder):
        with TARGETS["straightwire"](upstream, key, folder) as target:
            yield replace(target, name="litellm")

    monkeypatch.setattr(peers, "install", lambda peer: told.append(f"installing {peer.name}"))
    monkeypatch.setattr(peers, "STARTERS", {"litellm": start})
    monkeypatch.setattr(peers.Peer, "version", "1.2.3")
    monkeypatch.setattr(peers, "LOADS", [Load("paced", 2, 10, rate=20), Load("request", 1, 1, requests=20)])

    document = session.measure(
        [], None, starts=False, chosen_peers=["litellm"], count=1, seed=1, tell=told.append
    )

    assert told[:2] == ["installing litellm", "litellm, beside straightwire, on a compliant stream"]
    lines = report.comparisons(document)
    assert [line.target for line in lines] == [10.0, 75.0, None, None]
    assert all((line.peer, line.version) == ("litellm", "1.2.3") for line in lines)
    assert all(line.straightwire > 0 and line.peers > 0 for line in lines)
    assert (document["goals"], document["targets"]) == ([], {})
    assert sorted(document["weather"]["seconds_spent"]) == [
        "fresh processes",
        "litellm",
        "loads side by side",
    ]


@pytest.mark.skipif(not NGINX, reason="needs nginx: nginx-light")
def test_starts_are_measured_without_open_streams():
    document = session.measure([], None, starts=True, count=1, seed=1, tell=lambda _: None)
    results = report.results(document)
    assert [(result.load, result.what) for result in results] == [("idle", "memory"), ("start", "CPU")]
    assert all(0 < result.nginx < result.straightwire for result in results)


def test_too_many_streams_for_the_machine_are_refused_before_anything_starts():
    with pytest.raises(BenchError, match=r"1,000,000,000 streams need .* open files.*ulimit -n.*--streams"):
        session.measure([], Load("open", 10**9, 1), starts=False, count=1, seed=1, tell=print)

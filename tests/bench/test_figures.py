"""Samples become the figures that the method promises."""

import pytest

from bench import figures, goals, peers
from bench.loads import Load
from bench.native import Reading
from bench.rounds import Round, Run, Sample
from bench.targets import Target

PACED = Load("paced", streams=10, frames=101, rate=50)
REQUEST = Load("request", streams=1, frames=1, requests=100)


def sample(load, cpu, *, p50=0, resident=(0, 0)):
    latency = {"p50": p50, "p99": p50, "max": p50}
    counts = (load.all_frames, load.all_requests, load.all_requests)
    return Sample(load, cpu, Reading(*counts, 0, "", 2.0, 0.0, latency, latency, latency), resident)


def one_round(*, paced, request=0.1, nginx=0.2):
    return Round(
        {
            ("paced", "straightwire"): sample(PACED, paced),
            ("paced", "nginx"): sample(PACED, nginx),
            ("request", "straightwire"): sample(REQUEST, request),
            ("request", "nginx"): sample(REQUEST, 0.02),
        }
    )


def test_a_frame_costs_what_neither_idling_nor_requests_cost():
    run = Run([one_round(paced=0.151)], {"straightwire": 0.02, "nginx": 0.0})
    # 100 requests took 0.1 s, 0.04 s of it idle: 600 µs each. 0.151 - 0.04 - 10 × 0.0006 = 0.105 s.
    (cost,) = figures.by_round(run, figures.frame_cost("paced"), "straightwire")
    assert cost == pytest.approx(105)


def test_a_ratio_is_taken_within_its_round_and_the_median_counts():
    busy = one_round(paced=4 * 0.31, request=0.4, nginx=4 * 0.102)
    run = Run([one_round(paced=0.31, nginx=0.102), busy, one_round(paced=0.91, nginx=0.102)])
    run.idle.update(straightwire=0.0, nginx=0.0)

    result = goals.judge(run)[0]

    assert result.values == pytest.approx((3.0, 3.0, 9.0), rel=0.02)
    assert (result.median, result.verdict) == (pytest.approx(3.0, rel=0.02), "missed")


def test_a_reference_lost_in_the_noise_makes_no_ratio():
    run = Run([one_round(paced=0.3, nginx=0.0)], {"straightwire": 0.0, "nginx": 0.0})
    assert figures.ratios(run, figures.frame_cost("paced")) == ()
    assert [result.what for result in goals.judge(run)] == ["CPU per request"]


def test_latency_counts_beyond_the_direct_way():
    lone = Load("lone", streams=1, frames=10)
    ages = {"direct": 20, "nginx": 40, "straightwire": 50}
    run = Run([Round({("lone", name): sample(lone, 0.0, p50=age) for name, age in ages.items()})])
    (result,) = goals.judge(run)
    assert (result.values, result.straightwire, result.nginx, result.verdict) == ((1.5,), 30, 20, "met")


def test_memory_is_counted_for_each_stream_and_named_with_their_number():
    load = Load("open", streams=2048, frames=1)
    run = Run([Round({("open", "straightwire"): sample(load, 0.0, p50=1_000, resident=(2**20, 41 * 2**20))})])
    memory, slowest = goals.judge(run)
    assert (memory.load, memory.values, memory.verdict) == (
        "2,048 open streams, 1 frame/s each",
        (20.0,),
        "stretch",
    )
    assert (slowest.straightwire, slowest.nginx) == (1.0, None)


def test_a_peer_is_compared_with_straightwire():
    this = one_round(paced=0.2)
    this.samples["paced", "other"] = sample(PACED, 2.0)
    this.samples["request", "other"] = sample(REQUEST, 1.0)
    for name, factor in (("straightwire", 1), ("other", 4)):
        this.starts[name] = Target(name, 0, 0, start_cpu=0.5 * factor, idle_bytes=factor * 2**20)
    run = Run([this], dict.fromkeys(("straightwire", "other"), 0.0))

    other = peers.Peer("other[all]", lambda *_: [], goals=(9.0, None))
    compared = peers.compare(run, other, "1.2")

    assert [line.values[0] for line in compared] == pytest.approx([1.9 / 0.19, 10.0, 4.0, 4.0])
    assert [line.target for line in compared] == [9.0, None, None, None]
    assert {(line.peer, line.version) for line in compared} == {("other", "1.2")}

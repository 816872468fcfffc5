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
    reading = Reading(*counts, 0, "", 2.5, 0.0, latency, latency, latency)
    return Sample(load, cpu, 2.0, load.all_frames - 10 if load.rate else load.all_frames, reading, resident)


def one_round(*, paced, request=0.1, nginx=0.2):
    return Round(
        {
            ("paced", "straightwire"): sample(PACED, paced),
            ("paced", "nginx"): sample(PACED, nginx),
            ("request", "straightwire"): sample(REQUEST, request),
            ("request", "nginx"): sample(REQUEST, 0.02),
        }
    )


def test_a_frame_costs_what_was_counted_but_for_idling():
    run = Run([one_round(paced=0.15)], {"straightwire": 0.02, "nginx": 0.0})
    (frame,) = figures.by_round(run, figures.cost("paced"), "straightwire")
    (request,) = figures.by_round(run, figures.cost("request"), "straightwire")
    assert frame == pytest.approx(110), "two seconds of idling at 0.02 s each, and 1,000 frames"
    assert request == pytest.approx(600), "likewise, and 100 requests"


def test_a_ratio_is_taken_within_its_round_and_the_median_counts():
    busy = one_round(paced=4 * 0.3, request=0.4, nginx=4 * 0.1)
    run = Run([one_round(paced=0.3, nginx=0.1), busy, one_round(paced=0.9, nginx=0.1)])
    run.idle.update(straightwire=0.0, nginx=0.0)

    result = goals.judge(run)[0]

    assert result.values == pytest.approx((3.0, 3.0, 9.0))
    assert (result.straightwire, result.nginx) == (pytest.approx(900), pytest.approx(100))
    assert (result.median, result.verdict) == (pytest.approx(3.0), "missed")


def test_a_reference_lost_in_the_noise_makes_no_ratio():
    run = Run([one_round(paced=0.3, nginx=0.0)], {"straightwire": 0.0, "nginx": 0.0})
    assert figures.ratios(run, figures.cost("paced")) == ()
    assert [result.what for result in goals.judge(run)] == ["CPU per request"]


def test_every_goal_is_about_its_own_load():
    samples = {}
    for number, name in enumerate(["paced", "lone", "flood", "request"], 1):
        for target, times in (("direct", 0), ("nginx", 1), ("straightwire", 2)):
            samples[name, target] = sample(REQUEST, 0.001 * number * times, p50=10 * (1 + times))
    crowd = sample(Load("open", streams=1024, frames=1), 0.0, resident=(0, 16 * 2**20))
    crowd.reading.frame.update(p50=1_000, p99=4_000, max=9_000)
    samples["open", "straightwire"] = crowd
    start = Target("straightwire", 0, 0, start_cpu=0.4, idle_bytes=50 * 2**20)
    run = Run([Round(samples, {"straightwire": start})], dict.fromkeys(("nginx", "straightwire"), 0.0))

    results = goals.judge(run)

    assert [round(result.straightwire, 6) for result in results] == [20, 40, 20, 60, 80, 16, 4, 50, 0.4]
    assert [round(result.median, 6) for result in results] == [2, 2, 2, 60, 2, 16, 4, 50, 0.4]


def test_a_target_without_a_sample_in_a_round_is_left_out_of_it():
    first, second = one_round(paced=0.1), one_round(paced=0.3)
    del first.samples["paced", "straightwire"]
    run = Run([first, second], {"straightwire": 0.0})
    assert figures.by_round(run, figures.cost("paced"), "straightwire") == (pytest.approx(300),)


def test_a_pace_is_what_came_over_the_whole_time():
    run = Run([one_round(paced=0.1)])
    assert figures.by_round(run, figures.pace("paced"), "nginx") == (1010 / 2.5,)


def test_a_start_is_told_in_seconds_and_in_mebibytes():
    target = Target("straightwire", 0, 0, start_cpu=0.4, idle_bytes=50 * 2**20)
    memory, cpu = goals.judge(Run([Round(starts={"straightwire": target})]))
    assert (memory.load, memory.straightwire, memory.unit) == ("idle", 50.0, "MiB")
    assert (cpu.load, cpu.straightwire, cpu.unit) == ("start", 0.4, "s")


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.25, "stretch"), (1.26, "met"), (1.4, "met"), (1.41, "missed")]
)
def test_a_target_is_met_by_what_does_not_go_beyond_it(value, verdict):
    result = goals.Result("load", "what", "µs", 1.4, 1.25, True, (0.1, value, 9.0), 1.0, None)
    assert result.verdict == verdict


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

    assert [line.values[0] for line in compared] == pytest.approx([10.0, 10.0, 4.0, 4.0])
    assert [line.straightwire for line in compared] == pytest.approx([200, 1_000, 1.0, 0.5])
    assert [line.peers for line in compared] == pytest.approx([2_000, 10_000, 4.0, 2.0])
    assert [line.target for line in compared] == [9.0, None, None, None]
    assert {(line.peer, line.version) for line in compared} == {("other", "1.2")}

"""What is shown of a measuring: the tables, and what is promised in them."""

import pytest

from bench import documents, report
from bench.goals import GOALS, Result
from bench.peers import PEERS, Comparison
from bench.rounds import Round, Run, Sample
from tests.bench.test_figures import REQUEST, sample

RELATIVE = Result("50 streams", "CPU per frame", "µs", 1.4, 1.25, True, (1.5, 1.2, 1.3), 23.46, 18.04)
ABSOLUTE = Result("start", "CPU", "s", 0.6, 0.35, False, (0.7, 0.4, 0.9), 0.7, None)


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def document(**parts):
    return {"goals": [], "targets": {}, "peers": [], **parts}


def test_a_goal_has_a_row_with_its_verdict():
    head, _, relative, absolute = cells(report.goals_table(document(goals=[vars(RELATIVE), vars(ABSOLUTE)])))
    assert head == [
        "load",
        "what",
        "target",
        "stretch",
        "measured",
        "min … max",
        "met",
        "straightwire",
        "nginx",
    ]
    assert relative == [
        *("50 streams", "CPU per frame", "1.40 ×", "1.25 ×", "1.30 ×", "1.20 × … 1.50 ×", "yes"),
        *("23.5 µs", "18 µs"),
    ]
    assert absolute == ["start", "CPU", "0.6 s", "0.35 s", "0.7 s", "0.4 s … 0.9 s", "**no**", "0.7 s", ""]


def test_the_summary_has_the_same_figures_in_fewer_columns():
    head, _, row = cells(report.summary_table(document(goals=[vars(RELATIVE)])))
    assert head == ["load", "what", "straightwire", "nginx", "measured", "goal"]
    assert row == ["50 streams", "CPU per frame", "23.5 µs", "18 µs", "1.30 ×", "1.40 ×"]


def test_a_peer_has_a_row():
    line = Comparison("other", "1.2", "CPU", "µs", 10.0, (14.0, 11.0, 12.0), 40.0, 520.0)
    _, _, row = cells(report.peers_table(document(peers=[vars(line)])))
    assert row == ["other 1.2", "CPU", "at least 10 ×", "12 ×", "11 × … 14 ×", "40 µs", "520 µs"]


def test_each_load_has_a_row_for_each_target():
    samples = {}
    for name, cpu in (("direct", 0.0), ("nginx", 0.01), ("straightwire", 0.03)):
        samples["request", name] = sample(REQUEST, cpu, p50=7)
    run = Run([Round(samples)], dict.fromkeys(("direct", "nginx", "straightwire"), 0.0))
    rows = cells(report.targets_table(report.document(run)))[2:]
    assert rows == [
        ["request", name, f"{cost} µs a request", "40", "7", "7", "7"]
        for name, cost in (("direct", "0.00"), ("nginx", "100.00"), ("straightwire", "300.00"))
    ]


def test_ages_are_told_by_their_rank_and_a_cost_that_is_not_known_is_left_out():
    reading = sample(REQUEST, 0.0).reading
    ages = {"p50": 1, "p99": 22, "max": 333}
    reading.frame.update(ages)
    run = Run([Round({("open", "nginx"): Sample(REQUEST, 0.1, 1.0, 100, reading)})])
    (row,) = cells(report.targets_table(report.document(run)))[2:]
    assert row == ["open", "nginx", "", "40", "1", "22", "333"]


def test_what_a_measuring_took_is_told_part_by_part():
    spent = {"weather": {"seconds": 70, "seconds_spent": {"litellm": 40, "fresh processes": 29}}}
    assert report.durations(spent) == "It took 70 s: litellm 40 s, fresh processes 29 s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.344, "0.34"),
        (2.0, "2"),
        (9.99, "9.99"),
        (57.84, "57.8"),
        (60.0, "60"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_a_number_has_three_digits(value, text):
    assert report.number(value) == text


def test_what_is_promised_is_what_is_quoted():
    """A target that moves has to be measured anew, and shows in the documents."""
    for goal, line in zip(GOALS, report.results(documents.quoted()), strict=True):
        assert (goal.what, goal.unit, goal.target, goal.stretch, goal.is_relative) == (
            *(line.what, line.unit, line.target, line.stretch, line.is_relative),
        )
    promised = {line.target for line in report.comparisons(documents.quoted()) if line.peer == "litellm"}
    assert promised == {*PEERS["litellm"].goals, None}

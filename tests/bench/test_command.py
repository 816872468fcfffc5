"""The command `python -m bench`: what its options choose, and what it leaves behind."""

import json

import pytest
from click.testing import CliRunner

from bench import documents, session
from bench.__main__ import bench
from bench.loads import FLOOD, LOADS, LONE, PACED, REQUEST, opened
from bench.native import BenchError

FULL, QUICK = opened(5_000, ramp=12, stay=6), opened(1_000, ramp=2, stay=5)


@pytest.fixture
def asked(monkeypatch):
    """What the command asks for; it is told what the documents quote."""
    asked = {}

    def measure(loads, many, **options):
        asked.update(options, loads=loads, many=many)
        return documents.quoted()

    monkeypatch.setattr(session, "measure", measure)
    return asked


@pytest.mark.parametrize(
    ("options", "loads", "many", "others"),
    [
        ([], list(LOADS.values()), FULL, (True, 5)),
        (["--rounds", "9", "--load", "lone", "--load", "paced"], [PACED, LONE], None, (False, 9)),
        (["--load", "open", "--streams", "70"], [], opened(70, ramp=12, stay=6), (False, 5)),
        (["--load", "start", "--load", "flood"], [FLOOD], None, (True, 5)),
        (["--quick"], [PACED.short(0.4), LONE.short(0.4), FLOOD, REQUEST.short(0.4)], QUICK, (True, 5)),
    ],
)
def test_what_is_chosen_is_measured(asked, options, loads, many, others):
    result = CliRunner().invoke(bench, options)
    assert result.exit_code == 0, result.output
    assert (asked["loads"], asked["many"]) == (loads, many)
    assert (asked["starts"], asked["count"]) == others


def test_peers_and_the_seed_are_passed_on(asked):
    CliRunner().invoke(bench, ["--peers", "litellm", "--peers", "lm-proxy", "--seed", "7"])
    assert (asked["chosen_peers"], asked["seed"]) == (("litellm", "lm-proxy"), 7)


def test_all_tables_are_shown_and_kept(asked, tmp_path):
    result = CliRunner().invoke(bench, ["--results", str(tmp_path / "new" / "results.json")])
    for said in ("| target ", "| straightwire", "| peer ", "Other work took", "Python built by", "It took"):
        assert said in result.output
    assert json.loads((tmp_path / "new" / "results.json").read_text("utf-8")) == documents.quoted()
    assert "</svg>" in (tmp_path / "new" / "results.svg").read_text("utf-8")


def test_what_stops_the_bench_is_told_in_a_line(monkeypatch):
    def measure(*_, **__):
        raise BenchError("paced on nginx: 1 of 50 answers failed")

    monkeypatch.setattr(session, "measure", measure)
    result = CliRunner().invoke(bench, [])
    assert (result.exit_code, result.output) == (1, "bench: paced on nginx: 1 of 50 answers failed\n")

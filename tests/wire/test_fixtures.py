"""Every fixture: what must leave, whatever way the bytes are cut, and what is counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.repairs import CATALOGUE
from tests.wire.body_cases import all_bodies
from tests.wire.cases import FIXTURES, Case, all_cases
from tests.wire.contract import check_stream
from tests.wire.cuts import cut

CASES = all_cases()
#: Less than an event is long, so that most events are cut somewhere in each play.
STRIDE = 61
case_of = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@case_of
def test_what_leaves_is_what_is_expected(case: Case) -> None:
    out, report = case.play([case.upstream])
    assert out.decode() == case.expected.decode()
    assert report.repairs == case.facts["repairs"]
    assert report.outcome == case.facts.get("outcome", "complete")


@pytest.mark.sweep
@case_of
def test_the_cut_makes_no_difference_wherever_it_is(case: Case) -> None:
    # Every place is a cut of one of these plays. A play for each would take minutes.
    for phase in range(STRIDE):
        places = list(range(phase, len(case.upstream) + 1, STRIDE))
        out, report = case.play(cut(case.upstream, places))
        assert out == case.expected, f"cut at {places}"
        assert report.repairs == case.facts["repairs"], f"cut at {places}"


@pytest.mark.sweep
@case_of
def test_byte_by_byte_it_is_the_same(case: Case) -> None:
    out, report = case.play(case.upstream[place : place + 1] for place in range(len(case.upstream)))
    assert out == case.expected
    assert report.repairs == case.facts["repairs"]


@pytest.mark.sweep
@case_of
@settings(max_examples=10)
@given(data=st.data())
def test_any_cuts_make_no_difference(case: Case, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(case.upstream))))
    out, report = case.play(cut(case.upstream, places))
    assert out == case.expected
    assert report.repairs == case.facts["repairs"]


@case_of
def test_what_leaves_keeps_the_contract(case: Case) -> None:
    if case.facts.get("switches"):
        assert case.expected, "a case with switches must say what leaves"
        return
    answer = check_stream(case.expected, case.request)
    assert answer.done == (case.facts.get("outcome", "complete") == "complete")


@case_of
def test_what_left_passes_again_untouched(case: Case) -> None:
    again = Case(case.name, case.expected, case.expected, {"request": case.facts["request"]})
    out, report = again.play([case.expected])
    if case.facts.get("switches"):
        return
    assert out == case.expected
    assert report.repairs == {}


def test_every_case_says_where_its_bytes_come_from() -> None:
    assert CASES
    for case in CASES:
        assert len(case.facts["source"]) > 20, case.name


def test_every_case_counts_repairs_that_exist() -> None:
    for case in CASES:
        assert set(case.facts["repairs"]) <= set(CATALOGUE), case.name


def test_every_repair_has_a_fixture_that_counts_it() -> None:
    cases = (*CASES, *all_bodies())
    counted = {(case.name.split("/")[0], name) for case in cases for name in case.facts["repairs"]}
    missing = [name for name in CATALOGUE if (name, name) not in counted]
    assert not missing, f"no case in fixtures/<name>/ counts: {missing}"


def test_every_folder_of_fixtures_is_known() -> None:
    scenarios = {"localai", "localai-bodies", "localai-eras", "compliant", "endings"}
    assert {path.name for path in FIXTURES.iterdir()} <= scenarios | set(CATALOGUE)

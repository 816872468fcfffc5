"""Catalogue and switches, compiled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.chunk import Origin, StreamState
from proxy.wire.plan import Plan, Step, compile_plan, run
from proxy.wire.repairs import CATALOGUE, ORDER
from proxy.wire.repairs.entry import DROPPED, KEPT, NOTED, REPAIRED, Outcome
from proxy.wire.requests import Endpoint, Request

SWITCHABLE = [repair for repair in ORDER if not repair.fixed]
FIXED = [repair.name for repair in ORDER if repair.fixed]


def names(plan: Plan, endpoint: Endpoint) -> list[str]:
    """The repairs of an endpoint's plan, in the order in which they run."""
    steps = plan.steps[endpoint]
    return [name for field in steps.__slots__ for name, _ in getattr(steps, field)]


def test_without_switches_each_repair_is_as_the_catalogue_says() -> None:
    assert compile_plan().on == {repair.name for repair in ORDER if repair.default}


@pytest.mark.parametrize("repair", SWITCHABLE, ids=lambda repair: repair.name)
@pytest.mark.parametrize("is_on", [True, False])
def test_a_switch_turns_just_its_repair(repair: Any, is_on: bool) -> None:
    plan = compile_plan({repair.name: is_on})

    assert (repair.name in plan.on) is is_on
    assert plan.on ^ compile_plan().on <= {repair.name}
    for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS):
        runs = is_on and endpoint in repair.endpoints and repair.apply is not None
        assert (repair.name in names(plan, endpoint)) is runs


@pytest.mark.parametrize("name", FIXED)
def test_what_no_stream_can_do_without_cannot_be_switched_off(name: str) -> None:
    assert name in compile_plan({name: True}).on
    with pytest.raises(KeyError, match=name):
        compile_plan({name: False})


def test_a_switch_of_nothing_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="repeated-rolle"):
        compile_plan({"repeated-rolle": True})


@given(st.dictionaries(st.sampled_from([repair.name for repair in SWITCHABLE]), st.booleans()))
def test_what_is_on_runs_in_the_order_of_the_catalogue(switches: dict[str, bool]) -> None:
    plan = compile_plan(switches)
    order = {repair.name: place for place, repair in enumerate(ORDER)}
    for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS):
        steps = plan.steps[endpoint]
        for field in steps.__slots__:
            places = [order[name] for name, _ in getattr(steps, field)]
            assert places == sorted(places)
        applied = names(plan, endpoint)
        assert len(applied) == len(set(applied))
        assert set(applied) == {
            name for name in plan.on if CATALOGUE[name].apply and endpoint in CATALOGUE[name].endpoints
        }


def test_missing_finish_is_an_error_unless_it_is_told_otherwise() -> None:
    assert compile_plan().missing_finish == "error"
    assert compile_plan(missing_finish="stop").missing_finish == "stop"


def always(outcome: Outcome) -> Step:
    return str(outcome), lambda *given: outcome


@pytest.mark.parametrize(
    ("outcomes", "changed", "counted"),
    [
        ([], False, {}),
        ([KEPT, KEPT], False, {}),
        ([NOTED], False, {"1": 1}),
        ([KEPT, REPAIRED], True, {"2": 1}),
        ([REPAIRED, REPAIRED, NOTED], True, {"2": 2, "1": 1}),
        ([DROPPED], True, {"3": 1}),
    ],
)
def test_the_loop_counts_what_acted_and_says_what_changed(
    outcomes: list[Outcome], changed: bool, counted: dict[str, int]
) -> None:
    stream = StreamState(Request(Endpoint.CHAT), Origin("token", 1))

    assert run(tuple(map(always, outcomes)), stream, {}) is changed
    assert stream.repairs == counted


def test_each_repair_is_given_what_the_one_before_it_left() -> None:
    stream = StreamState(Request(Endpoint.CHAT), Origin("token", 1))
    seen: list[list[str]] = []

    def step(name: str) -> Step:
        def apply(chunk: list[str], given_stream: StreamState) -> Outcome:
            assert given_stream is stream
            seen.append(list(chunk))
            chunk.append(name)
            return REPAIRED

        return name, apply

    run((step("first"), step("second")), stream, ["begin"])
    assert seen == [["begin"], ["begin", "first"]]

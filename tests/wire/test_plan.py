"""Catalogue and switches, compiled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.chunk import Origin, StreamState
from proxy.wire.plan import BODY_SCOPES, BodySteps, Step, Steps, compile_plan, run
from proxy.wire.repairs import ORDER, Scope
from proxy.wire.repairs.bodies import SHARED
from proxy.wire.repairs.entry import DROPPED, KEPT, NOTED, REPAIRED, Outcome
from proxy.wire.requests import Endpoint, Request

#: Where only bodies are repaired; whole bodies that become streams are numbered, too.
BODIES_ALONE = BODY_SCOPES - {Scope.NUMBERS}
SWITCHABLE = [repair for repair in ORDER if not repair.fixed]
FIXED = [repair.name for repair in ORDER if repair.fixed]


def points(steps: Steps | BodySteps) -> list[list[str]]:
    """The repairs of an endpoint's streams or bodies, at each point in the order in which they run."""
    return [[name for name, _ in getattr(steps, field)] for field in steps.__slots__]


def names(steps: Steps | BodySteps) -> list[str]:
    """All of them."""
    return [name for point in points(steps) for name in point]


def test_without_switches_each_repair_is_as_the_catalogue_says() -> None:
    assert compile_plan().on == {repair.name for repair in ORDER if repair.default}


@pytest.mark.parametrize("repair", SWITCHABLE, ids=lambda repair: repair.name)
@pytest.mark.parametrize("is_on", [True, False])
def test_a_switch_turns_just_its_repair(repair: Any, is_on: bool) -> None:
    plan = compile_plan({repair.name: is_on})

    assert (repair.name in plan.on) is is_on
    assert plan.on ^ compile_plan().on <= {repair.name}
    acts = is_on and repair.apply is not None
    for endpoint, steps in plan.steps.items():
        runs = acts and endpoint in repair.endpoints and repair.scope not in BODIES_ALONE
        assert (repair.name in names(steps)) is runs
    for endpoint, body_steps in plan.bodies.items():
        meant = (
            endpoint in repair.endpoints if repair.scope in BODY_SCOPES else repair.name in SHARED[endpoint]
        )
        assert (repair.name in names(body_steps)) is (acts and meant)


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
    for steps in (*plan.steps.values(), *plan.bodies.values()):
        for point in points(steps):
            places = [order[name] for name in point]
            assert places == sorted(places)
        applied = names(steps)
        assert len(applied) == len(set(applied))
        assert set(applied) <= plan.on


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

"""A repair is passed by where what it watches is right: it would have found nothing to do."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError
from proxy.wire.chunk import Origin
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.repairs import CATALOGUE, ORDER, Repair, Scope
from proxy.wire.repairs.entry import RIGHT
from proxy.wire.report import StreamReport
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cases import BEGAN, TOKEN, Case, all_cases
from tests.wire.cuts import cut
from tests.wire.deviations import Deviant, deviant
from tests.wire.test_hostile import REQUESTS, mutated, strange_chunks
from tests.wire.test_rewriter import CHAT, ENDS

CASES = all_cases()
CHATS = frozenset({Endpoint.CHAT})
WATCHING = [repair for repair in ORDER if repair.watches]
#: The same repairs, each of which is asked about every chunk.
UNWATCHED = tuple(replace(repair, watches=None) for repair in ORDER)
SWITCHES = {
    "default": {},
    "everything": dict.fromkeys(CATALOGUE, True),
    "nothing": {repair.name: False for repair in ORDER if not repair.fixed},
}
#: Each with a plan that asks as it should, and one that always asks.
PLANS = {
    name: (compile_plan(switches), compile_plan(switches, repairs=UNWATCHED))
    for name, switches in SWITCHES.items()
}


def play(
    request: Request, plan: Plan, pieces: list[bytes], failure: UpstreamError | None
) -> tuple[list[bytes], StreamReport]:
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN), plan, splice=False)
    frames = [frame for piece in pieces for frame in rewriter.receive_data(piece)]
    frames += rewriter.receive_failure(failure) if failure else rewriter.receive_eof()
    return frames, rewriter.report


def assert_same(
    request: Request,
    plans: tuple[Plan, Plan],
    pieces: list[bytes],
    failure: UpstreamError | None = None,
) -> None:
    watched, always = (play(request, plan, pieces, failure) for plan in plans)
    assert watched == always


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fixtures(case: Case) -> None:
    otherwise = replace(case.request, include_usage=not case.request.include_usage)
    for plans in PLANS.values():
        assert_same(case.request, plans, [case.upstream])
        assert_same(otherwise, plans, [case.upstream])


@pytest.mark.sweep
@settings(max_examples=100)
@given(deviant(), st.lists(st.integers(0, 8000)), ENDS, st.sampled_from(list(PLANS.values())))
def test_streams_that_deviate(
    given: Deviant, places: list[int], failure: UpstreamError | None, plans: tuple[Plan, Plan]
) -> None:
    assert_same(given.request, plans, cut(given.stream, places), failure)


@pytest.mark.sweep
@settings(max_examples=250)
@given(mutated() | strange_chunks(), REQUESTS, ENDS, st.sampled_from(list(PLANS.values())))
def test_streams_that_are_broken(
    stream: bytes, request: Request, failure: UpstreamError | None, plans: tuple[Plan, Plan]
) -> None:
    assert_same(request, plans, [stream], failure)


@pytest.mark.parametrize(
    "repair", [repair for repair in WATCHING if repair.endpoints >= CHATS], ids=lambda repair: repair.name
)
def test_what_watches_something_is_passed_by_where_that_is_right(repair: Repair) -> None:
    asked = []

    def noting(*given: object) -> object:
        asked.append(given)
        return repair.apply(*given) if repair.apply else None

    plan = compile_plan(repairs=tuple(replace(r, apply=noting) if r is repair else r for r in ORDER))
    chunk = (
        b'{"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,'
        b'"delta":%b,"finish_reason":%b}]}'
    )
    deltas = [
        (b'{"role":"assistant","content":""}', b"null"),
        (b'{"content":"Hi"}', b"null"),
        (b"{}", b'"stop"'),
    ]
    stream = b"".join(b"data: %b\n\n" % (chunk % delta) for delta in deltas) + b"data: [DONE]\n\n"
    assert play(CHAT, plan, [stream], None)[0] == [frame + b"\n\n" for frame in stream.split(b"\n\n")[:-1]]
    assert not asked


def test_within_a_scope_those_that_watch_run_first_and_those_that_watch_the_same_together() -> None:
    for scope in Scope:
        watched = [repair.watches for repair in ORDER if repair.scope is scope and repair.apply]
        groups = [name for place, name in enumerate(watched) if place == 0 or watched[place - 1] != name]
        assert len(groups) == len(set(groups)), scope
        assert None not in groups[:-1], scope


def test_nothing_can_be_watched_that_nobody_watches() -> None:
    assert {repair.watches for repair in WATCHING} == set(RIGHT)

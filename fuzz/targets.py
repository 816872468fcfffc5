"""What is searched: functions that take any bytes, and raise where a promise does not hold.

Each asks the oracles of the tests. An input begins with the facts that a target needs (switches, places to
cut at); the rest is what it is given.
"""

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import orjson

from proxy.config.load import load
from proxy.errors import ConfigurationError, InvalidRequest, UpstreamError, UpstreamTruncated
from proxy.server.clients.paths import check_target
from proxy.wire.bodies import reported_error, rewrite_body
from proxy.wire.chunk import Origin
from proxy.wire.chunked import ChunkedDecoder
from proxy.wire.convert import StreamFolder
from proxy.wire.model_name import rename_model
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.repairs import ORDER
from proxy.wire.report import StreamReport
from proxy.wire.requests import Endpoint, Request, read_request
from proxy.wire.rewriter import StreamRewriter
from proxy.wire.sse import EventDecoder
from proxy.wire.translations import compile_translations
from proxy.wire.translations.catalogue import CATALOGUE, DIALECTS
from tests.wire.body_contract import check_body
from tests.wire.contract import Answer, check_stream, payloads

ORIGIN: Final = Origin("0123456789abcdefghijklmn", 1684665888)
PLAN: Final = compile_plan()
#: The repairs that a byte can name: more could not be told apart.
SWITCHES: Final = [repair.name for repair in ORDER if not repair.fixed][:256]
EVERYTHING: Final = compile_translations(switches=dict.fromkeys(CATALOGUE, True))
DIALECT: Final = [compile_translations(name) for name in DIALECTS]
STREAMED: Final = (Endpoint.CHAT, Endpoint.COMPLETIONS)

Target = Callable[[bytes], None]


def parser(data: bytes) -> None:
    """The same events come out however a stream is cut."""
    pieces, data = _cut(data)
    whole, parts = EventDecoder(), EventDecoder()
    events = list(whole.feed(data))
    assert [event for piece in pieces for event in parts.feed(piece)] == events
    assert parts.deviations == whole.deviations
    assert parts.finish() == whole.finish()


def chunks(data: bytes) -> None:
    """The same body comes out however its chunks are cut, and nothing after it."""
    pieces, data = _cut(data)
    whole, parts = ChunkedDecoder(), ChunkedDecoder()
    body = whole.feed(data)
    decoded = b"".join(parts.feed(piece) for piece in pieces)
    assert parts.ended == whole.ended
    if whole.ended:
        assert decoded == body
    assert not (whole.ended and whole.broken)


def rewriter(data: bytes) -> None:
    """A legal stream leaves, or an error does, however it was cut; and it would pass again untouched."""
    plan, data = _plan(data)
    request, data = _request(data, STREAMED)
    pieces, data = _cut(data)
    left, report = _rewritten(request, [data], plan)
    assert _rewritten(request, pieces, plan) == (left, report)
    broken_off, broken = _rewritten(request, [data], plan, UpstreamTruncated("It broke off."))
    _check_end(left, report, plan)
    _check_end(broken_off, broken, plan)
    if plan is PLAN:
        check_stream(broken_off, request, typed=False)
        answer = check_stream(left, request, typed=False)
        if answer.done and not _is_guessed(answer, request):
            again, more = _rewritten(request, [left], plan)
            assert (again, more.repairs) == (left, {})


def folder(data: bytes) -> None:
    """A stream in a body's place becomes a legal body, that would pass again untouched, or is an error."""
    plan, data = _plan(data)
    request, data = _request(data, STREAMED)
    request = replace(request, stream=False)
    pieces, data = _cut(data)
    folding = StreamFolder(request, ORIGIN, plan, event_limit=1 << 16)
    try:
        for piece in pieces:
            folding.receive_data(piece)
        left = folding.receive_eof()
    except UpstreamError:
        return
    _check_passes(left, request, plan)


def bodies(data: bytes) -> None:
    """A legal body leaves, or an error does; and it would pass again untouched."""
    plan, data = _plan(data)
    request, data = _request(data, tuple(Endpoint))
    try:
        left, _ = rewrite_body(data, request, ORIGIN, plan)
    except UpstreamError:
        reported_error(500, "", data)
        return
    _check_passes(left, request, plan)


def requests(data: bytes) -> None:
    """A request is refused, or understood and translated to JSON that names the model that was meant."""
    choice, data = data[:1], data[1:]
    endpoint = list(Endpoint)[(choice or b"\0")[0] % len(Endpoint)]
    try:
        read_request(endpoint, data)
    except InvalidRequest:
        return
    renamed = json.loads(rename_model(data, "other"))
    assert renamed["model"] == "other"
    for translator in (EVERYTHING, *DIALECT):
        try:
            translated, _ = translator.apply(data, "other")
        except InvalidRequest:
            continue
        assert json.loads(translated)["model"] == "other"
        assert read_request(endpoint, translated).model == "other"


def configuration(data: bytes) -> None:
    """A file is a configuration, or its mistakes are told, a line each."""
    file = _FOLDER / "config.yaml"
    file.write_bytes(data)
    try:
        load(file, environ={"A": "b"})
    except ConfigurationError as error:
        assert error.mistakes
        assert all("\n" not in line for line in error.mistakes)


def paths(data: bytes) -> None:
    """A path that passes leads nowhere above its beginning, once it is resolved as the system does."""
    target = "/" + data.decode("latin-1")
    try:
        check_target(target)
    except InvalidRequest:
        return
    path = target.partition("?")[0].partition("#")[0]
    assert os.path.normpath("/x" + path).startswith("/x")


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target
    for target in (parser, chunks, rewriter, folder, bodies, requests, configuration, paths)
}
_FOLDER: Final = Path(tempfile.mkdtemp(prefix="straightwire-fuzz-"))


def _rewritten(
    request: Request, pieces: Iterable[bytes], plan: Plan, failure: UpstreamError | None = None
) -> tuple[bytes, StreamReport]:
    rewriting = StreamRewriter(request, ORIGIN, plan, event_limit=1 << 16)
    frames = [frame for piece in pieces for frame in rewriting.receive_data(piece)]
    frames += rewriting.receive_failure(failure) if failure else rewriting.receive_eof()
    assert rewriting.ended
    return b"".join(frames), rewriting.report


def _check_end(left: bytes, report: StreamReport, plan: Plan) -> None:
    """A stream ends well or in an error, whatever is switched off."""
    told = payloads(left)
    for chunk in told:
        assert chunk == "[DONE]" or orjson.loads(chunk)
    is_error = bool(told) and told[-1].startswith('{"error":')
    assert is_error == (report.outcome != "complete")
    if is_error or "missing-done" in plan.on:
        assert ("[DONE]" in told) != is_error


def _is_guessed(answer: Answer, request: Request) -> bool:
    """An upstream's signs, of which some do not leave, told which choice or call a piece belongs to."""
    surplus = request.choices == 1 and answer.choices.keys() != {0}
    return surplus or any(said.calls for said in answer.choices.values())


def _check_passes(left: bytes, request: Request, plan: Plan) -> None:
    """A body is JSON, and with all repairs on legal and none of their business any more."""
    orjson.loads(left)
    if plan is PLAN:
        check_body(left, request, typed=False)
        assert rewrite_body(left, request, ORIGIN, plan) == (left, {})


def _plan(data: bytes) -> tuple[Plan, bytes]:
    """Take the repairs that are off from the beginning of an input: how many, and which."""
    count = data[0] % 4 if data else 0
    off, rest = data[1 : 1 + count], data[1 + count :]
    return _plan_without(frozenset(place % len(SWITCHES) for place in off)) if off else PLAN, rest


@cache
def _plan_without(off: frozenset[int]) -> Plan:
    return compile_plan({SWITCHES[place]: False for place in off})


def _cut(data: bytes) -> tuple[list[bytes], bytes]:
    """Take places to cut at from the beginning of an input; return the pieces of the rest, and the rest."""
    count = data[0] % 8 if data else 0
    places, rest = data[1 : 1 + count], data[1 + count :]
    edges = [0, *sorted(min(place, len(rest)) for place in places), len(rest)]
    return [rest[start:end] for start, end in itertools.pairwise(edges)], rest


def _request(data: bytes, endpoints: tuple[Endpoint, ...]) -> tuple[Request, bytes]:
    """Take the facts of a request from the beginning of an input."""
    facts, more, rest = *(data[:2].ljust(2, b"\0")), data[2:]
    endpoint = endpoints[more % len(endpoints)]
    return Request(
        endpoint,
        model="gpt-4" if facts & 1 else None,
        stream=endpoint in STREAMED,
        include_usage=bool(facts & 2),
        choices=1 + bool(facts & 4),
        tools=frozenset({"f"}) if facts & 8 else None,
        functions=bool(facts & 16),
        named_tool=bool(facts & 32),
    ), rest

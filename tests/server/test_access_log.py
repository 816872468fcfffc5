"""What the log tells of requests, what it never tells, and the id that joins it to both sides."""

import json

import pytest

from proxy.server.answers import service
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, chunk, soon
from tests.server.operating import Log, logging
from tests.server.running import running
from tests.server.streams import (
    DONE,
    ONE,
    PATH,
    QUESTION,
    ROLE,
    STOP,
    WHOLE,
    answers,
    error_of,
    serves,
    stays,
)

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = (STREAM_HEAD, *(chunk(data) for data in WHOLE), LAST_CHUNK)
#: What must never be in a log, wherever it stands in a request or its answer.
KEY, PROMPT, ANSWER, QUERY = "sk-secret-key", "secret-prompt", "secret-answer", "secret-query"


async def test_line_of_a_stream():
    repeated = ONE.replace(b'"delta":{', b'"delta":{"role":"assistant",')
    data = [ROLE, ONE, repeated, STOP, DONE]
    async with logging(serves(STREAM_HEAD, *map(chunk, data), LAST_CHUNK)) as (log, _, client):
        await client.post(PATH, QUESTION)
        await client.head()
        chunks = await client.chunks()

    line = log.line
    assert line["request_id"].startswith("req_")
    assert line["level"] == "info"
    expected = {
        "method": "POST",
        "path": PATH,
        "upstream": "local",
        "model": "m",
        "status": 200,
        "outcome": "complete",
        "events_in": 5,
        "events_out": 5,
        "repairs": {"repeated-role": 1},
    }
    assert line | expected == line
    assert line["bytes"] == sum(len(chunk(data)) for data in chunks) + len(LAST_CHUNK)
    assert 0 <= line["first_event_seconds"] <= line["seconds"]


async def test_line_of_a_whole_answer():
    body = b'{"choices":[{"message":{"role":"assistant","content":"1"}}]}'
    script = serves(JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body)
    async with logging(script) as (log, _, client):
        await client.post(PATH, QUESTION | {"stream": False})
        head = await client.head()
        left = await client.body(head)

    assert log.line["bytes"] == len(left)
    assert log.line["outcome"] == "complete"
    assert log.line["repairs"]["missing-id"] == 1
    assert "events_in" not in log.line


NAMED = {"api_keys": [{"name": "alice", "key": "sk-old"}, {"name": "alice", "key": KEY}, "sk-nobodys"]}


@pytest.mark.parametrize(("key", "name"), [(KEY, "alice"), ("sk-nobodys", None), ("sk-wrong", None)])
async def test_line_names_the_clients_key(key, name):
    async with logging(serves(*STREAM), clients=NAMED) as (log, _, client):
        await client.post(PATH, QUESTION, Authorization=f"Bearer {key}")
        await client.head()
        await client.leave()

    assert log.line.get("client") == name
    assert key not in log.getvalue()


async def test_line_of_what_passes_through():
    script = serves(b"HTTP/1.1 418 Teapot\r\nContent-Length: 3\r\n\r\n", b"tea")
    async with logging(script) as (log, _, client):
        await client.request("GET", "/brew?key=1")
        await client.body(await client.head())

    expected = {"method": "GET", "path": "/brew", "status": 418, "bytes": 3, "outcome": "complete"}
    assert log.line | expected == log.line


async def test_stream_that_breaks_off_is_a_warning():
    async with logging(answers(STREAM_HEAD, chunk(ROLE), chunk(ONE))) as (log, _, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert error_of((await client.chunks())[-1])["code"] == "upstream_truncated"

    assert (log.line["outcome"], log.line["level"]) == ("upstream_truncated", "warning")


async def test_upstream_that_is_down_is_told_with_the_reason():
    log = Log()
    async with (
        running("http://127.0.0.1:9", logged=log, log={"format": "json"}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.error()

    assert (log.line["status"], log.line["outcome"]) == (502, "upstream_unreachable")
    assert log.line["reason"] == "The upstream 127.0.0.1:9 cannot be reached: Connection refused."


@pytest.mark.parametrize("stream", [True, False])
async def test_form_of_an_error_counts_as_a_repair(stream):
    script = serves(b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n", b"oops")
    async with logging(script) as (log, _, client):
        await client.post(PATH, QUESTION | {"stream": stream})
        await client.error()
        await client.leave()

    assert (log.line["status"], log.line["outcome"]) == (500, "upstream_error")
    assert list(log.line["repairs"].values()) == [1]


async def test_client_that_leaves():
    async with logging(stays(STREAM_HEAD, chunk(ROLE))) as (log, _, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunk()
        await client.leave()

    assert (log.line["status"], log.line["outcome"], log.line["events_out"]) == (200, "client_gone", 1)


async def test_client_that_leaves_before_its_answer_has_nginxs_status():
    log = Log()
    async with (
        Scripted(stays()) as upstream,
        running(upstream, logged=log, log={"format": "json"}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await soon(upstream.called.wait())

    assert (log.line["status"], log.line["outcome"]) == (499, "client_gone")


async def test_stream_that_the_proxys_end_cuts():
    async with logging(stays(STREAM_HEAD, chunk(ROLE))) as (log, proxy, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunk()
        await soon(proxy.stop())

    assert (log.line["outcome"], log.line["level"]) == ("stopped", "warning")


async def test_request_that_is_refused():
    async with logging(stays()) as (log, _, client):
        await client.post(PATH, b"{")
        await client.error()
        await client.leave()

    assert (log.line["status"], log.line["outcome"], log.line["level"]) == (400, "refused", "info")
    assert "upstream" not in log.line


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_no_secret_is_logged(level):
    answer = [
        chunk(ROLE.replace(b'"role"', b'"x":"%b","role"' % ANSWER.encode())),
        chunk(b'data: {"error":{"message":"secret-answer to secret-prompt"}}\n\n'),
    ]
    async with logging(serves(STREAM_HEAD, *answer, LAST_CHUNK), level=level) as (log, _, client):
        question = QUESTION | {"messages": [{"role": "user", "content": PROMPT}]}
        await client.post(f"{PATH}?key={QUERY}", question, Authorization=f"Bearer {KEY}")
        await client.head()
        await client.chunks()

    assert log.line["outcome"] == "upstream_error"
    assert "secret" not in log.getvalue()


async def test_what_a_client_chooses_cannot_break_a_line_or_a_terminal():
    log = Log()
    async with (
        Scripted(serves(*STREAM)) as upstream,
        running(upstream, logged=log) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION | {"model": "a\n\x1b[2J" + 1000 * "x"})
        await client.head()
        await client.chunks()

    (line,) = [line for line in log.getvalue().splitlines() if "outcome=complete" in line]
    assert "\x1b" not in line
    assert r"model=a\n\x1b[2Jxxx" in line
    assert len(line) < 600


async def test_level_hides_what_is_below():
    async with logging(serves(*STREAM), level="warning") as (log, _, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunks()

    assert log.getvalue() == ""


async def test_start_tells_listener_and_upstream():
    async with logging(stays()) as (log, proxy, _):
        url = proxy.url

    assert [line["url"] for line in log.lines("listening")] == [url]
    (upstream,) = log.lines("upstream")
    assert (upstream["name"], upstream["models"]) == ("local", ["*"])


async def test_new_request_id_reaches_both_sides():
    async with (
        Scripted(serves(*STREAM)) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        head = await client.head()
        await client.chunks()

    assert len(head.headers["x-request-id"]) == len("req_") + 32
    assert upstream.requests[0].headers["x-request-id"] == head.headers["x-request-id"]


async def test_no_two_requests_have_the_same_id_nor_do_their_answers():
    drawn, nameless = [], b'data: {"choices":[{"index":0,"delta":{"content":"1"}}]}\n\n'
    async with (
        Scripted(serves(STREAM_HEAD, chunk(nameless), chunk(DONE), LAST_CHUNK)) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as client,
    ):
        for _ in range(100):
            await client.post(PATH, QUESTION)
            drawn.append((await client.head()).headers["x-request-id"].removeprefix("req_"))
            first, *_ = await client.chunks()
            drawn.append(json.loads(first.removeprefix(b"data: "))["id"].removeprefix("chatcmpl-"))

    assert len(set(drawn)) == len(drawn) == 200
    assert {len(each) for each in drawn} == {32}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("trace-1/a:b.c", True), ("", False), ("a b", False), ("é", False), (129 * "x", False)],
)
async def test_request_id_of_the_client_is_kept_if_it_is_sane(given, kept):
    script = serves(b"HTTP/1.1 200 OK\r\nX-Request-Id: upstreams-own\r\nContent-Length: 0\r\n\r\n")
    async with Scripted(script) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        await client.request("GET", "/", X_Request_Id=given)
        (answered,) = (await client.head()).all("x-request-id")

    assert (answered == given) is kept
    assert upstream.requests[0].headers["x-request-id"] == answered


@pytest.fixture
def defect(monkeypatch):
    """A defect of the proxy's, met by every request for an answer."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError(PROMPT)

    monkeypatch.setattr(service, "read_request", fail)


@pytest.mark.usefixtures("defect")
@pytest.mark.parametrize("level", ["info", "debug"])
async def test_defect_is_an_error_in_openais_form_and_one_line(level):
    async with logging(stays(), level=level) as (log, _, client):
        await client.post(PATH, QUESTION, Accept="text/html")
        head, error = await client.error()
        await client.leave()

    assert head.status == 500
    assert error["type"] == "server_error"
    assert head.headers["x-request-id"] == log.line["request_id"]
    assert (log.line["level"], log.line["outcome"]) == ("error", "internal_error")
    assert log.line["error"] == "ZeroDivisionError"
    assert log.line["at"].startswith("test_access_log.py:")
    assert ("in generate" in log.line.get("traceback", "")) is (level == "debug")
    assert "secret" not in log.getvalue()


async def test_defect_in_the_middle_of_a_stream_breaks_it_off(monkeypatch):
    rewritten = []

    class Defective(service.StreamRewriter):
        def receive_data(self, data):
            if rewritten:
                raise ZeroDivisionError
            rewritten.append(data)
            return super().receive_data(data)

    monkeypatch.setattr(service, "StreamRewriter", Defective)

    async def script(talk):
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(talk.go.wait())
        await talk.send(chunk(ONE))
        await talk.closed()

    log = Log()
    async with (
        Scripted(script) as upstream,
        running(upstream, logged=log, log={"format": "json"}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == ROLE
        upstream.talks[0].go.set()
        assert await client.closed() == b""

    assert (log.line["status"], log.line["outcome"]) == (200, "internal_error")


async def test_path_that_is_none_is_refused_in_openais_form():
    async with logging(stays()) as (log, _, client):
        await client.request("OPTIONS", "*")
        head, error = await client.error()
        await client.leave()

    assert (head.status, error["type"]) == (404, "not_found_error")
    assert log.line["outcome"] == "refused"


@pytest.mark.parametrize("output", ["stderr", "stdout"])
async def test_lines_are_written_where_the_operator_wants_them(output, capsys):
    async with Scripted() as upstream, running(upstream, log={"format": "json", "output": output}):
        pass
    told = capsys.readouterr()
    other = {"stderr": told.out, "stdout": told.err}[output]
    assert next(json.loads(line)["event"] for line in getattr(told, output[3:]).splitlines()) == "listening"
    assert other == ""

"""The embedded LocalAI over real sockets: its bytes, its headers, its errors."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.demo.localai import application

FIXTURES = Path(__file__).parents[2] / "fixtures" / "localai"
CASES = sorted(path.stem for path in FIXTURES.glob("*.yaml"))

CHAT = "/v1/chat/completions"
ONE_TWO = [{"role": "user", "content": "1 2"}]
COMMON_HEADERS = {"Vary": "Origin", "Access-Control-Allow-Origin": "*"}

Serve = Callable[..., Awaitable[TestServer]]


@pytest.fixture
async def localai(aiohttp_server: Serve) -> TestServer:
    return await aiohttp_server(application(pace=0))


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


def read_case(name: str) -> tuple[dict, bytes]:
    (answer,) = FIXTURES.glob(f"{name}.upstream.*")
    return yaml.safe_load((FIXTURES / f"{name}.yaml").read_text(encoding="utf-8")), answer.read_bytes()


@pytest.mark.parametrize("name", CASES)
async def test_answers_with_the_bytes_of_the_fixture(localai, session, name):
    case, expected = read_case(name)
    request = case["request"]
    body = request["text"] if "text" in request else json.dumps(request.get("body"))

    async with session.request(
        request["method"],
        localai.make_url(request["path"]),
        data=body,
        headers={"Content-Type": "application/json"},
    ) as response:
        assert await response.read() == expected
        assert response.status == case.get("status", 200)
        streamed = (FIXTURES / f"{name}.upstream.sse").exists()
        assert response.headers["Content-Type"] == ("text/event-stream" if streamed else "application/json")


def test_every_fixture_says_where_it_comes_from():
    assert len(CASES) > 10
    assert len(CASES) == len(list(FIXTURES.glob("*.upstream.*")))
    assert all("ed5df1e" in read_case(name)[0]["source"] for name in CASES)


async def exchange(server: TestServer, request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Send the bytes of a request; return the status line, the headers and the rest, as they came."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip()
    rest = await reader.read()
    writer.close()
    await writer.wait_closed()
    status, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    del headers["Date"]
    return status, headers, rest


def post(path: str, body: dict, version: str = "HTTP/1.1", connection: str = "close") -> bytes:
    content = json.dumps(body).encode()
    return (
        f"POST {path} {version}\r\nHost: localai\r\nConnection: {connection}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    ).encode() + content


async def test_stream_has_the_headers_of_the_issue_and_a_chunk_for_each_flush(localai):
    status, headers, rest = await exchange(localai, post(CHAT, {"stream": True, "messages": ONE_TWO}))

    assert status == "HTTP/1.1 200 OK"
    assert headers == {
        "Content-Type": "text/event-stream",
        **COMMON_HEADERS,
        "Cache-Control": "no-cache",
        "Connection": "close",
        "Transfer-Encoding": "chunked",
    }
    _, expected = read_case("chat-without-model")
    flushes = [b"event: data\n\n" + flush for flush in expected.split(b"event: data\n\n")[1:]]
    assert len(flushes) == 3
    assert rest == b"".join(b"%x\r\n%b\r\n" % (len(flush), flush) for flush in flushes) + b"0\r\n\r\n"


async def test_stream_keeps_the_connection_alive(localai, session):
    body = {"stream": True, "messages": ONE_TWO}
    async with session.post(localai.make_url(CHAT), json=body) as response:
        assert response.headers["Connection"] == "keep-alive"


async def test_client_of_http_1_0_gets_the_stream_without_chunks(localai):
    request = post(CHAT, {"stream": True, "messages": ONE_TWO}, version="HTTP/1.0")

    status, headers, rest = await exchange(localai, request)

    assert status == "HTTP/1.0 200 OK"
    assert "Transfer-Encoding" not in headers
    assert rest == read_case("chat-without-model")[1]


async def test_whole_answer_has_no_other_headers(localai):
    _, headers, rest = await exchange(localai, post(CHAT, {"messages": ONE_TWO}))

    assert headers == {
        "Content-Type": "application/json",
        **COMMON_HEADERS,
        "Content-Length": str(len(rest)),
        "Connection": "close",
    }


@pytest.mark.parametrize("path", ["/chat/completions", "/completions", "/edits", "/embeddings"])
async def test_paths_without_v1_answer_the_same(localai, session, path):
    body = {"model": "ggml-gpt4all-j", "messages": ONE_TWO, "prompt": "1 2", "input": "1 2"}
    answers = []
    for prefix in ("/v1", ""):
        async with session.post(localai.make_url(prefix + path), json=body) as response:
            assert response.status == 200
            answers.append(await response.read())

    assert answers[0] == answers[1]
    assert b"ggml-gpt4all-j" in answers[0]


async def test_lists_the_models_it_was_given(aiohttp_server, session):
    server = await aiohttp_server(application(models=("one", "two"), pace=0))

    async with session.get(server.make_url("/models")) as response:
        assert await response.read() == (
            b'{"object":"list","data":[{"id":"one","object":"model"},{"id":"two","object":"model"}]}'
        )


async def ask(
    session: aiohttp.ClientSession, server: TestServer, path: str, body: object
) -> tuple[int, dict]:
    async with session.post(server.make_url(path), json=body) as response:
        return response.status, await response.json()


async def test_max_tokens_cuts_without_saying_so(localai, session):
    body = {"model": "ggml-gpt4all-j", "messages": ONE_TWO, "max_tokens": 1}

    assert await ask(session, localai, CHAT, body) == (
        200,
        {
            "object": "chat.completion",
            "model": "ggml-gpt4all-j",
            "choices": [{"message": {"role": "assistant", "content": "1"}}],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        },
    )


async def test_each_prompt_is_completed_n_times(localai, session):
    _, body = await ask(session, localai, "/v1/completions", {"prompt": ["a b", 3, ""], "n": 2})

    assert body["choices"] == [{"text": "a b"}, {"text": "a b"}, {}, {}]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/edits", "/v1/embeddings"])
async def test_without_anything_to_do_no_model_is_loaded(localai, session, path):
    status, body = await ask(session, localai, path, {"model": "gpt-4"})

    assert status == 200
    assert not body.keys() & {"choices", "data"}


async def test_embeddings_count_tokens_and_texts_apart(localai, session):
    _, body = await ask(session, localai, "/v1/embeddings", {"input": ["x", [7, 8], "y", 9]})

    assert [item["index"] for item in body["data"]] == [0, 0, 1]
    assert len({tuple(item["embedding"]) for item in body["data"]}) == 3


async def test_engine_in_the_path_goes_before_the_model_in_the_body(localai, session):
    engine = "/v1/engines/{}/embeddings"

    status, body = await ask(session, localai, engine.format("ggml-gpt4all-j"), {"model": "b", "input": "x"})
    assert (status, body["model"]) == (200, "b")

    status, _ = await ask(session, localai, engine.format("gpt-4"), {"input": "x"})
    assert status == 500


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/edits", "/v1/embeddings"])
async def test_unknown_model_is_an_internal_error(localai, session, path):
    body = {"model": "gpt-4", "messages": ONE_TWO, "prompt": "1 2", "input": "1 2"}

    assert await ask(session, localai, path, body) == (500, json.loads(read_case("error-unknown-model")[1]))


async def test_without_a_model_anywhere_it_says_so(aiohttp_server, session):
    server = await aiohttp_server(application(models=(), pace=0))

    status, body = await ask(session, server, CHAT, {"messages": ONE_TWO})

    message = "failed reading parameters from request:no model specified"
    assert (status, body) == (500, {"error": {"code": 500, "message": message, "type": ""}})


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "array into Go value of type api.OpenAIRequest"),
        ({"model": 1}, "number into Go struct field OpenAIRequest.model of type string"),
        ({"stream": "yes"}, "string into Go struct field OpenAIRequest.stream of type bool"),
        ({"n": True}, "bool into Go struct field OpenAIRequest.n of type int"),
        ({"n": 1.5}, "number 1.5 into Go struct field OpenAIRequest.n of type int"),
        ({"messages": {}}, "object into Go struct field OpenAIRequest.messages of type []api.Message"),
        ({"messages": ["hi"]}, "string into Go struct field OpenAIRequest.messages of type api.Message"),
    ],
)
async def test_wrong_type_is_an_internal_error_in_the_words_of_go(localai, session, body, complaint):
    message = f"failed reading parameters from request:json: cannot unmarshal {complaint}"

    assert await ask(session, localai, CHAT, body) == (
        500,
        {"error": {"code": 500, "message": message, "type": ""}},
    )


@pytest.mark.parametrize("body", ["null", '{"messages": null}', '{"messages": [null]}'])
async def test_null_is_as_good_as_absent(localai, session, body):
    headers = {"Content-Type": "application/json"}
    async with session.post(localai.make_url(CHAT), data=body, headers=headers) as response:
        assert response.status == 200
        assert (await response.json())["choices"] == [{"message": {"role": "assistant"}}]


JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("method", "path", "request_options", "status", "message"),
    [
        ("GET", "/", {}, 404, "Cannot GET /"),
        ("POST", "/v1/x%20y?z=1", {"json": {}}, 404, "Cannot POST /v1/x%20y"),
        ("POST", "/v1/engines/a/completions", {"json": {}}, 404, "Cannot POST /v1/engines/a/completions"),
        ("GET", CHAT, {}, 405, "Method Not Allowed"),
        ("POST", CHAT, {"data": "{}"}, 422, "failed reading parameters from request:Unprocessable Entity"),
        ("POST", CHAT, {"data": BytesIO(b" " * 15728641), "headers": JSON}, 413, "Request Entity Too Large"),
    ],
    ids=["root", "unknown path", "not yet", "method", "not declared as JSON", "too large"],
)
async def test_errors_of_fiber_keep_their_status(
    localai, session, method, path, *, request_options, status, message
):
    async with session.request(method, localai.make_url(path), **request_options) as response:
        expected = {"error": {"code": status, "message": message, "type": ""}}
        assert (response.status, await response.json()) == (status, expected)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers.get("Allow") == ("POST" if status == 405 else None)


async def test_browser_may_ask_anything(localai, session):
    headers = {"Origin": "http://a.test", "Access-Control-Request-Headers": "authorization,content-type"}
    async with session.options(localai.make_url(CHAT), headers=headers) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        assert "POST" in response.headers["Access-Control-Allow-Methods"]

    async with session.options(localai.make_url(CHAT)) as response:
        assert response.status == 204
        assert "Access-Control-Allow-Headers" not in response.headers


@pytest.mark.parametrize("handler_cancellation", [False, True])
async def test_stream_stops_when_its_client_leaves(session, caplog, handler_cancellation):
    stopped = asyncio.Event()

    @web.middleware
    async def watch(request, handler):
        try:
            return await handler(request)
        finally:
            stopped.set()

    app = application(pace=0)
    app.middlewares.append(watch)
    runner = web.AppRunner(app, handler_cancellation=handler_cancellation)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    body = {"stream": True, "messages": ONE_TWO, "n": 10**12}

    response = await session.post(f"http://{host}:{port}{CHAT}", json=body)
    first = await response.content.readuntil(b"\n\n\n")
    response.close()
    await asyncio.wait_for(stopped.wait(), timeout=30)
    await runner.cleanup()

    assert first.startswith(b"event: data\n\ndata: {")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(("stream", "expected"), [(True, [2.5, 2.5]), (False, [5.0])])
async def test_each_token_takes_its_time(aiohttp_server, session, monkeypatch, stream, expected):
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server = await aiohttp_server(application(pace=2.5))
    monkeypatch.setattr("proxy.demo.localai.asyncio.sleep", sleep)
    async with session.post(server.make_url(CHAT), json={"stream": stream, "messages": ONE_TWO}) as response:
        await response.read()

    assert slept == expected

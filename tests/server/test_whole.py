"""Whole answers leave in OpenAI's form, whatever the upstream sends in their place."""

import json
from pathlib import Path

import orjson
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from tests.encodings import ENCODERS
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Talk, chunk
from tests.server.running import talking
from tests.server.streams import DONE, PATH, ROLE, answers, event, serves

FIXTURES = Path(__file__).parents[2] / "fixtures"
JSON = b"Content-Type: application/json"
ASKED = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}]}
#: OpenAI's own form, which nothing must touch.
RIGHT = (
    b'{"id": "chatcmpl-1", "object": "chat.completion", "created": 1708097828, "model": "gpt-4",'
    b' "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": null},'
    b' "logprobs": null, "finish_reason": "stop"}],'
    b' "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
)


def whole(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Make an answer whose body has a length."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body])


async def test_a_compliant_answer_leaves_with_its_own_bytes():
    async with talking(serves(whole(RIGHT, JSON, b"X-Correlation-ID: 7"))) as (upstream, client):
        await client.post(PATH, ASKED)
        head = await client.head()

        assert head.status == 200
        assert head.headers["content-type"] == "application/json"
        assert head.headers["x-correlation-id"] == "7"
        assert await client.body(head) == RIGHT
        assert orjson.loads(upstream.requests[0].body) == ASKED


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_localai_of_2023_answers_whole(path):
    body = (FIXTURES / "localai" / "chat-whole.upstream.body").read_bytes()
    async with talking(serves(whole(body, JSON))) as (_, client):
        await client.post(path, ASKED)
        completion = ChatCompletion.model_validate_json(await client.body(await client.head()), strict=True)

    assert completion.id.startswith("chatcmpl-")
    assert completion.choices[0].finish_reason == "stop"
    assert completion.choices[0].message.content


async def test_a_completion_keeps_its_path_and_is_completed():
    reply = b'{"object":"text_completion","model":"m","choices":[{"text":"1"}]}'
    async with talking(serves(whole(reply, JSON))) as (upstream, client):
        await client.post("/v1/engines/m/completions", {"prompt": "Count"})
        completion = Completion.model_validate_json(await client.body(await client.head()))

        assert upstream.requests[0].target == "/v1/engines/m/completions"
    assert completion.id.startswith("cmpl-")
    assert completion.choices[0].text == "1"


async def test_embeddings_come_in_base64_where_they_were_asked_for_so():
    reply = b'{"data":[{"embedding":[0.5,-1.0]}],"model":"m"}'
    async with talking(serves(whole(reply, JSON))) as (_, client):
        await client.post("/v1/embeddings", {"model": "m", "input": "Hi", "encoding_format": "base64"})
        answer = orjson.loads(await client.body(await client.head()))

    assert answer["data"] == [{"object": "embedding", "index": 0, "embedding": "AAAAPwAAgL8="}]
    assert answer["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


async def test_large_embeddings_are_rewritten_beside_the_event_loop():
    numbers = ",".join(["0.0123456789"] * 1536)
    data = ",".join(f'{{"object":"embedding","index":{n},"embedding":[{numbers}]}}' for n in range(20))
    reply = f'{{"object":"list","data":[{data}],"model":"m"}}'.encode()
    assert len(reply) > 256 * 1024
    async with talking(serves(whole(reply, JSON))) as (_, client):
        await client.post("/v1/embeddings", {"model": "m", "input": ["Hi"] * 20})
        answer = CreateEmbeddingResponse.model_validate_json(await client.body(await client.head()))

    assert len(answer.data) == 20
    assert answer.usage.total_tokens == 0


@pytest.mark.parametrize(
    ("status", "body", "code", "kind"),
    [
        (b"500 Oops", b'{"error":{"code":500,"message":"could not load","type":""}}', "500", "server_error"),
        (b"422 No", b'{"detail":[{"loc":["body","n"],"msg":"too large"}]}', None, "invalid_request_error"),
        (b"429 Slow", b"slow down", None, "rate_limit_error"),
        (b"502 Bad", b"<html><title>502 Bad Gateway</title></html>", None, "server_error"),
        (b"401 No", b"", None, "authentication_error"),
    ],
)
async def test_an_error_keeps_its_status_and_gets_the_one_form(status, body, code, kind):
    async with talking(serves(whole(body, b"Retry-After: 7", status=status))) as (_, client):
        await client.post(PATH, ASKED)
        head, error = await client.error()

    assert head.status == int(status[:3])
    assert head.headers["retry-after"] == "7"
    assert head.headers["content-type"] == "application/json"
    assert (error["code"], error["type"], error["param"]) == (code, kind, None)
    assert error["message"]


async def test_an_error_that_came_as_200_gets_a_real_status():
    async with talking(serves(whole(b'{"error":{"code":429,"message":"slow"}}', JSON))) as (_, client):
        await client.post(PATH, ASKED)
        head, error = await client.error()

    assert (head.status, error["message"], error["code"]) == (429, "slow", "429")


async def test_a_stream_that_nobody_asked_for_becomes_a_body():
    stream = [chunk(data) for data in (ROLE, event("1"), event(finish="stop"), DONE)]
    async with talking(answers(STREAM_HEAD, *stream, LAST_CHUNK)) as (_, client):
        await client.post(PATH, ASKED)
        head = await client.head()
        completion = ChatCompletion.model_validate_json(await client.body(head), strict=True)

    assert head.headers["content-type"] == "application/json"
    assert completion.choices[0].message.content == "1"


async def test_a_stream_that_nobody_asked_for_and_that_breaks_off_is_an_error():
    async with talking(answers(STREAM_HEAD, chunk(ROLE), chunk(event("1")))) as (_, client):
        await client.post(PATH, ASKED)
        head, error = await client.error()

    assert (head.status, error["code"]) == (502, "upstream_truncated")


async def test_a_body_that_breaks_off_is_an_error():
    async with talking(answers(whole(RIGHT, JSON)[:-5])) as (_, client):
        await client.post(PATH, ASKED)
        head, error = await client.error()

    assert (head.status, error["code"]) == (502, "upstream_truncated")


@pytest.mark.parametrize(("sent", "limit"), [(-5, "idle"), (-len(RIGHT), "first_byte")])
async def test_a_body_that_stalls_is_an_error(sent, limit):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(whole(RIGHT, JSON)[:sent])
        await talk.closed()

    async with talking(script, upstream_timeouts={limit: "50ms"}) as (_, client):
        await client.post(PATH, ASKED)
        head, error = await client.error()

    assert (head.status, error["code"]) == (504, "upstream_timeout")


async def test_a_body_above_the_limit_is_an_error():
    async with talking(serves(whole(RIGHT, JSON)), limits={"response_body": 99}) as (_, client):
        await client.post(PATH, ASKED)
        head, error = await client.error()

    assert head.status == 502
    assert "99 bytes" in error["message"]


@pytest.mark.parametrize("encoding", ENCODERS)
async def test_a_compressed_body_is_decoded(encoding):
    encoded = b"".join(ENCODERS[encoding]([RIGHT]))
    reply = whole(encoded, JSON, b"Content-Encoding: " + encoding.encode())
    async with talking(serves(reply)) as (upstream, client):
        await client.post(PATH, ASKED, Accept_Encoding="gzip")
        head = await client.head()

        assert await client.body(head) == RIGHT
        assert "content-encoding" not in head.headers
        assert upstream.requests[0].headers["accept-encoding"] == "identity"


async def test_a_redirect_passes():
    reply = whole(b"", b"Location: /elsewhere", status=b"307 Temporary Redirect")
    async with talking(serves(reply)) as (_, client):
        await client.post(PATH, ASKED)
        head = await client.head()

    assert (head.status, head.headers["location"]) == (307, "/elsewhere")


async def test_completions_are_streamed_like_chats():
    data = b'data: {"object":"text_completion","model":"m","choices":[{"text":"1"}]}\n\n'
    end = b'data: {"model":"m","choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with talking(answers(STREAM_HEAD, chunk(data), chunk(end), LAST_CHUNK)) as (_, client):
        await client.post("/v1/completions", {"model": "m", "prompt": "Count", "stream": True})
        await client.head()
        *frames, done = await client.chunks()

    texts = [json.loads(frame[6:])["choices"][0]["text"] for frame in frames]
    assert texts == ["1", ""]
    assert done == DONE


async def test_tools_reach_a_server_that_knows_only_functions_and_come_back_as_tools():
    reply = (FIXTURES / "localai-eras" / "d-v1.21.0-chat-functions.upstream.sse").read_bytes()
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    asked = ASKED | {"tools": [tool], "stream": True}
    async with talking(serves(whole(reply, JSON)), upstream_dialect="localai-v1") as (upstream, client):
        await client.post(PATH, asked)
        await client.head()
        frames = [json.loads(frame[6:]) for frame in (await client.chunks())[:-1]]

        sent = orjson.loads(upstream.requests[0].body)
    assert sent["functions"] == [tool["function"]]
    assert "tools" not in sent
    (call,) = [call for frame in frames for call in frame["choices"][0]["delta"].get("tool_calls", [])]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":"Rome"}'}
    assert frames[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_stream_that_nobody_asked_for_is_read_to_its_end():
    text = "x" * 1000
    events = [ROLE, *[event(text)] * 500, event(finish="stop"), DONE]  # more than one read can bring
    async with talking(answers(STREAM_HEAD, *map(chunk, events), LAST_CHUNK)) as (_, client):
        await client.post(PATH, ASKED)
        answer = orjson.loads(await client.body(await client.head()))

    assert answer["choices"][0]["message"]["content"] == text * 500


async def test_a_limit_of_zero_is_none():
    async with talking(serves(whole(RIGHT, JSON)), limits={"response_body": 0}) as (_, client):
        await client.post(PATH, ASKED)
        assert await client.body(await client.head()) == RIGHT

"""OpenAI's own client, and one in the manner of 2023, read LocalAI of May 2023 through the proxy.

`tests/demo/test_real_clients.py` shows how the first fails on LocalAI directly.
"""

import asyncio
import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import openai
import pytest

from proxy.config.load import load
from proxy.demo.localai import application
from proxy.server.app import Proxy
from tests.scripted import PATIENCE

QUESTION = {"model": "ggml-gpt4all-j", "messages": [{"role": "user", "content": "1 2 <b>3</b>"}]}
TEXT = "1 2 <b>3</b>"


@pytest.fixture
async def url(aiohttp_server):
    """A proxy before LocalAI of May 2023."""
    upstream = await aiohttp_server(application(pace=0))
    overrides = {"upstream": str(upstream.make_url("/")), "listen": "127.0.0.1:0"}
    proxy = Proxy(load(None, environ={}, overrides=overrides))
    await proxy.start()
    yield proxy.url
    await proxy.stop()


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(url):
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def check_chunks(chunks):
    """What the issue that began all this asks for: text, one role, one finish, one id."""
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.choices[0].index for chunk in chunks} == {0}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {"ggml-gpt4all-j"}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-")


async def test_the_client_reads_the_stream(client):
    chunks = await asyncio.to_thread(lambda: list(client.chat.completions.create(stream=True, **QUESTION)))
    check_chunks(chunks)


async def test_the_async_client_reads_the_stream(async_client):
    stream = await async_client.chat.completions.create(stream=True, **QUESTION)
    check_chunks([chunk async for chunk in stream])


async def test_the_streaming_helper_joins_the_message(client):
    def ask():
        with client.chat.completions.stream(**QUESTION) as stream:
            return stream.get_final_completion()

    completion = await asyncio.to_thread(ask)
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == TEXT
    assert completion.choices[0].finish_reason == "stop"


async def test_the_async_streaming_helper_joins_the_message(async_client):
    async with async_client.chat.completions.stream(**QUESTION) as stream:
        completion = await stream.get_final_completion()
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].message.content == TEXT


async def test_usage_that_is_asked_for_comes_in_a_chunk_of_its_own(async_client):
    stream = await async_client.chat.completions.create(
        stream=True, stream_options={"include_usage": True}, **QUESTION
    )
    *chunks, last = [chunk async for chunk in stream]
    check_chunks(chunks)
    assert {chunk.usage for chunk in chunks} == {None}
    assert last.choices == []
    assert last.usage.total_tokens == 0


def line_based_client(url):
    """Read a stream as tools of 2023 did: look for `data: ` in each line, and for `[DONE]` behind it."""
    body, headers = json.dumps({"stream": True, **QUESTION}), {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:
        connection.request("POST", "/v1/chat/completions", body, headers)
        with connection.getresponse() as answer:
            return join_deltas(answer)


def join_deltas(lines):
    message = {}
    for line in lines:
        place = line.find(b"data: ")
        if place < 0:
            assert line == b"\n", line
            continue
        rest = line[place + len(b"data: ") :].rstrip(b"\n")
        if rest == b"[DONE]":
            return message
        delta = json.loads(rest)["choices"][0]["delta"]
        if "role" in delta:
            assert "content" not in delta, "the role of a delta with content is not seen"
        for key, value in delta.items():
            message[key] = message.get(key, "") + value
    raise AssertionError("[DONE] never came")


async def test_a_line_based_client_of_2023_reads_the_stream(url):
    assert await asyncio.to_thread(line_based_client, url) == {"role": "assistant", "content": TEXT}

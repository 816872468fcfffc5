"""How OpenAI's own client fares with the embedded LocalAI when no proxy stands between them."""

import asyncio
import json

import openai
import pytest

from proxy.demo.localai import application

QUESTION = {"model": "ggml-gpt4all-j", "messages": [{"role": "user", "content": "1 2 <b>3</b>"}]}


@pytest.fixture
async def base_url(aiohttp_server):
    server = await aiohttp_server(application(pace=0))
    return str(server.make_url("/v1"))


@pytest.fixture
def client(base_url):
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(base_url):
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def read(stream, into):
    for item in stream:
        into.append(item)


async def read_async(stream, into):
    async for item in stream:
        into.append(item)


async def test_stream_breaks_at_the_first_frame(client):
    received = []

    def ask():
        with client.chat.completions.create(stream=True, **QUESTION) as stream:
            read(stream, received)

    # The client parses the data of `event: data`, which has none.
    with pytest.raises(json.JSONDecodeError, match=r"Expecting value: line 1 column 1 \(char 0\)"):
        await asyncio.to_thread(ask)
    assert received == []


async def test_stream_helper_breaks_at_the_first_frame(client):
    received = []

    def ask():
        with client.chat.completions.stream(**QUESTION) as stream:
            read(stream, received)

    with pytest.raises(json.JSONDecodeError, match="line 1 column 1"):
        await asyncio.to_thread(ask)
    assert received == []


async def test_async_stream_breaks_at_the_first_frame(async_client):
    received = []

    async with await async_client.chat.completions.create(stream=True, **QUESTION) as stream:
        with pytest.raises(json.JSONDecodeError, match="line 1 column 1"):
            await read_async(stream, received)
    assert received == []


async def test_async_stream_helper_breaks_at_the_first_frame(async_client):
    received = []

    async with async_client.chat.completions.stream(**QUESTION) as stream:
        with pytest.raises(json.JSONDecodeError, match="line 1 column 1"):
            await read_async(stream, received)
    assert received == []


async def test_streamed_completion_is_silently_empty(async_client):
    async with await async_client.completions.create(
        model="ggml-gpt4all-j", prompt="1 2", stream=True
    ) as stream:
        assert [chunk async for chunk in stream] == []


async def test_whole_answer_lacks_what_its_type_promises(async_client):
    answer = await async_client.chat.completions.create(**QUESTION)
    (choice,) = answer.choices

    assert choice.message.content == "1 2 <b>3</b>"
    assert (answer.id, answer.created, choice.index, choice.finish_reason) == (None, None, None, None)


async def test_error_has_a_number_for_a_code_and_no_type(async_client):
    with pytest.raises(openai.InternalServerError, match="could not load model") as caught:
        await async_client.chat.completions.create(**QUESTION | {"model": "gpt-4"})

    assert caught.value.body["code"] == 500
    assert caught.value.type == ""

"""`/v1/models` is joined over the upstreams, in OpenAI's form, with the names that the configuration adds."""

import orjson
import pytest

from tests.plain_client import PlainClient
from tests.scripted import Scripted, soon
from tests.server.running import running, talking
from tests.server.streams import serves, stays
from tests.server.test_whole import JSON, whole

LOCALAI = whole(b'{"object":"list","data":[{"id":"ggml-gpt4all-j","object":"model"}]}', JSON)


async def get(client: PlainClient, path: str) -> dict:
    await client.request("GET", path)
    head = await client.head()
    assert head.status == 200
    return orjson.loads(await client.body(head))


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_localais_list_is_completed(path):
    async with talking(serves(LOCALAI)) as (upstream, client):
        listed = await get(client, path)

        assert upstream.requests[0].target == "/v1/models"
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert (model["id"], model["object"]) == ("ggml-gpt4all-j", "model")
    assert isinstance(model["created"], int)
    assert model["owned_by"]


async def test_one_model_is_found_though_the_upstream_has_no_such_path():
    async with talking(serves(LOCALAI)) as (_, client):
        assert (await get(client, "/v1/models/ggml-gpt4all-j"))["id"] == "ggml-gpt4all-j"


async def test_a_model_that_nobody_has_is_404():
    async with talking(serves(LOCALAI)) as (_, client):
        await client.request("GET", "/v1/models/org/none")
        head, error = await client.error()

    assert (head.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "'org/none'" in error["message"]


async def test_the_lists_of_all_upstreams_are_joined_with_the_aliases():
    other = whole(b'{"object":"list","data":[{"id":"llama","created":5,"owned_by":"me"},{"id":"x"}]}', JSON)
    async with Scripted(serves(LOCALAI)) as first, Scripted(serves(other)) as second:
        settings = {
            "upstreams": {"local": {"url": first.url}, "other": {"url": second.url}},
            "models": {
                "gpt-4": {"upstream": "other", "model": "llama"},
                "llama*": {"upstream": "other"},
                "*": {"upstream": "local"},
            },
        }
        async with running(first, **settings) as proxy, PlainClient(proxy.url) as client:
            listed = await get(client, "/v1/models")

    by_name = {model["id"]: model for model in listed["data"]}
    assert list(by_name) == ["ggml-gpt4all-j", "llama", "gpt-4"], "x is served by nobody under that name"
    assert by_name["gpt-4"] == {"id": "gpt-4", "object": "model", "created": 5, "owned_by": "me"}


async def test_an_upstream_that_is_down_leaves_the_others_listed():
    async with Scripted(serves(LOCALAI)) as first:
        settings = {
            "upstreams": {"local": {"url": first.url}, "gone": {"url": "http://127.0.0.1:1"}},
            "models": {"gpt-4": {"upstream": "gone"}, "*": {"upstream": "local"}},
        }
        async with running(first, **settings) as proxy, PlainClient(proxy.url) as client:
            listed = await get(client, "/v1/models")

    assert [model["id"] for model in listed["data"]] == ["ggml-gpt4all-j", "gpt-4"]


async def test_an_upstream_that_hangs_leaves_the_others_listed(clock):
    async with Scripted(serves(LOCALAI)) as first, Scripted(stays()) as silent:
        settings = {
            "upstreams": {"local": {"url": first.url}, "silent": {"url": silent.url}},
            "models": {"gpt-4": {"upstream": "silent"}, "*": {"upstream": "local"}},
        }
        async with running(first, **settings) as proxy, PlainClient(proxy.url) as client:
            await client.request("GET", "/v1/models")
            await soon(silent.called.wait())
            async with PlainClient(proxy.url) as other:  # what the first one has said is known by then
                await get(other, "/x")
            clock.advance(11)
            listed = orjson.loads(await client.body(await client.head()))

    assert [model["id"] for model in listed["data"]] == ["ggml-gpt4all-j", "gpt-4"]


async def test_no_upstream_at_all_is_an_error():
    async with running("http://127.0.0.1:1") as proxy, PlainClient(proxy.url) as client:
        await client.request("GET", "/v1/models")
        head, error = await client.error()

    assert (head.status, error["code"]) == (502, "upstream_unreachable")


async def test_an_error_of_the_only_upstream_keeps_its_status():
    refusal = whole(b'{"message":"slow down"}', JSON, b"Retry-After: 5", status=b"429 Too Many Requests")
    async with talking(serves(refusal)) as (_, client):
        await client.request("GET", "/v1/models")
        head, error = await client.error()

    assert (head.status, error["message"]) == (429, "slow down")
    assert head.headers["retry-after"] == "5"

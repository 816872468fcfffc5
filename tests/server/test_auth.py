"""Keys: the clients' own at the door, the upstream's behind it, and none where it does not belong."""

import hashlib
import json

import pytest

from proxy.server.app import Proxy
from tests.scripted import EMPTY, LAST_CHUNK, STREAM_HEAD, chunk
from tests.server.running import configured, talking
from tests.server.streams import PATH, QUESTION, ROLE, WAYS, error_of, serves

KEY = "sk-alices-key"


def keys(*entries: object) -> dict[str, object]:
    return {"api_keys": list(entries)}


@pytest.mark.parametrize("entry", [KEY, "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_client_with_a_key_comes_in_and_leaves_it_at_the_door(entry, scheme):
    async with talking(serves(EMPTY), clients=keys(entry)) as (upstream, client):
        await client.request("GET", "/x", Authorization=scheme + KEY, X_End="1")

        assert (await client.head()).status == 200
        assert upstream.requests[0].headers["x-end"] == "1"
        assert "authorization" not in upstream.requests[0].headers


async def test_several_keys_open_at_once():
    entries = [{"name": "alice", "key": "sk-old"}, {"name": "alice", "key": "sk-new"}, "sk-bobs"]
    async with talking(serves(EMPTY), clients=keys(*entries)) as (_, client):
        for key in ("sk-old", "sk-new", "sk-bobs"):
            await client.request("GET", "/x", Authorization=f"Bearer {key}")
            assert (await client.head()).status == 200


@pytest.mark.parametrize(
    ("presented", "says"),
    [
        (None, "No API key was given"),
        ("", "No API key was given"),
        ("Bearer", "No API key was given"),
        ("Bearer ", "No API key was given"),
        (KEY, "No API key was given"),
        (f"Basic {KEY}", "No API key was given"),
        ("Bearer sk-mallorys", "not one of this server's"),
        (f"Bearer {KEY}x", "not one of this server's"),
        ("Bearer " + hashlib.sha256(KEY.encode()).hexdigest(), "not one of this server's"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", PATH), ("GET", "/v1/models"), ("PUT", "/file"), ("OPTIONS", "/x")]
)
async def test_client_without_a_key_gets_openais_error_and_nothing_reaches_the_upstream(
    method, path, presented, says
):
    async with talking(serves(EMPTY), clients=keys(KEY)) as (upstream, client):
        fields = {} if presented is None else {"Authorization": presented}
        await client.request(method, path, QUESTION if method == "POST" else None, **fields)
        head, error = await client.error()

        assert head.status == 401
        assert head.headers["www-authenticate"] == "Bearer"
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        assert says in error["message"]
        assert "sk-" not in json.dumps(error)
        assert upstream.talks == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_stays_open(method):
    async with talking(serves(EMPTY), clients=keys(KEY)) as (_, client):
        await client.request(method, "/healthz?deep")

        assert (await client.head()).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/healthz"),
        ("GET", "/healthz/x"),
        ("GET", "//healthz"),
        ("GET", "/%68ealthz"),
        ("GET", "/healthz/../v1/models"),
        ("GET", "/v1/models?/healthz"),
    ],
)
async def test_what_only_looks_like_health_does_not(method, path):
    async with talking(serves(EMPTY), clients=keys(KEY)) as (upstream, client):
        await client.request(method, path)

        assert (await client.head()).status == 401
        assert upstream.talks == []


async def test_authorization_passes_where_clients_need_no_key():
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request("GET", "/x", Authorization="Basic dTpw")
        await client.head()

        assert upstream.requests[0].headers["authorization"] == "Basic dTpw"


@pytest.mark.parametrize("clients", [keys(), keys(KEY)], ids=["open", "keys"])
@pytest.mark.parametrize(("method", "path", "body"), WAYS)
async def test_upstreams_key_takes_the_place_of_the_clients(clients, method, path, body):
    settings = {"upstream_api_key": "sk-upstream", "upstream_headers": {"authorization": "Basic x"}}
    async with talking(serves(EMPTY), clients=clients, **settings) as (upstream, client):
        await client.request(method, path, body, Authorization=f"Bearer {KEY}")
        await client.head()

        assert upstream.requests[0].headers["authorization"] == "Bearer sk-upstream"


async def test_configured_headers_are_added_over_the_clients():
    settings = {"upstream_headers": {"X-Team": "search", "Authorization": "Basic x"}}
    async with talking(serves(EMPTY), **settings) as (upstream, client):
        await client.request("GET", "/x", x_team="mine", Authorization=f"Bearer {KEY}", X_End="1")
        await client.head()

        sent = upstream.requests[0].headers
        assert (sent["x-team"], sent["authorization"], sent["x-end"]) == ("search", "Basic x", "1")


async def test_connection_cannot_name_away_what_the_proxy_adds():
    async with talking(serves(EMPTY), upstream_api_key="sk-upstream") as (upstream, client):
        await client.request("GET", "/x", Connection="authorization", Authorization="Bearer x")
        await client.head()

        assert upstream.requests[0].headers["authorization"] == "Bearer sk-upstream"


@pytest.mark.parametrize("stream", [True, False])
async def test_key_that_the_upstream_repeats_in_its_error_is_hidden(stream):
    body = b'{"error":{"message":"Incorrect API key: sk-the-upstreams-own. Team tea","type":"x","code":"k"}}'
    script = serves(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    settings = {"upstream_api_key": "sk-the-upstreams-own", "upstream_headers": {"X-Team": "tea"}}
    async with talking(script, **settings) as (_, client):
        await client.post(PATH, QUESTION | {"stream": stream})
        head, error = await client.error()

    assert (head.status, error["code"]) == (401, "k")
    assert error["message"] == "Incorrect API key: [hidden]. Team tea"


ECHO = b'{"error":{"message":"Bad key sk-the-upstreams-own","type":"x","code":"sk-the-upstreams-own",'
ECHO += b'"metadata":{"raw":["sk-the-upstreams-own"]}}}'


@pytest.mark.parametrize("begun", [b"", ROLE], ids=["at-first", "in-the-stream"])
@pytest.mark.parametrize("said", [ECHO, b'{"sk-the-upstreams-own":'], ids=["error", "broken"])
async def test_key_that_the_upstream_repeats_in_an_event_is_hidden(begun, said):
    script = serves(STREAM_HEAD, chunk(begun + b"data: " + said + b"\n\n"), LAST_CHUNK)
    async with talking(script, upstream_api_key="sk-the-upstreams-own") as (_, client):
        await client.post(PATH, QUESTION)
        error = error_of((await client.chunks())[-1]) if begun and await client.head() else None
        error = error or (await client.error())[1]

    assert "sk-the" not in json.dumps(error)
    assert "[hidden]" in error["message"]
    if said == ECHO:
        assert (error["code"], error["metadata"]) == ("[hidden]", {"raw": ["[hidden]"]})


async def test_key_that_the_upstream_repeats_in_a_body_of_success_is_hidden():
    script = serves(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ECHO), ECHO)
    async with talking(script, upstream_api_key="sk-the-upstreams-own") as (_, client):
        await client.post(PATH, QUESTION | {"stream": False})
        _, error = await client.error()

    assert error["message"] == "Bad key [hidden]"


async def test_head_that_is_too_long_is_not_repeated():
    script = serves(b"HTTP/1.1 200 OK\r\nX-Echo: " + 70_000 * b"s" + b"\r\n\r\n")
    async with talking(script) as (_, client):
        await client.post(PATH, QUESTION)
        _, error = await client.error()

    assert error["code"] == "upstream_malformed"
    assert error["message"].endswith("does not speak proper HTTP: a line of its head is too long.")


def test_no_key_is_shown():
    configuration = configured("http://127.0.0.1:9", clients=keys(KEY), upstream_api_key="sk-upstream")

    assert "sk-" not in repr(configuration) + repr(vars(Proxy(configuration)))

"""Web pages: those of the configured origins may read answers, others may not, whatever the upstream says."""

import pytest

from tests.scripted import LAST_CHUNK, STREAM_HEAD, chunk
from tests.server.running import talking
from tests.server.streams import PATH, QUESTION, WHOLE, answers, serves

PAGE = "https://chat.example"
OTHER = "https://evil.example"
EMPTY = b"HTTP/1.1 200 OK\r\nVary: Accept\r\nContent-Length: 0\r\n"
PERMISSIVE = EMPTY + b"Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\r\n"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-y"}


async def test_preflight_is_answered_by_us_without_a_key():
    settings = {"cors": {"origins": [PAGE]}, "clients": {"api_keys": ["sk-x"]}}
    async with talking(serves(PERMISSIVE), **settings) as (upstream, client):
        await client.request("OPTIONS", PATH, Origin=PAGE, **ASKS)
        head = await client.head()

        assert head.status == 204
        assert head.headers["access-control-allow-origin"] == PAGE
        assert "POST" in head.headers["access-control-allow-methods"].split(", ")
        assert head.headers["access-control-allow-headers"] == "authorization,x-y"
        assert int(head.headers["access-control-max-age"]) > 0
        assert head.headers["vary"] == "Origin"
        assert upstream.talks == []


@pytest.mark.parametrize(
    "origin", [OTHER, "null", "https://chat.example.evil.example", "http://chat.example"]
)
async def test_preflight_of_another_page_is_granted_nothing(origin):
    async with talking(serves(PERMISSIVE), cors={"origins": [PAGE]}) as (upstream, client):
        await client.request("OPTIONS", PATH, Origin=origin, **ASKS)
        head = await client.head()

        assert head.status == 204
        assert not [name for name in head.headers if name.startswith("access-control-")]
        assert upstream.talks == []


@pytest.mark.parametrize("origin", [PAGE, "HTTPS://Chat.Example"])
async def test_page_may_read_an_answer(origin):
    async with talking(serves(PERMISSIVE), cors={"origins": ["http://other.example", PAGE]}) as (_, client):
        await client.request("GET", "/x", Origin=origin)
        head = await client.head()

        assert head.all("access-control-allow-origin") == [origin]
        assert head.headers["access-control-expose-headers"] == "*"
        assert "access-control-allow-credentials" not in head.headers
        assert head.headers["vary"] == "Accept, Origin"


@pytest.mark.parametrize("fields", [{}, {"Origin": OTHER}])
async def test_what_the_upstream_allows_does_not_count_where_origins_are_configured(fields):
    async with talking(serves(PERMISSIVE), cors={"origins": [PAGE]}) as (_, client):
        await client.request("GET", "/x", **fields)
        head = await client.head()

        assert not [name for name in head.headers if name.startswith("access-control-")]
        assert head.headers["vary"] == "Accept, Origin"


async def test_every_page_may_read_where_all_may():
    async with talking(serves(PERMISSIVE), cors={"origins": ["*"]}) as (_, client):
        await client.request("GET", "/x", Origin=OTHER)
        head = await client.head()

        assert head.all("access-control-allow-origin") == ["*"]
        assert "access-control-allow-credentials" not in head.headers
        assert head.headers["vary"] == "Accept"


async def test_page_may_read_a_stream():
    script = answers(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
    async with talking(script, cors={"origins": [PAGE]}) as (_, client):
        await client.post(PATH, QUESTION, Origin=PAGE)
        head = await client.head()

        assert head.headers["access-control-allow-origin"] == PAGE
        assert b"".join(await client.chunks()) == b"".join(WHOLE)


async def test_page_may_read_why_it_was_refused():
    settings = {"cors": {"origins": [PAGE]}, "clients": {"api_keys": ["sk-x"]}}
    async with talking(serves(PERMISSIVE), **settings) as (_, client):
        await client.request("GET", "/x", Origin=PAGE)
        head, _ = await client.error()

        assert head.status == 401
        assert head.headers["access-control-allow-origin"] == PAGE


async def test_cors_is_the_upstreams_matter_without_origins():
    async with talking(serves(PERMISSIVE)) as (upstream, client):
        await client.request("OPTIONS", "/x", Origin=OTHER, **ASKS)
        head = await client.head()

        assert head.status == 200
        assert head.headers["access-control-allow-origin"] == "*"
        assert head.headers["vary"] == "Accept"
        assert upstream.requests[0].headers["origin"] == OTHER


async def test_options_that_is_no_preflight_reaches_the_upstream():
    async with talking(serves(PERMISSIVE), cors={"origins": [PAGE]}) as (upstream, client):
        await client.request("OPTIONS", "/x", Origin=PAGE)

        assert (await client.head()).status == 200
        assert upstream.requests[0].method == "OPTIONS"

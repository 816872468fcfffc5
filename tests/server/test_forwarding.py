"""The upstream is told whom it works for, and nobody can lie about that but the trusted proxies."""

import pytest

from tests.plain_client import PlainClient
from tests.scripted import EMPTY, Received, Scripted
from tests.server.running import running, talking
from tests.server.streams import WAYS, serves

CLIENT = 'for=127.0.0.1;host="proxy.test";proto=http'
#: What an upstream is told of a client that nobody speaks for.
FIRST_HAND = {
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "http",
    "x-forwarded-host": "proxy.test",
    "forwarded": CLIENT,
}


def told(received: Received) -> dict[str, str]:
    """Return what an upstream was told of the way of a request."""
    known = ("forwarded", "x-forwarded-", "x-real-")
    return {name: value for name, value in received.headers.items() if name.startswith(known)}


@pytest.mark.parametrize(("method", "path", "body"), WAYS)
async def test_upstream_is_told_of_the_client(method, path, body):
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request(method, path, body)
        await client.head()

        assert told(upstream.requests[0]) == FIRST_HAND


INVENTED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "bank.example",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;proto=https",
}


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8", "::1"]])
async def test_chain_of_a_stranger_is_replaced(trusted):
    async with talking(serves(EMPTY), trusted_proxies=trusted) as (upstream, client):
        await client.request("GET", "/x", **INVENTED)
        await client.head()

        assert told(upstream.requests[0]) == FIRST_HAND


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8"])
async def test_chain_of_a_trusted_proxy_is_continued(trusted):
    async with talking(serves(EMPTY), trusted_proxies=[trusted]) as (upstream, client):
        await client.request("GET", "/x", **INVENTED)
        await client.head()

        assert told(upstream.requests[0]) == {
            "x-forwarded-for": "203.0.113.9, 127.0.0.1",
            "x-forwarded-proto": "https",
            "x-forwarded-host": "bank.example",
            "x-forwarded-port": "443",
            "x-forwarded-prefix": "/evil",
            "x-real-ip": "203.0.113.9",
            "forwarded": f"for=203.0.113.9;proto=https, {CLIENT}",
        }


async def test_old_chain_of_a_trusted_proxy_begins_the_new_one():
    async with talking(serves(EMPTY), trusted_proxies=["127.0.0.1"]) as (upstream, client):
        await client.request("GET", "/x", X_Forwarded_For="2001:db8::7, 10.0.0.1,, somebody")
        await client.head()

        sent = upstream.requests[0].headers
        assert sent["x-forwarded-for"] == "2001:db8::7, 10.0.0.1,, somebody, 127.0.0.1"
        assert sent["forwarded"] == f'for="[2001:db8::7]", for=10.0.0.1, for=unknown, {CLIENT}'


@pytest.mark.parametrize(
    ("given", "version", "sent"),
    [
        ({}, "1.1", "1.1 straightwire"),
        ({"Via": "1.0 fred, 1.1 p.example"}, "1.1", "1.0 fred, 1.1 p.example, 1.1 straightwire"),
        ({}, "1.0", "1.0 straightwire"),
    ],
)
async def test_upstream_is_told_through_whom_a_request_comes(given, version, sent):
    """RFC 9110, section 7.6.3."""
    async with talking(serves(EMPTY)) as (upstream, client):
        fields = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        await client.send(f"GET /x HTTP/{version}\r\nHost: x\r\n{fields}\r\n".encode())
        await client.head()

        assert upstream.requests[0].headers["via"] == sent


async def test_client_on_ipv6():
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream, listen={"host": "::1", "port": 0}, trusted_proxies=["::1"]) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.request("GET", "/x", X_Forwarded_For="10.0.0.1")
        await client.head()

        sent = upstream.requests[0].headers
        assert sent["x-forwarded-for"] == "10.0.0.1, ::1"
        assert sent["forwarded"] == 'for=10.0.0.1, for="[::1]";host="proxy.test";proto=http'


async def test_host_that_is_none_is_refused():
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request("GET", "/x", Host='a";for="203.0.113.9')
        assert (await client.error())[0].status == 400
        assert upstream.talks == []


async def test_client_without_a_host():
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.send(b"GET /x HTTP/1.0\r\n\r\n")
        await client.head()

        assert upstream.requests[0].headers["forwarded"] == "for=127.0.0.1;proto=http"
        assert "x-forwarded-host" not in upstream.requests[0].headers


async def test_connection_cannot_name_away_the_chain():
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request("GET", "/x", Connection="X-Forwarded-For, Forwarded")
        await client.head()

        assert upstream.requests[0].headers["x-forwarded-for"] == "127.0.0.1"
        assert upstream.requests[0].headers["forwarded"] == CLIENT

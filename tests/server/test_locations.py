"""Redirects are not followed, and lead the client to us where they point at the upstream."""

import pytest

from tests.scripted import Script, Talk
from tests.server.running import talking
from tests.server.streams import PATH, QUESTION


def redirects(location: str, name: str = "Location") -> Script:
    """Make a script: answer with a redirect; in the location, HERE is the upstream's host and port."""

    async def script(talk: Talk) -> None:
        received = await talk.receive()
        field = f"{name}: {location.replace('HERE', received.headers['host'])}"
        await talk.send(f"HTTP/1.1 307 Elsewhere\r\n{field}\r\nContent-Length: 0\r\n\r\n".encode())

    return script


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("http://HERE/api/login?next=/api/x#top", "/login?next=/api/x#top"),
        ("HTTP://HERE/api/x", "/x"),
        ("http://HERE/api", "/"),
        ("http://HERE/api/", "/"),
        ("http://HERE/api?x", "/?x"),
        ("//HERE/api/x", "/x"),
        ("/api/v1/models", "/v1/models"),
        ("/api", "/"),
        ("next", "next"),
        ("../next", "../next"),
        ("?page=2", "?page=2"),
        ("", ""),
        # not below the upstream's URL
        ("http://HERE/other", "http://HERE/other"),
        ("http://HERE/apix", "http://HERE/apix"),
        ("/apix", "/apix"),
        ("/login", "/login"),
        # another server
        ("https://HERE/api/x", "https://HERE/api/x"),
        ("http://127.0.0.1:1/api/x", "http://127.0.0.1:1/api/x"),
        ("http://HERE.evil.example/api/x", "http://HERE.evil.example/api/x"),
        ("https://login.example/api", "https://login.example/api"),
        ("//login.example/api", "//login.example/api"),
        ("mailto:operator@example.org", "mailto:operator@example.org"),
        ("http://[broken/api", "http://[broken/api"),
        # would be another server, if it were only cut
        ("http://HERE/api//evil.example/x", "/.//evil.example/x"),
        ("/api//evil.example/x", "/.//evil.example/x"),
        ("/api/\\evil.example/x", "/./\\evil.example/x"),
    ],
)
async def test_location_below_a_path(location, seen):
    async with talking(redirects(location), path="/api/v1") as (upstream, client):
        await client.request("GET", "/x")
        head = await client.head()

        assert head.status == 307
        assert head.headers["location"] == seen.replace("HERE", f"127.0.0.1:{upstream.port}")
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(("location", "seen"), [("http://HERE/x", "/x"), ("http://HERE", "/"), ("/x", "/x")])
@pytest.mark.parametrize("name", ["Location", "Content-Location"])
async def test_location_below_no_path(name, location, seen):
    async with talking(redirects(location, name)) as (_, client):
        await client.request("GET", "/y")

        assert (await client.head()).headers[name.lower()] == seen


@pytest.mark.parametrize("stream", [True, False])
async def test_redirect_of_what_is_rewritten(stream):
    async with talking(redirects("http://HERE/v1/elsewhere")) as (upstream, client):
        await client.post(PATH, QUESTION | {"stream": stream})
        head = await client.head()

        assert head.status == 307
        assert head.headers["location"] == "/v1/elsewhere"
        assert len(upstream.requests) == 1

"""No request leaves what stands behind the upstream's URL."""

import re
from itertools import product
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.errors import InvalidRequest
from proxy.server.clients.paths import check_target
from tests.scripted import EMPTY
from tests.server.running import talking
from tests.server.streams import serves


@pytest.mark.parametrize(
    "target",
    [
        "/../admin",
        "/v1/../../admin",
        "/v1/engines/../../../admin",
        "/v1/chat/completions/../../../../admin",
        "/v1/models/../../../admin",
        "/%2e%2e/admin",
        "/%2E./admin",
        "/v1%2f..%2f..%2fadmin",
        "/v1/..%5c..%5cadmin",
        "/v1\\..\\..\\admin",
        "/%252e%252e%252fadmin",
        "//../admin",
        "/v1//../../admin",
        "/./../admin",
        "/..;x=1/admin",
        "/..%3bx/admin",
        "/..",
        "/..?x",
        "/..#x",
        "http://other.example/../admin",
        "/a\\b\\c/../../admin",
        "/a%5cb%5cc/../../admin",
        "/a%2fb%2fc/../../admin",
        "/a%252fb/../../admin",
        "/;a/../admin",
        "/%c0%ae%c0%ae/admin",
        "/%e0%80%ae%e0%80%ae/admin",
        "/x/..%c0%af..%c0%afadmin",
        "/x/..%c1%9c..%c1%9cadmin",
        "/%u002e%u002e/admin",
        "/%25u002e%25u002e/admin",
        "/%ef%bc%8e%ef%bc%8e/admin",
        "/%e2%80%a5/admin",
        "/x/..%ef%bc%8f..%ef%bc%8fadmin",
        "/..%00/admin",
        "/..%20/admin",
        "/%20../admin",
        "/.%09./admin",
        "/.%0d%0a./admin",
        "/.%c2%ad./admin",
        "/.%e2%80%8b./admin",
        "/;\\a/../admin",
        "/;%2fa/../admin",
        "/a#/../../admin",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_path_that_leads_out_is_refused(method, target):
    async with talking(serves(EMPTY), path="/api/v1") as (upstream, client):
        await client.request(method, target)
        head, error = await client.error()

        assert head.status == 400
        assert "leads out" in error["message"]
        assert upstream.talks == []


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/v1/../admin", "/api/v1/../admin"),
        ("/a/b%2f..%2fc", "/api/a/b%2f..%2fc"),
        ("/..a/...", "/api/..a/..."),
        ("/x?../../..", "/api/x?../../.."),
        ("/100%", "/api/100%"),
        ("/%ff", "/api/%ff"),
        ("/%c3%a9%20%2e%c0", "/api/%c3%a9%20%2e%c0"),
        ("/a%00b/%u0041", "/api/a%00b/%u0041"),
        ("//host/x", "/api//host/x"),
        ("//user@host:1/x", "/api//user@host:1/x"),
        ("/@host/x", "/api/@host/x"),
        ("/http://other.example/", "/api/http://other.example/"),
        ("http://other.example/x?y", "/api/x?y"),
        ("http://other.example//x", "/api//x"),
    ],
)
async def test_path_stays_below_the_upstreams(target, sent):
    async with talking(serves(EMPTY), path="/api/v1") as (upstream, client):
        await client.request("GET", target)
        assert (await client.head()).status == 200

        assert upstream.requests[0].target == sent


@pytest.mark.parametrize("line", ["CONNECT other.example:443", "OPTIONS *"])
async def test_target_that_is_no_path_reaches_no_other_server(line):
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.send(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await client.head()).status < 500

        assert {request.target for request in upstream.requests} <= {"/", "/*"}


@pytest.mark.parametrize("times", [9, 30_000])
async def test_path_that_is_encoded_many_times_is_refused(times):
    """To find out what is in it takes a pass each time, and another client waits meanwhile."""
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request("GET", "/%" + "25" * times + "2e")
        head, error = await client.error()

        assert head.status == 400
        assert "encoded too many times" in error["message"]
        assert upstream.talks == []


#: What paths are made of that are meant to be read in two ways.
PIECES = st.sampled_from(
    [
        *("/", "//", ".", "..", "/../", "/./", "a", "b", "/v1", ";", "..;x=1", "\\", "?", "#", "%"),
        *("%2e", "%2E", "%2f", "%5C", "%3b", "%3F", "%23", "%25", "%252e", "%252f", "%255c", "%c0%ae"),
    ]
)


def readings(target):
    """Yield the steps of a path as servers take them, each in its own way."""
    path = target.partition("?")[0]
    for times, backslashes, parameters in product(range(4), (False, True), (False, True)):
        read = path
        for _ in range(times):
            read = unquote(read, "latin-1")
        steps = re.split(r"[/\\]" if backslashes else "/", read)
        yield [re.split("[;#]", step)[0] if parameters else step for step in steps]


def lowest(steps):
    """Return how far below its beginning a path leads at most: a step back of more than that leads out."""
    depth = least = 0
    for step in steps:
        depth += {"": 0, ".": 0, "..": -1}.get(step, 1)
        least = min(least, depth)
    return least


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))
@example("/;\\a/../")
@example("/a#/../..")
def test_no_reading_of_a_path_that_passes_leads_out(target):
    try:
        check_target(target)
    except InvalidRequest:
        return
    assert all(lowest(steps) == 0 for steps in readings(target))

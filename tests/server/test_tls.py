"""TLS in front and towards upstreams, and the unix socket, with certificates made for the test."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.config.schema import ListenTls
from proxy.errors import CannotListen, ConfigurationError
from proxy.server.app import Proxy
from proxy.server.tls import in_front, renew
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, chunk
from tests.server.papers import Papers, spoil
from tests.server.running import configured, running
from tests.server.streams import PATH, QUESTION, WHOLE, serves

STREAM = serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(trustme.CA(), tmp_path)


async def answered(client: PlainClient) -> bytes:
    """Ask for a stream and return what came of it."""
    await client.post(PATH, QUESTION)
    assert (await client.head()).status == 200
    return b"".join(await client.chunks())


@pytest.mark.parametrize("tls", ["ca", "no verification"])
async def test_upstream_that_speaks_tls(papers, tls):
    settings = {"ca": papers.ca} if tls == "ca" else {"verify": False}
    async with (
        Scripted(STREAM, tls=papers.server()) as upstream,
        running(upstream, upstream_tls=settings) as proxy,
        PlainClient(proxy.url) as client,
    ):
        assert await answered(client) == b"".join(WHOLE)


@pytest.mark.parametrize(
    ("name", "trusted", "says"),
    [("127.0.0.1", False, "certificate verify failed"), ("elsewhere.example", True, "127.0.0.1")],
)
async def test_upstream_that_is_not_trusted_gets_no_request(papers, name, trusted, says):
    settings = {"ca": papers.ca} if trusted else {}
    async with (
        Scripted(STREAM, tls=papers.server(name)) as upstream,
        running(upstream, upstream_tls=settings) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

        assert head.status == 502
        assert error["code"] == "upstream_unreachable"
        assert f"127.0.0.1:{upstream.port} is not trusted" in error["message"]
        assert says in error["message"]
        assert upstream.requests == []


@pytest.mark.parametrize("one_file", [False, True])
async def test_upstream_that_wants_to_know_us(papers, one_file):
    if one_file:
        own = {"certificate": papers.issue_in_one("straightwire.example")}
    else:
        own = dict(zip(("certificate", "key"), papers.issue("straightwire.example"), strict=True))
    async with (
        Scripted(STREAM, tls=papers.server(asks_clients=True)) as upstream,
        running(upstream, upstream_tls={"ca": papers.ca, **own}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        assert await answered(client) == b"".join(WHOLE)


async def test_upstream_that_does_not_speak_tls():
    async def silent(talk: Any) -> None:
        await talk.reader.read(1)

    async with (
        Scripted(silent) as upstream,
        running(upstream.url.replace("http:", "https:")) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

        assert head.status == 502
        assert error["code"] == "upstream_unreachable"


async def test_tls_in_front(papers):
    certificate, key = papers.issue()
    listen = {"port": 0, "tls": {"certificate": certificate, "key": key}}
    async with Scripted(STREAM) as upstream, running(upstream, listen=listen) as proxy:
        assert proxy.url.startswith("https://127.0.0.1:")
        async with PlainClient(proxy.url, tls=papers.client()) as client:
            assert await answered(client) == b"".join(WHOLE)

        assert upstream.requests[0].headers["x-forwarded-proto"] == "https"
        assert upstream.requests[0].headers["forwarded"].endswith("proto=https")


async def test_unix_socket(tmp_path):
    path = tmp_path / "straightwire.sock"
    async with Scripted(STREAM) as upstream, running(upstream, listen={"path": str(path)}) as proxy:
        assert proxy.url == f"unix:{path}"
        async with PlainClient(proxy.url) as client:
            assert await answered(client) == b"".join(WHOLE)

        assert upstream.requests[0].headers["x-forwarded-for"] == "unknown"
        assert upstream.requests[0].headers["forwarded"] == 'for=unknown;host="proxy.test";proto=http'
    assert not path.exists()


async def test_unix_socket_that_was_left_behind_and_one_that_is_in_use(tmp_path):
    path = tmp_path / "straightwire.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with Scripted(STREAM) as upstream, running(upstream, listen={"path": str(path)}) as proxy:
        second = Proxy(configured(upstream.url, listen={"path": str(path)}))
        with pytest.raises(CannotListen, match="Address already in use"):
            await second.start()
        async with PlainClient(proxy.url) as client:
            assert await answered(client) == b"".join(WHOLE)


async def test_unix_socket_where_none_can_be(tmp_path):
    path = tmp_path / "taken"
    path.write_text("something else")
    with pytest.raises(CannotListen, match=str(path)):
        await Proxy(configured("http://127.0.0.1:9", listen={"path": str(path)})).start()

    assert path.read_text() == "something else"


@pytest.mark.parametrize("broken", ["certificate", "key"])
async def test_broken_certificate_in_front_is_the_operators_mistake(papers, broken):
    certificate, key = papers.issue()
    spoil({"certificate": certificate, "key": key}[broken])
    listen = {"port": 0, "tls": {"certificate": certificate, "key": key}}
    with pytest.raises(ConfigurationError, match=r"^listen\.tls: .*127\.0\.0\.1\.crt"):
        await Proxy(configured("http://127.0.0.1:9", listen=listen)).start()


@pytest.mark.parametrize("broken", ["ca", "certificate"])
async def test_broken_certificate_towards_an_upstream_is_the_operators_mistake(papers, tmp_path, broken):
    (tmp_path / "broken.pem").write_text("nonsense")
    settings = {broken: str(tmp_path / "broken.pem")}
    with pytest.raises(ConfigurationError, match=r"^upstreams\.local\.tls.*broken\.pem"):
        await Proxy(configured("https://127.0.0.1:9", upstream_tls=settings)).start()


def test_renewed_certificate_is_shown_and_a_broken_one_is_not(papers, tmp_path):
    certificate, key = papers.issue()
    tls = ListenTls(certificate=certificate, key=key)
    context = in_front(tls)
    old, new = papers.client(), Papers(trustme.CA(), tmp_path)
    new.issue()  # over the same files
    renew(context, tls)
    spoil(key)
    with pytest.raises(ConfigurationError):
        renew(context, tls)

    assert shown_to(new.client(), context)
    assert not shown_to(old, context)


def shown_to(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Tell whether a client trusts a server, by a handshake in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(down, up, server_hostname="127.0.0.1"),
        server.wrap_bio(up, down, server_side=True),
    ]
    for side in sides * 3:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return False
    return True

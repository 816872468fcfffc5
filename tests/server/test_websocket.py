"""WebSockets pass in both directions, by a real server and a real client at the ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from yarl import URL

from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import soon
from tests.server.running import running

Conversation = Callable[[web.WebSocketResponse], Awaitable[None]]
KEYS = {"clients": {"api_keys": ["sk-client"]}, "upstream_api_key": "sk-upstream"}


class Server:
    """An upstream that holds one kind of conversation; `ended` is set when one is over."""

    def __init__(self, conversation: Conversation):
        self._conversation = conversation
        self.requests: list[web.Request] = []
        self.socket = web.WebSocketResponse(
            protocols=("realtime",), autoping=False, autoclose=False, timeout=1, max_msg_size=0
        )
        self.ended = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.path != "/v1/realtime":
            return web.Response(status=403)
        await self.socket.prepare(request)
        await self._conversation(self.socket)
        self.ended.set()
        return self.socket


@asynccontextmanager
async def conversing(conversation: Conversation, **settings: object) -> AsyncIterator[tuple[Server, Proxy]]:
    server = Server(conversation)
    runner = web.ServerRunner(web.Server(server.handle), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with running(f"http://127.0.0.1:{runner.addresses[0][1]}", **settings) as proxy:
            yield server, proxy
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(
    proxy: Proxy, path: str = "/v1/realtime", **options: object
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            URL(proxy.url + path, encoded=True), autoping=False, autoclose=False, **options
        ) as socket,
    ):
        yield socket


async def echo(socket: web.WebSocketResponse) -> None:
    """Say everything again, a ping as a ping; close as the other side does."""
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED):
            await socket.close(code=message.data or 1000)
            return
        data = message.data.encode() if isinstance(message.data, str) else message.data
        await socket.send_frame(data, message.type)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (WSMsgType.TEXT, "Grüße".encode()),
        (WSMsgType.BINARY, b"\x00\xff"),
        (WSMsgType.PING, b"ping"),
        (WSMsgType.PONG, b"pong"),
        (WSMsgType.TEXT, b""),
        (WSMsgType.BINARY, bytes(2**23)),
    ],
    ids=["text", "binary", "ping", "pong", "nothing", "much"],
)
async def test_messages_pass_both_ways(kind, data):
    async with conversing(echo) as (_, proxy), connected(proxy, max_msg_size=0) as socket:
        await socket.send_frame(data, kind)
        message = await soon(socket.receive())

        assert message.type == kind
        assert (message.data.encode() if kind == WSMsgType.TEXT else message.data) == data


async def test_model_in_the_query_is_routed_and_mapped():
    settings = {"models": {"gpt-4o-*": {"upstream": "local", "model": "ggml/realtime"}}}
    async with conversing(echo, **settings) as (server, proxy):
        async with connected(proxy, "/v1/realtime?x=%2F&model=gpt-4o-mini") as socket:
            await socket.send_str("hello")
            assert (await soon(socket.receive())).data == "hello"
            await socket.close()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connected(proxy, "/v1/realtime?model=gpt-5"):
                pass

    assert server.requests[0].raw_path == "/v1/realtime?x=%2F&model=ggml/realtime"
    assert refused.value.status == 404


async def test_target_headers_and_keys_are_those_of_any_request():
    headers = {"Authorization": "Bearer sk-client", "OpenAI-Beta": "realtime=v1"}
    async with (
        conversing(echo, **KEYS) as (server, proxy),
        connected(proxy, "/v1/realtime?model=a%2Fb", headers=headers),
    ):
        got = server.requests[0]
        assert got.raw_path == "/v1/realtime?model=a%2Fb"
        assert got.headers["Authorization"] == "Bearer sk-upstream"
        assert got.headers["OpenAI-Beta"] == "realtime=v1"
        assert got.headers["X-Forwarded-For"] == "127.0.0.1"


async def test_no_key_opens_no_websocket():
    async with conversing(echo, **KEYS) as (server, proxy):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with connected(proxy):
                pass

        assert caught.value.status == 401
        assert server.requests == []


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [([], None), (["realtime"], "realtime"), (["a", "realtime"], "realtime")],
)
async def test_subprotocol_is_the_upstreams_choice(wanted, agreed):
    async with conversing(echo) as (_, proxy), connected(proxy, protocols=wanted) as socket:
        assert socket.protocol == agreed


async def test_upstreams_close_reaches_the_client():
    async def leave(socket: web.WebSocketResponse) -> None:
        await socket.send_str("last")
        await socket.close(code=4001, message=b"no more")

    async with conversing(leave) as (server, proxy), connected(proxy) as socket:
        assert (await soon(socket.receive())).data == "last"
        message = await soon(socket.receive())

        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "no more")
        await socket.close(code=4001)
        await soon(server.ended.wait())


def listener(heard: list[object]) -> Conversation:
    """Make a conversation that waits for the end, and keeps how it was said."""

    async def listen(socket: web.WebSocketResponse) -> None:
        message = await socket.receive()
        heard.append((message.type, message.data, message.extra))
        await socket.close(code=message.data)

    return listen


async def test_clients_close_reaches_the_upstream():
    heard: list[object] = []
    async with conversing(listener(heard)) as (server, proxy), connected(proxy) as socket:
        await soon(socket.close(code=4002, message=b"enough"))
        await soon(server.ended.wait())

    assert heard == [(WSMsgType.CLOSE, 4002, "enough")]


async def test_text_that_is_none_ends_both_sides():
    heard: list[object] = []
    async with conversing(listener(heard)) as (server, proxy), connected(proxy) as socket:
        await socket.send_frame(b"\xff", WSMsgType.TEXT)
        message = await soon(socket.receive())
        await soon(server.ended.wait())

        assert (message.type, message.data) == (WSMsgType.CLOSE, 1007)
        assert heard == [(WSMsgType.CLOSE, 1001, "")]


async def test_client_that_breaks_off_ends_the_upstreams_conversation():
    async with conversing(echo) as (server, proxy), connected(proxy) as socket:
        transport = socket._response.connection.transport
        transport.abort()

        await soon(server.ended.wait())


async def test_upstream_that_breaks_off_is_no_normal_end():
    async def break_off(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        socket._req.transport.abort()

    async with conversing(break_off) as (_, proxy), connected(proxy) as socket:
        await socket.send_str("go")
        message = await soon(socket.receive())

        assert (message.type, message.data) == (WSMsgType.CLOSE, 1014)


async def test_refusal_of_the_upstream_has_its_status():
    async with conversing(echo) as (_, proxy), PlainClient(proxy.url) as client:
        await client.request(
            "GET",
            "/elsewhere",
            Connection="Upgrade",
            Upgrade="websocket",
            Sec_WebSocket_Version="13",
            Sec_WebSocket_Key="MDEyMzQ1Njc4OWFiY2RlZg==",
        )
        head, error = await client.error()

        assert head.status == 403
        assert "opens no WebSocket" in error["message"]


async def test_stopping_tells_both_sides():
    async with conversing(echo, drain="10ms") as (server, proxy), connected(proxy) as socket:
        await socket.send_str("x")
        await soon(socket.receive())
        stopping = asyncio.ensure_future(proxy.stop())
        message = await soon(socket.receive())

        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        await socket.close(code=1001)
        await soon(stopping)
        await soon(server.ended.wait())

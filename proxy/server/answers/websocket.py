"""A WebSocket through the proxy: every message as it comes, in both directions, and how it ended."""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

from proxy.server.clients.exchange import Exchange
from proxy.server.clients.headers import towards_upstream
from proxy.server.upstreams.upstream import LARGEST_MESSAGE, Upstream, UpstreamSocket

#: What belongs to the handshake of one connection (RFC 6455, section 11.3).
_OF_THE_HANDSHAKE: Final = "sec-websocket-"
#: Seconds for the other side to answer a close.
_LAST_WORDS: Final = 1.0
#: Codes that say what became of a connection, and must not be sent (RFC 6455, section 7.4.1; 0: none came).
_NOT_SENT: Final = {0: WSCloseCode.OK, 1005: WSCloseCode.OK, 1006: WSCloseCode.BAD_GATEWAY}

Socket = web.WebSocketResponse | UpstreamSocket


@dataclass(frozen=True, slots=True)
class Ending:
    """How one side ended the conversation: the code and reason of RFC 6455, section 7.1."""

    code: int
    reason: bytes = b""


def is_websocket(request: Exchange) -> bool:
    """Tell whether a client wants to open a WebSocket (RFC 6455, section 4.2.1)."""
    headers = request.headers
    return (
        request.method == "GET"
        and headers.get("Upgrade", "").strip().lower() == "websocket"
        and "upgrade" in [name.strip() for name in headers.get("Connection", "").lower().split(",")]
        and "Sec-WebSocket-Key" in headers
    )


async def pass_websocket(request: Exchange, upstream: Upstream) -> web.StreamResponse:
    """Open a WebSocket at the upstream, then the client's, and carry messages until one of them ends it.

    Args:
        request: the client's.
        upstream: where it goes.

    Raises:
        UpstreamError: the upstream does not open one.
    """
    headers = towards_upstream(request)
    wanted = headers.getall("Sec-WebSocket-Protocol", [])
    for name in {name.lower() for name in headers if name.lower().startswith(_OF_THE_HANDSHAKE)}:
        del headers[name]
    protocols = [protocol.strip() for value in wanted for protocol in value.split(",")]
    theirs = await upstream.open_websocket(request.target, headers=headers, protocols=protocols)
    ours = web.WebSocketResponse(
        protocols=[theirs.protocol] if theirs.protocol else (),
        timeout=_LAST_WORDS,
        autoping=False,
        autoclose=False,
        compress=False,
        max_msg_size=LARGEST_MESSAGE,
    )
    try:
        await ours.prepare(request)
        await _converse(ours, theirs)
    finally:
        # Only where the client has gone without a word, or the proxy stops, is there something left to close.
        await theirs.close(code=WSCloseCode.GOING_AWAY)
        if ours.prepared:
            await ours.close(code=WSCloseCode.GOING_AWAY)
    return ours


async def _converse(ours: web.WebSocketResponse, theirs: UpstreamSocket) -> None:
    """Carry messages until one side ends, then end the other in the same way."""
    carriers: dict[asyncio.Task[Ending], tuple[Socket, Socket]] = {
        asyncio.create_task(_carry(ours, theirs)): (ours, theirs),
        asyncio.create_task(_carry(theirs, ours)): (theirs, ours),
    }
    try:
        done, _ = await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for carrier in carriers:
            carrier.cancel()
        await asyncio.wait(carriers)
    first = done.pop()
    source, sink = carriers[first]
    ending = first.result()
    await sink.close(code=ending.code, message=ending.reason)
    await source.close(code=ending.code)


async def _carry(source: Socket, sink: Socket) -> Ending:
    """Carry messages from one side to the other until either is at its end."""
    while True:
        message = await source.receive()
        try:
            match message.type:
                case WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case WSMsgType.PING:
                    await sink.ping(message.data)
                case WSMsgType.PONG:
                    await sink.pong(message.data)
                case WSMsgType.CLOSE:
                    return Ending(_sendable(message.data), (message.extra or "").encode())
                case WSMsgType.ERROR:  # it broke the protocol, and has been told so
                    return Ending(_sendable(source.close_code or WSCloseCode.ABNORMAL_CLOSURE))
                case _:  # it has gone without a word
                    return Ending(_sendable(WSCloseCode.ABNORMAL_CLOSURE))
        except ConnectionResetError:  # the sink has gone
            return Ending(_sendable(WSCloseCode.ABNORMAL_CLOSURE))


def _sendable(code: int) -> int:
    return _NOT_SENT.get(code, code)

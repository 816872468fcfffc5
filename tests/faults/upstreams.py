"""Scripts of upstreams that fail."""

from collections.abc import Callable
from contextlib import suppress

from tests.scripted import Script, Talk


def at_once(end: Callable[[Talk], None]) -> Script:
    """Make a script: end the connection before a request has come."""

    async def script(talk: Talk) -> None:
        end(talk)

    return script


def then_resets(*data: bytes) -> Script:
    """Make a script: take a request, begin to answer, reset."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)
        talk.reset()

    return script


def waits(*data: bytes) -> Script:
    """Make a script: take a request, begin to answer, say no more; the proxy has to leave."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)
        await left(talk)

    return script


def goes_on(first: bytes, again: bytes) -> Script:
    """Make a script: take a request, and send, again and again, until the proxy leaves."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        with suppress(ConnectionError):
            await talk.send(first)
            while not talk.writer.transport.is_closing():
                await talk.send(again)
                with suppress(TimeoutError):
                    await talk.closed_within(0.01)
        talk.gone.set()

    return script


async def left(talk: Talk) -> None:
    """Wait until the proxy has left, closing or resetting."""
    with suppress(ConnectionError):
        await talk.closed()
    talk.gone.set()

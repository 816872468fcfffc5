"""The three kinds of request that meet an upstream's faults differently, and what each shows of one."""

from collections.abc import Callable
from contextlib import suppress

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, chunk, soon
from tests.server.streams import ONE, PATH, QUESTION, ROLE, error_of

HALF_A_FILE = b"half a file"

NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"


class Ask:
    """What is passed through, and how its answer begins."""

    content_type = b"application/octet-stream"
    begun = (HALF_A_FILE,)

    async def ask(self, client: PlainClient) -> None:
        await client.request("GET", "/v1/files/1/content")

    async def fails(self, client: PlainClient, code: str, go: Callable[[], None]) -> None:
        """Read an answer that fails, and look at how it shows: it is broken off, and does not look whole.

        Args:
            client: has asked.
            code: of the failure, where there is room for it.
            go: lets the upstream go on, once the beginning has arrived.
        """
        head = await client.head()
        assert head.status == 200
        begun = HALF_A_FILE if "content-length" in head.headers else chunk(HALF_A_FILE)
        assert await soon(client.reader.readexactly(len(begun))) == begun
        go()
        with suppress(ConnectionResetError):
            rest = await client.closed()
            assert not rest.endswith(LAST_CHUNK)
            assert len(begun + rest) < int(head.headers.get("content-length", 2**20))

    async def next(self, client: PlainClient) -> bytes:
        """Ask for something else, on another connection, since this one is closed."""
        async with PlainClient(client.url) as other:
            return await get(other)


class AskForAStream(Ask):
    """A stream: what has come stays, and an error follows, and nothing that looks like an end."""

    content_type = b"text/event-stream"
    begun = (ROLE, ONE)

    async def ask(self, client: PlainClient) -> None:
        await client.post(PATH, QUESTION)

    async def fails(self, client: PlainClient, code: str, go: Callable[[], None]) -> None:
        assert (await client.head()).status == 200
        assert [await client.chunk(), await client.chunk()] == [ROLE, ONE]
        go()
        (last,) = await client.chunks()
        assert error_of(last)["code"] == code

    async def next(self, client: PlainClient) -> bytes:
        return await get(client)


class AskForAWhole(Ask):
    """A whole answer: nothing of it has left, so the error has a status."""

    content_type = b"application/json"
    begun = (b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{',)

    async def ask(self, client: PlainClient) -> None:
        await client.post(PATH, {name: value for name, value in QUESTION.items() if name != "stream"})

    async def fails(self, client: PlainClient, code: str, go: Callable[[], None]) -> None:
        go()
        head, error = await client.error()
        assert (head.status, error["code"]) == (504 if code == "upstream_timeout" else 502, code)

    async def next(self, client: PlainClient) -> bytes:
        return await get(client)


ASKS = {"stream": AskForAStream(), "whole": AskForAWhole(), "passed": Ask()}


async def get(client: PlainClient, path: str = "/") -> bytes:
    """Ask for something that is passed through, and has a length."""
    await client.request("GET", path)
    return await client.body(await client.head())

"""The fast road from an upstream: event streams go past aiohttp's parser, and wake no task.

aiohttp's client keeps the connections and the TLS, and reads the head of every answer that does not begin as
one before. But where the body is a chunked event stream, its bytes go from the transport through a decoder of
ours to whoever rewrites them, in one call.

This leans on what aiohttp does not promise, so it is done only with versions that it has been tried with.
With all others, and for all other bodies, `buffered_answer` is the road. Both are tested alike.
"""

from typing import Final

import aiohttp
from aiohttp.connector import Connection as Lease

from proxy.server.upstreams.answer_heads import Head
from proxy.server.upstreams.direct_body import DirectBody
from proxy.server.upstreams.direct_connection import DirectConnection
from proxy.server.upstreams.upstream_connection import Connection

#: How the versions of aiohttp begin whose client has been seen to work with this module.
TRIED: Final = ("3.14.",)


def kind_of_connection() -> type[Connection]:
    """Return the kind of connection that takes the fast road, if this aiohttp is known to bear it."""
    return DirectConnection if aiohttp.__version__.startswith(TRIED) else Connection


class DirectResponse(aiohttp.ClientResponse):
    """aiohttp's view of an answer, which remembers its body when the connection has gone on to the next.

    Attributes:
        body: of this answer, if it takes the fast road.
    """

    body: DirectBody | None = None

    @property
    def head(self) -> Head:
        """The head as it came."""
        return Head(self.status, self.reason, self.headers)

    def close(self) -> None:
        """Close the connection at once: aiohttp would wait for the other side to take its leave, too."""
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()

    async def start(self, connection: Lease) -> aiohttp.ClientResponse:
        """Wait for the head."""
        protocol = connection.protocol
        await super().start(connection)
        if isinstance(protocol, DirectConnection):
            self.body = protocol.body
        return self

    async def leave(self) -> None:
        """Give the connection back, and see to it that nothing is sent on it any more."""
        self.release()
        await self.wait_for_close()

"""What one reading of the configuration has set up, and the requests that came in while it was in force."""

import asyncio
from typing import Any, Final

from aiohttp import web

from proxy.config.schema import Configuration
from proxy.server.doors import Doors
from proxy.server.places import Places
from proxy.server.service import Service


class Generation:
    """A configuration at work, until its last request has ended. To be made while the event loop runs.

    Args:
        configuration: what it says holds for every request of this generation, however long that runs.
        places: counts the requests of all generations.

    Attributes:
        doors: what a request passes before it is served.
        service: serves it.

    Raises:
        ConfigurationError: a certificate or key in it is none.
    """

    def __init__(self, configuration: Configuration, places: Places):
        self.doors = Doors(configuration, places)
        self.service = Service(configuration)
        self._requests: set[asyncio.Task[Any]] = set()

    def take(self, request: web.Request, task: "asyncio.Task[Any]") -> None:
        """Serve a request, which `task` answers, to its end."""
        request[_GENERATION] = self
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def retire(self) -> None:
        """Wait for the end of the last request, then close."""
        while self._requests:
            await asyncio.wait(self._requests)
        await self.close()

    async def close(self) -> None:
        """Close all connections to the upstreams."""
        await self.service.close()


_GENERATION: Final = web.RequestKey("generation", Generation)


def generation_of(request: web.Request) -> Generation:
    """Return the generation that serves a request."""
    return request[_GENERATION]

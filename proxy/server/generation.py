"""What one reading of the configuration has set up, and the requests that came in while it was in force."""

from proxy.config.schema import Configuration
from proxy.server.answers.service import Service
from proxy.server.clients.doors import Doors
from proxy.server.clients.running import Running
from proxy.server.processes.places import Places


class Generation:
    """A configuration at work, until its last request has ended. To be made while the event loop runs.

    Args:
        configuration: what it says holds for every request of this generation, however long that runs.
        places: counts the requests of all generations.

    Attributes:
        doors: what a request passes before it is served.
        service: serves it.
        running: the requests that have not been answered.

    Raises:
        ConfigurationError: a certificate or key in it is none.
    """

    def __init__(self, configuration: Configuration, places: Places):
        self.doors = Doors(configuration, places)
        self.service = Service(configuration)
        self.running = Running()

    async def retire(self) -> None:
        """Wait for the end of the last request, then close."""
        await self.running.ended()
        await self.close()

    async def close(self) -> None:
        """Close all connections to the upstreams."""
        await self.service.close()

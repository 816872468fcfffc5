"""The operator's side of a proxy, be it one process or several: its listener, and the upstreams' health."""

from collections.abc import Awaitable, Callable, Mapping

from proxy.config.schema import Configuration, Upstream
from proxy.server.operator.admin import Admin
from proxy.server.operator.health import Health, Told
from proxy.server.operator.metrics import Collected

STOPPING = "The proxy is stopping."


class Oversight:
    """Watches over a proxy, from the first moment on, if its configuration has an admin listener.

    Args:
        configuration: says where it listens.
        mark: is told of the upstreams' health.
        metrics: returns what /metrics shows.

    Attributes:
        hindrance: why no requests should come, whatever the upstreams do; None: they can.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """

    def __init__(self, configuration: Configuration, mark: Told, metrics: Callable[[], Awaitable[Collected]]):
        self.hindrance: str | None = None
        there = configuration.admin
        self._admin = None if there is None else Admin(there, self._trouble, metrics)
        self._health = Health(mark)

    @property
    def url(self) -> str | None:
        """Where the operator finds health and metrics; None: nowhere."""
        return None if self._admin is None else self._admin.url

    async def start(self, upstreams: Mapping[str, Upstream]) -> None:
        """Answer, and ask these upstreams for their health."""
        if self._admin is not None:
            await self._admin.start()
        await self.follow(upstreams)

    async def follow(self, upstreams: Mapping[str, Upstream]) -> None:
        """Ask these upstreams from now on."""
        if self._admin is not None:
            await self._health.follow(upstreams)

    async def close(self) -> None:
        """Answer and ask no more."""
        await self._health.close()
        if self._admin is not None:
            await self._admin.stop()

    def _trouble(self) -> str | None:
        return self.hindrance or self._health.trouble

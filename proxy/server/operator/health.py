"""Which upstreams live: each is asked for its health path, again and again."""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

from proxy.config import schema
from proxy.errors import UpstreamError
from proxy.server.upstreams.upstream import Upstream

#: Seconds that an upstream has for its answer to a question after its health.
_PATIENCE: Final = 5.0


class Told(Protocol):
    """Who is told whether an upstream lives."""

    def __call__(self, upstream: str, /, *, up: bool) -> None:
        """Take the news of one answer, or of none."""


class Health:
    """What is known of the upstreams. To be made while the event loop runs.

    Args:
        tell: is told each time that one has been asked.
    """

    def __init__(self, tell: Told):
        self._tell = tell
        self._upstreams: Mapping[str, schema.Upstream] = {}
        #: Why an upstream does not live; None: it does. Not in there: it has not been asked yet.
        self._states: dict[str, str | None] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._trusted = False

    async def follow(self, upstreams: Mapping[str, schema.Upstream]) -> None:
        """Ask these upstreams. What is known of one whose settings are the same stays known.

        Args:
            upstreams: the settings of each, by name.
        """
        before, self._upstreams = self._upstreams, upstreams
        changed = {name for name in before if upstreams.get(name) != before[name]}
        await self._forget(changed)
        for name, settings in upstreams.items():
            if settings.health.interval and name not in self._asking:
                self._asking[name] = asyncio.create_task(self._watch(name, settings))
        self._trusted = any(not settings.health.interval for settings in upstreams.values())

    async def close(self) -> None:
        """Ask no more."""
        await self._forget(set(self._asking))

    async def _forget(self, names: set[str]) -> None:
        ended = [self._asking.pop(name) for name in names & self._asking.keys()]
        for task in ended:
            task.cancel()
        if ended:
            await asyncio.wait(ended)
        for name in names:
            self._states.pop(name, None)

    @property
    def trouble(self) -> str | None:
        """Why there is no upstream to send requests to; None if there is. One that is never asked is one."""
        if self._trusted or None in self._states.values():
            return None
        return " ".join(state for state in self._states.values() if state) or "No upstream has answered yet."

    async def _watch(self, name: str, settings: schema.Upstream) -> None:
        upstream = _asked(name, settings)
        try:
            while True:
                state = self._states[name] = await _state(upstream, settings.health.path)
                self._tell(name, up=state is None)
                await asyncio.sleep(settings.health.interval)
        finally:
            await upstream.close()


def _asked(name: str, settings: schema.Upstream) -> Upstream:
    """Return an upstream with connections of its own: requests may have taken all that are allowed."""
    timeouts = settings.timeouts.model_copy(update={"first_byte": _PATIENCE})
    return Upstream(name, settings.model_copy(update={"timeouts": timeouts, "max_connections": 0}))


async def _state(upstream: Upstream, path: str) -> str | None:
    """Return why an upstream does not live. Any answer below 500 shows that it does: it may want a key."""
    try:
        async with await upstream.ask("GET", path, headers={"Accept": "*/*"}) as answer:
            status = answer.status
    except UpstreamError as error:
        return str(error)
    return None if status < 500 else f"The upstream {upstream.host} answered {status} to {path}."

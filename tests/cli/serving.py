"""`straightwire serve` as a process of its own, whose log a test reads line by line."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.scripted import Scripted, soon

ROOT = Path(__file__).parents[2]
NEVER = {"interval": 0}


class Served:
    """The process.

    Args:
        file: its configuration.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.settings: dict[str, Any] = {}
        self.process: asyncio.subprocess.Process
        #: Every line of the log that has been read.
        self.told: list[dict[str, Any]] = []
        self.url = self.admin_url = ""

    async def line(self, event: str, **fields: Any) -> dict[str, Any]:
        """Read the log up to the next line of an event, with these fields; return it."""
        assert self.process.stderr is not None
        while text := await soon(self.process.stderr.readline()):
            line: dict[str, Any] = json.loads(text)
            self.told.append(line)
            if line["event"] == event and fields.items() <= line.items():
                return line
        raise AssertionError(f"the process has ended without {event}; it said {self.told}")

    async def lines(self, event: str, number: int) -> list[dict[str, Any]]:
        """Read the log up to the so-manyth line of an event from here; return these."""
        return [await self.line(event) for _ in range(number)]

    def configure(self, text: str | None = None, **settings: Any) -> None:
        """Write the configuration: `text` as it stands, or what it was with these settings."""
        self.settings |= settings
        self._file.write_text(text or json.dumps(self.settings))

    async def ended(self) -> int:
        """Wait for the end; return the exit status."""
        rest, _ = await asyncio.gather(soon(self.process.stderr.read()), soon(self.process.wait()))
        self.told += map(json.loads, rest.splitlines())
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def serving(
    upstream: Scripted,
    file: Path,
    environ: dict[str, str] | None = None,
    within: Sequence[str] = (),
    **settings: Any,
) -> AsyncIterator[Served]:
    """Run a process before one upstream, until it listens and as long as the test needs it.

    Args:
        upstream: the server behind it.
        file: where its configuration is written.
        environ: added to the environment.
        within: a command that runs the one that follows it.
        settings: of the configuration.
    """
    served = await start(upstream, file, environ, within, **settings)
    try:
        served.url = (await served.line("listening"))["url"]
        if served.settings["admin"]:
            served.admin_url = (await served.line("admin"))["url"]
        await served.line("upstream")
        yield served
    finally:
        if served.process.returncode is None:
            served.process.kill()
            await served.process.wait()


async def start(
    upstream: Scripted,
    file: Path,
    environ: dict[str, str] | None = None,
    within: Sequence[str] = (),
    **settings: Any,
) -> Served:
    """Start a process, as `serving` does, and leave it alone."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STRAIGHTWIRE_")}
    environment.pop("NOTIFY_SOCKET", None)
    served = Served(file)
    served.configure(
        **{
            "listen": {"port": 0},
            "admin": {"port": 0},
            "upstreams": {"local": {"url": upstream.url, "health": NEVER}},
            "log": {"format": "json"},
        }
        | settings
    )
    served.process = await asyncio.create_subprocess_exec(
        *(*within, sys.executable, "-m", "proxy", "serve", "--config", str(file)),
        cwd=ROOT,
        env=environment | (environ or {}),
        stderr=asyncio.subprocess.PIPE,
    )
    return served

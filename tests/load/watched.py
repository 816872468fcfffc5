"""A proxy in a process of its own (`python -m tests.load.watched`) that tells what it holds when asked.

The configuration comes as JSON on the command line. Each line on standard input is answered with one of JSON
on standard output, after a full collection: what is counted then is really held by something.
"""

import asyncio
import gc
import json
import os
import resource
import sys
from pathlib import Path
from typing import Self

from proxy.config.schema import Configuration
from proxy.server.processes.process import run


class Watch:
    """Answers the questions, beside the proxy in its event loop."""

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())

    def _answer(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            return
        tell(held())


def held() -> dict[str, int]:
    """Return what this process holds: tasks, open files, objects, Python's blocks, resident bytes.

    And how much garbage it has made so far that only a search could find, in objects.
    """
    gc.unfreeze()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return {
        "tasks": len(asyncio.all_tasks()),
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "objects": len(gc.get_objects()),
        "garbage": sum(generation["collected"] for generation in gc.get_stats()),
        "blocks": sys.getallocatedblocks(),
        "memory": pages * resource.getpagesize(),
    }


def tell(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    configuration = Configuration.model_validate_json(sys.argv[1])
    sys.exit(run(lambda: configuration, beside=Watch(), announce=lambda url: tell({"url": url})))

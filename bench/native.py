"""The emitter and the load client: built with the system's C compiler, started, and read."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from bench.loads import MODEL, STAMP, Load
from proxy.demo import answer

SOURCES: Final = Path(__file__).parent / "native"
BUILD: Final = Path(__file__).parent / ".build"

#: A client that has not ended by then is stuck: seconds beyond what its load takes.
_PATIENCE: Final = 60.0


class BenchError(Exception):
    """The bench cannot go on. `str()` of it says why, and what to do."""


@dataclass(frozen=True)
class Form:
    """The bytes that an emitter sends: how a stream begins, each content frame, how it ends."""

    first: bytes
    frame: bytes
    last: bytes


#: LocalAI of May 2023, as the demo imitates it: no id, no index, the role in every frame, no [DONE].
LOCALAI: Final = Form(b"", answer.frame(MODEL, STAMP), answer.frame(MODEL, None))


def _compliant(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {
        "id": "chatcmpl-52c8d85c69386a0ec4ca854a5c568a70",
        "object": "chat.completion.chunk",
        "created": 1684665888,
        "model": MODEL,
        "choices": [choice],
    }
    return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()


#: The same answer as OpenAI sends it, for peers that cannot read the other.
COMPLIANT: Final = Form(
    _compliant({"role": "assistant", "content": ""}),
    _compliant({"content": STAMP}),
    _compliant({}, "stop") + b"data: [DONE]\n\n",
)


@dataclass(frozen=True)
class Reading:
    """What the client saw: counts, seconds, and latencies in microseconds as {p50, p99, max}."""

    frames: int
    done: int
    answers: int
    failures: int
    failure: str
    seconds: float
    cpu: float
    frame: dict[str, int]
    first: dict[str, int]
    answer: dict[str, int]


@contextmanager
def emitter(form: Form) -> Iterator[tuple[int, int]]:
    """Run an emitter of this form; gives its port and its process id."""
    program = build("emitter")
    with subprocess.Popen([program, form.first, form.frame, form.last], stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            port = process.stdout.readline()
            if not port:
                raise BenchError("the emitter did not start (see above)")
            yield int(port), process.pid
        finally:
            process.kill()


#: Called with the name of a mark, and the number of frames that have come by then.
Mark = Callable[[str, int], None]


def run_client(port: int, key: str, load: Load, *, mark: Mark = lambda *_: None) -> Reading:
    """Put a load on whatever listens at a port of 127.0.0.1.

    Args:
        port: Where it listens.
        key: The bearer token to show.
        load: How much of what.
        mark: Called with "open" once every stream has begun, and with "closing" before the first of them
            ends. A load whose streams were not all open at once has no "open".

    Raises:
        BenchError: The client died, or did not come to an end.
    """
    limit = round(load.seconds + _PATIENCE)
    amounts = (load.streams, load.requests, load.frames, load.gap, limit)
    command = [str(build("client")), str(port), key, *map(str, amounts), load.body]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            for last in process.stdout:
                if not last.startswith("{"):
                    name, frames = last.split()
                    mark(name, int(frames))
        except BaseException:
            process.kill()
            raise
    if process.returncode == -signal.SIGALRM:
        raise BenchError(f"{load.name}: the streams did not end within {limit} s")
    if process.returncode:
        raise BenchError(f"{load.name}: the client ended with status {process.returncode} (see above)")
    return Reading(**json.loads(last))


@cache
def build(name: str) -> Path:
    """Compile a program, unless the very same source has been compiled before.

    Raises:
        BenchError: There is no compiler, or it refuses.
    """
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + (SOURCES / "sockets.h").read_bytes()).hexdigest()[:16]
    program = BUILD / f"{name}-{digest}"
    if program.exists():
        return program
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        raise BenchError("needs a C compiler; install one (Debian, Ubuntu: sudo apt install gcc libc6-dev)")
    BUILD.mkdir(exist_ok=True)
    # Two benches may build at once: each its own file, put in place whole.
    unfinished = program.with_suffix(f".{os.getpid()}")
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]
    if subprocess.run([compiler, *flags, "-o", unfinished, source], check=False).returncode:
        raise BenchError(f"{compiler} could not compile {source} (see above)")
    return unfinished.replace(program)

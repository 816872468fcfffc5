"""What is measured: nothing in between, nginx, straightwire. Each runs in a process of its own."""

import os
import resource
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from bench import processes
from bench.native import BenchError

#: Seconds for a target to answer its first request.
_START: Final = 120.0

_NGINX: Final = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {descriptors}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream emitter {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://emitter;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""

# Everything that costs is on: the repairs of the defaults, metrics, a log line for each request, a key.
_STRAIGHTWIRE: Final = """\
listen: {{host: 127.0.0.1, port: {port}}}
admin: {{host: 127.0.0.1, port: {admin}}}
upstreams:
  emitter: {{url: "http://127.0.0.1:{upstream}"}}
clients: {{api_keys: ["{key}"]}}
log: {{level: info, format: json}}
"""


@dataclass(frozen=True)
class Target:
    """Something that listens, and the process to charge for it; 0 where there is none in between."""

    name: str
    port: int
    pid: int
    #: CPU seconds from its start until it answered.
    start_cpu: float = 0.0
    #: Whether it ends every stream with [DONE], which LocalAI of May 2023 did not.
    finishes: bool = False
    #: Resident bytes then, before it had anything to do.
    idle_bytes: int = 0

    def cpu(self) -> float:
        return processes.cpu_seconds(self.pid) if self.pid else 0.0

    def resident(self) -> int:
        return processes.resident_bytes(self.pid) if self.pid else 0


#: Starts a target: given the emitter's port, the key that clients show, and a folder for its files.
Starter = Callable[[int, str, Path], AbstractContextManager[Target]]


def new_key() -> str:
    """Draw a key for clients, in the form that OpenAI's have and some gateways insist on."""
    return f"sk-{secrets.token_hex(16)}"


@contextmanager
def direct(upstream: int, _key: str, _folder: Path) -> Iterator[Target]:
    """Nothing in between: what the emitter and the client do by themselves."""
    yield Target("direct", upstream, 0)


@contextmanager
def nginx(upstream: int, key: str, folder: Path) -> Iterator[Target]:
    """nginx, one worker, passing bytes on as they come."""
    [port] = free_ports(1)
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream, descriptors=descriptors))
    command = [find_nginx(), "-p", str(folder), "-c", str(config)]
    with running("nginx", command, port, key, folder) as target:
        yield target


@contextmanager
def straightwire(upstream: int, key: str, folder: Path) -> Iterator[Target]:
    """straightwire as `serve` starts it, one process, with all that it does switched on."""
    port, admin = free_ports(2)
    config = folder / "straightwire.yaml"
    config.write_text(_STRAIGHTWIRE.format(port=port, admin=admin, upstream=upstream, key=key))
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    with running("straightwire", command, port, key, folder) as target:
        yield replace(target, finishes=True)


@contextmanager
def running(
    name: str,
    command: list[str],
    port: int,
    key: str,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Target]:
    """Run a command until it is no longer needed, and give it once it answers.

    Args:
        name: The target's.
        command: What to run.
        port: Where it will listen.
        key: The bearer token to show it.
        folder: Where its output goes.
        environment: Variables beside those of the bench.

    Raises:
        BenchError: It ended, or does not answer.
    """
    log = folder / f"{name}.log"
    variables = {**os.environ, **(environment or {})}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=variables) as process,
    ):
        try:
            _wait_for(process, port, key, log)
            yield Target(
                name,
                port,
                process.pid,
                start_cpu=processes.cpu_seconds(process.pid),
                idle_bytes=processes.resident_bytes(process.pid),
            )
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def free_ports(number: int) -> list[int]:
    """Return so many ports, no two alike, that nobody listens on."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [int(probe.getsockname()[1]) for probe in probes]


def allow_descriptors(streams: int) -> None:
    """Let what is started from now on have as many open files as so many streams need.

    Not many more: nginx takes memory for each that it may have. But a quarter more than two for a stream:
    near its limit it closes connections that have said nothing yet.

    Raises:
        BenchError: A proxy could not hold so many streams.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * streams * 5 // 4 + 200
    if most < needed:
        raise BenchError(
            f"{streams:,} streams need {needed:,} open files, and this machine allows {most:,};"
            " raise the hard limit of `ulimit -n`, or take fewer: --streams"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


def find_nginx() -> str:
    """Return nginx's path, after installing it if this is a Debian and we may.

    Raises:
        BenchError: It is not there and cannot be installed.
    """
    # Debian keeps it where the PATH of users does not lead.
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
    found = shutil.which("nginx", path=path)
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        print("bench: installing the Debian package nginx-light, which is the reference", file=sys.stderr)
        _install("nginx-light")
        found = shutil.which("nginx", path=path)
    if not found:
        raise BenchError("needs nginx as the reference (Debian, Ubuntu: sudo apt install nginx-light)")
    return found


def _install(package: str) -> None:
    # The package would start a server of its own, on port 80; this file is how Debian is told not to.
    refusal = Path("/usr/sbin/policy-rc.d")
    is_ours = not refusal.exists()
    if is_ours:
        refusal.write_text("#!/bin/sh\nexit 101\n")
        refusal.chmod(0o755)
    try:
        for command in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                check=False,
            )
    finally:
        if is_ours:
            refusal.unlink()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, key: str, log: Path) -> None:
    deadline = time.monotonic() + _START
    while not _answers(port, key):
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            said = log.read_text("utf-8", "replace").strip().splitlines()[-5:]
            what = f"ended with status {process.returncode}" if ended else f"did not answer in {_START:.0f} s"
            raise BenchError("\n  ".join([f"{log.stem} {what}; its last words:", *said]))
        time.sleep(0.005)


def _answers(port: int, key: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


#: What stands between the emitter and the client.
TARGETS: Final[dict[str, Starter]] = {"direct": direct, "nginx": nginx, "straightwire": straightwire}

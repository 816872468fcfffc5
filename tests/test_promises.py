"""What SECURITY.md promises of the process: nothing at import, no root, no writing, no own connection."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.scripted import PATIENCE

ROOT = Path(__file__).parents[1]
#: Tells standard error of whatever leaves the process; Python itself reports it (PEP 578).
WATCHED = """\
import os, sys
def tell(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            os.write(2, f"WATCH writes {path!r}\\n".encode())
    elif event in ("os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.chmod", "os.truncate"):
        os.write(2, f"WATCH writes {arguments!r}\\n".encode())
    elif event == "socket.connect":
        os.write(2, f"WATCH connects {arguments[1]!r}\\n".encode())
    elif event in ("socket.bind", "socket.sendto", "socket.sendmsg"):
        os.write(2, f"WATCH {event.removeprefix('socket.')}s {arguments[1]!r}\\n".encode())
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        os.write(2, f"WATCH resolves {arguments[0]!r}\\n".encode())
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn"):
        os.write(2, f"WATCH starts {arguments!r}\\n".encode())
sys.dont_write_bytecode = True
"""
IMPORT_ALL = """
import importlib, pkgutil
import proxy
names = [module.name for module in pkgutil.walk_packages(proxy.__path__, "proxy.")]
sys.addaudithook(tell)
for name in names:
    if name != "proxy.__main__":
        importlib.import_module(name)
"""
#: Root's rights go once all is imported: the interpreter may stand where only root can read. 65534 is nobody.
#: From then on no file can grow, not even one that C code writes.
SERVE = """
import encodings.idna, resource
from proxy.cli import main
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
main(sys.argv[1:])
"""


def watched(program, *arguments, **settings):
    """Run a program of ours; the coverage tool, which writes files of its own, is kept out of it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.Popen(
        [sys.executable, "-c", WATCHED + program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | settings,
    )


def seen(stderr):
    return [line.removeprefix("WATCH ") for line in stderr.splitlines() if line.startswith("WATCH ")]


def test_no_code_runs_at_import():
    process = watched(IMPORT_ALL)
    told, complained = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complained
    assert (told, seen(complained)) == ("", [])


def test_it_serves_without_root_writing_and_connections_of_its_own():
    demo = subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--serve", "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process = None
    try:
        upstream = told_by(demo.stdout, r"curl -N (http://[\d.:]+)/")
        process = watched(
            IMPORT_ALL + SERVE,
            *("serve", "--upstream", upstream, "--listen", "127.0.0.1:0"),
            STRAIGHTWIRE_ADMIN__PORT="0",
            STRAIGHTWIRE_LOG__FORMAT="json",
        )
        lines = []
        url = told_by(process.stderr, r"\"url\": ?\"(http://[\d.:]+)\"", lines)
        assert ask(url).endswith(b"data: [DONE]\n\n")
        # What libraries open without a word to Python, the kernel knows.
        assert far_ends(process.pid, urlsplit(url).port) - {("tcp", urlsplit(upstream).port)} == {("tcp", 0)}
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        host, port = urlsplit(upstream).hostname, urlsplit(upstream).port
        assert set(seen("".join(lines) + rest)) == {
            *("resolves '127.0.0.1'", "binds ('127.0.0.1', 0)"),  # to listen
            f"connects {(host, port)!r}",
            "writes '/proc/self/fd/2'",  # no file: its log, a pipe that is opened once more
        }
    finally:
        for started in (demo, process):
            if started is not None:
                started.kill()
                started.communicate()


def told_by(stream, pattern, lines=None):
    """Read lines until one says it."""
    while line := stream.readline():
        if lines is not None:
            lines.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(f"ended without saying {pattern}: {lines}")


def far_ends(pid, own):
    """Return the far ends of what the process has open, without its clients; what listens has 0."""
    folder = Path(f"/proc/{pid}")
    inodes = {str(file.readlink()).removeprefix("socket:").strip("[]") for file in (folder / "fd").iterdir()}
    return {
        (protocol[:3], port_of(fields[2]))
        for protocol in ("tcp", "tcp6", "udp", "udp6")
        for fields in map(str.split, (folder / "net" / protocol).read_text().splitlines()[1:])
        if fields[9] in inodes and (port_of(fields[1]) != own or port_of(fields[2]) == 0)
    }


def port_of(address):
    return int(address.rpartition(":")[2], 16)


def ask(url):
    body = {"model": "ggml-gpt4all-j", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
        )
        return connection.getresponse().read()


@pytest.mark.parametrize(
    "name", re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "SECURITY.md").read_text("utf-8"))
)
def test_what_shows_a_promise_exists(name):
    assert (ROOT / name).exists()

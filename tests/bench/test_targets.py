"""The comparison is even: both targets keep connections to the upstream, and pass frames on as they come."""

import os
import shutil
import socketserver
import threading

import pytest

from bench import processes
from bench.loads import Load
from bench.native import LOCALAI, emitter, run_client
from bench.targets import TARGETS, allow_descriptors, free_ports

NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")

pytestmark = [
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler: gcc, libc6-dev"),
    pytest.mark.skipif(not NGINX, reason="needs nginx: nginx-light"),
]

through = pytest.mark.parametrize("name", ["nginx", "straightwire"])


class Counting(socketserver.StreamRequestHandler):
    """An upstream that answers as the emitter does, and counts connections on which a chat was asked for."""

    def handle(self):
        asked, staying = 0, True
        while staying and (line := self.rfile.readline()):
            length, staying = 0, line.endswith(b"HTTP/1.1\r\n")
            while (field := self.rfile.readline().lower()) != b"\r\n":
                if field.startswith(b"content-length:"):
                    length = int(field.partition(b":")[2])
                staying = staying and field != b"connection: close\r\n"
            self.rfile.read(length)
            if line.startswith(b"GET"):
                self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data":[]}')
                continue
            asked += 1
            self.server.connections += asked == 1
            answer = LOCALAI.frame + LOCALAI.last
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.wfile.write(b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(answer), answer))


@pytest.fixture
def counting():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Counting) as server:
        server.daemon_threads = True
        server.connections = 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@through
def test_a_target_asks_the_upstream_on_connections_that_are_kept(name, counting, tmp_path):
    tmp_path.chmod(0o755)
    load = Load("request", streams=1, frames=1, requests=30)
    with TARGETS[name](counting.server_address[1], "sk-key", tmp_path) as target:
        reading = run_client(target.port, "sk-key", load)
    assert (reading.answers, reading.failures) == (30, 0)
    assert counting.connections <= 2


@through
def test_a_target_passes_frames_on_as_they_come(name, tmp_path):
    """A few frames would fill a packet; one comes each quarter of a second."""
    load = Load("lone", streams=1, frames=9, rate=4)
    with emitter(LOCALAI) as (port, _), TARGETS[name](port, "sk-key", tmp_path) as target:
        reading = run_client(target.port, "sk-key", load)
    assert reading.answer["p50"] > 1_900_000
    assert reading.first["p50"] < 1_000_000
    assert reading.frame["p50"] < 250_000


@through
def test_a_target_is_known_with_all_its_processes(name, tmp_path):
    with emitter(LOCALAI) as (port, _), TARGETS[name](port, "sk-key", tmp_path) as target:
        before = target.cpu()
        run_client(target.port, "sk-key", Load("request", 1, 1, requests=300))
        assert target.cpu() > before + 300 * 2e-6, "no proxy takes a request for two microseconds"
        assert len(processes.tree(target.pid)) == {"nginx": 2, "straightwire": 1}[name]
        assert target.finishes is (name == "straightwire"), "nginx passes on what LocalAI sends"
        assert 2**20 < target.idle_bytes < 2**28
        assert 0 < target.start_cpu < target.cpu()


def test_as_many_files_are_allowed_as_the_streams_need_and_a_quarter_more(monkeypatch):
    """nginx has memory for each, and closes connections before it has none left."""
    limits = []
    monkeypatch.setattr("bench.targets.resource.getrlimit", lambda _: (50, 4_000))
    monkeypatch.setattr("bench.targets.resource.setrlimit", lambda _, pair: limits.append(pair))
    allow_descriptors(1_000)
    assert limits == [(2_700, 4_000)]


def test_ports_drawn_together_differ():
    assert len(set(free_ports(200))) == 200

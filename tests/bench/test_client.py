"""The load client reads a stream however it is cut, and takes none for whole that is not."""

import shutil
import socketserver
import threading
import time
from contextlib import contextmanager

import pytest

from bench.loads import Load
from bench.native import LOCALAI, STAMP, run_client

pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler: gcc, libc6-dev")

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def frame(age=0):
    """A frame that left so many seconds ago."""
    stamp = time.monotonic_ns() - age * 1_000_000_000
    return chunk(LOCALAI.frame.replace(STAMP.encode(), b" %016d" % stamp))


@contextmanager
def answering(*pieces):
    """A server that answers every request with these pieces, each a write; its port."""

    class Server(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self):
            while self.rfile.readline():
                while (field := self.rfile.readline().lower()) != b"\r\n":
                    if field.startswith(b"content-length:"):
                        length = int(field.partition(b":")[2])
                self.rfile.read(length)
                for piece in pieces:
                    self.wfile.write(piece)
                if not b"".join(pieces).endswith(END):
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def read(load, *pieces):
    with answering(*pieces) as port:
        return run_client(port, "key", load)


def test_a_stream_may_be_cut_anywhere():
    whole = HEAD + frame() + frame() + chunk(b"data: [DONE]\n\n") + END
    reading = read(Load("flood", 1, 2, requests=3), *(bytes([byte]) for byte in whole))
    assert (reading.frames, reading.answers, reading.done, reading.failures) == (6, 3, 3, 0)


def test_a_line_may_go_over_several_chunks():
    line = frame().split(b"\r\n")[1] + b"\n\n"
    pieces = [chunk(line[place : place + 7]) for place in range(0, len(line), 7)]
    assert read(Load("flood", 1, 1), HEAD, *pieces, END).frames == 1


def test_what_has_no_stamp_is_no_frame():
    others = [b'{"choices":[{"delta":{"role":"assistant"}}]}', b'{"choices":[{"delta":{"content":" one"}}]}']
    pieces = [chunk(b"data: %b\n\n" % data) for data in others]
    reading = read(Load("flood", 1, 1), HEAD, *pieces, frame(), chunk(b": data: a comment\n\n"), END)
    assert (reading.frames, reading.answers) == (1, 1)


def test_ages_are_told_by_their_rank():
    """A frame's age is what has gone by since the moment that stands in it."""
    ages = [*range(1, 101), *range(200, 100, -1)]
    reading = read(Load("flood", 1, 200), HEAD, *map(frame, ages), END)
    assert {rank: age // 1_000_000 for rank, age in reading.frame.items()} == {
        "p50": 101,
        "p99": 199,
        "max": 200,
    }
    assert 0 < reading.first["max"] <= reading.answer["p50"] < 60_000_000


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([HEAD, frame(), END], "frames are missing or too many: 1 of 2"),
        ([HEAD, frame(), frame(), frame(), END], "frames are missing or too many: 3 of 2"),
        ([HEAD, frame(), frame()], "the connection ended early"),
        (
            [HEAD, frame(), chunk(b'data: {"error":{"message":"no"}}\n\n'), END],
            "an error in the stream: data: ",
        ),
        ([b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n", END], "refused: HTTP/1.1 503 Busy"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", END], "not a stream: Content-Length: 5"),
        ([HEAD, chunk(b"data: " + 5_000 * b"a"), END], "a line longer than a frame can be"),
    ],
)
def test_an_answer_that_is_not_whole_has_failed_and_says_why(pieces, reason):
    reading = read(Load("flood", 1, 2), *pieces)
    assert (reading.answers, reading.failures) == (0, 1)
    assert reading.failure.startswith(reason)

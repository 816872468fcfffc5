"""Chunks taken off a body: whole however it is cut, and nothing of what is no chunk or follows the end."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.chunked import ChunkedDecoder

END = b"0\r\n\r\n"


def decoded(*pieces: bytes) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder()
    return b"".join([decoder.feed(piece) for piece in pieces]), decoder


BODIES = {
    "empty": (END, b""),
    "one-chunk": (b"3\r\none\r\n" + END, b"one"),
    "several": (b"3\r\none\r\nA\r\ntwo, three\r\n" + END, b"onetwo, three"),
    "leading-zeros": (b"003\r\none\r\n000\r\n\r\n", b"one"),
    "extensions": (b"3;a=b\r\none\r\n3 ; c\r\ntwo\r\n0;d\r\n\r\n", b"onetwo"),
    "trailers": (b"3\r\none\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"one"),
    "line-ends-inside": (b"6\r\n\r\n0\r\n\r\r\n" + END, b"\r\n0\r\n\r"),
}


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES)
def test_body_is_the_same_wherever_it_is_cut(body, expected):
    for cut in range(len(body)):
        data, decoder = decoded(body[:cut], body[cut:])
        assert (data, decoder.ended, decoder.broken, decoder.surplus) == (expected, True, False, False)
    assert decoded(*(bytes([byte]) for byte in body))[0] == expected


@given(st.data(), st.lists(st.binary(min_size=1, max_size=40), max_size=8))
@settings(deadline=None)
def test_every_body_comes_out_as_it_went_in(data, chunks):
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + END
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[start:end] for start, end in pairwise([0, *cuts, len(body)])]
    got, decoder = decoded(*pieces)

    assert got == b"".join(chunks)
    assert decoder.ended


BROKEN = {
    "no-digit": (b"zz\r\n", b""),
    "empty-line": (b"\r\n", b""),
    "sign": (b"+3\r\none\r\n", b""),
    "underscore": (b"1_0\r\n", b""),
    "prefix": (b"0x3\r\none\r\n", b""),
    "space-before": (b" 3\r\none\r\n", b""),
    "too-many-digits": (b"0" * 16 + b"3\r\none\r\n", b""),
    "line-without-end": (b"3;" + b"x" * 5000, b""),
    "trailer-without-end": (b"3\r\none\r\n0\r\n" + b"x" * 5000, b"one"),
    "longer-than-its-size": (b"3\r\none, two\r\n", b"one"),
    "shorter-than-its-size": (b"5\r\none\r\n3\r\ntwo\r\n", b"one\r\n"),
    "line-feed-alone": (b"3\r\none\n" + END, b"one"),
}


@pytest.mark.parametrize(("body", "expected"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_chunk_is_noticed_wherever_it_is_cut(body, expected):
    for cut in range(len(body)):
        data, decoder = decoded(b"2\r\nA:\r\n", body[:cut], body[cut:], b"3\r\nnot\r\n")
        assert (data, decoder.broken, decoder.ended) == (b"A:" + expected, True, False)


@pytest.mark.parametrize("line", [b"z", b"3\n", b"3 x", b"-", b";", b"\r", b"0" * 16, b"3\r\r"])
def test_line_that_cannot_become_a_size_is_not_waited_for(line):
    assert decoded(line)[1].broken


@pytest.mark.parametrize("line", [b"3", b"3 ", b"3\r", b"3;", b"3 ;\n", b"0" * 15])
def test_line_that_may_become_one_is(line):
    assert not decoded(line)[1].broken


@pytest.mark.parametrize("body", [b"3\r\none\r\n" + END, b"0\r\nA: b\r\n\r\n"])
def test_what_follows_the_end_is_noticed_and_not_decoded(body):
    for surplus in (b"3\r\ntwo\r\n", b"HTTP/1.1 200 OK\r\n"):
        at_once, decoder = decoded(body + surplus)
        later, other = decoded(body, surplus)
        assert at_once == later == decoded(body)[0]
        assert decoder.surplus
        assert other.surplus
    assert not decoded(body)[1].surplus


def test_beginning_of_a_chunk_is_not_kept_back():
    decoder = ChunkedDecoder()

    assert [decoder.feed(piece) for piece in (b"5\r\non", b"e", b" 2\r\n", END)] == [b"on", b"e", b" 2", b""]

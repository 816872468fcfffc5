"""What the bench in process plays to the rewriter is what it says."""

import pytest

from bench import inprocess
from proxy.wire.rewriter import StreamRewriter
from tests.wire.contract import check_stream

form_of = pytest.mark.parametrize("form", inprocess.FORMS.values(), ids=inprocess.FORMS)


@form_of
def test_a_stream_of_one_word_is_whole(form: str) -> None:
    rewriter = StreamRewriter(inprocess.CHAT, inprocess.ORIGIN, inprocess.PLAN)
    frames = rewriter.receive_data(inprocess.one_word(form))
    frames += [] if rewriter.ended else rewriter.receive_eof()

    answer = check_stream(b"".join(frames), inprocess.CHAT)
    assert answer.done
    assert answer.choices[0].texts == {"content": " one"}
    assert answer.choices[0].finish == "stop"
    assert bool(rewriter.report.repairs) is (form is inprocess.LOCALAI)


def test_each_of_them_has_its_row() -> None:
    assert [measure() > 0 for measure in inprocess.streams().values()] == [True, True]


def test_what_goes_from_chunk_to_chunk_arrives() -> None:
    reads = list(map(inprocess.as_chunk, inprocess.stream_of(inprocess.COMPLIANT)))
    take = inprocess.passing_on()

    assert [take(read) for read in reads] == reads

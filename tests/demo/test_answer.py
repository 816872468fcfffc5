"""The bodies and frames, as far as no request over a socket can show them."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.demo import answer


def test_tokens_are_words_with_the_space_before_them():
    assert answer.tokens("1 2\n\nthree  <b>four</b> ") == ["1", " 2", "\n\nthree", "  <b>four</b>", " "]


@given(st.text())
def test_tokens_make_up_the_text(text):
    assert "".join(answer.tokens(text)) == text


def test_an_empty_token_leaves_only_the_role():
    assert b'"choices":[{"delta":{"role":"assistant"}}]' in answer.frame("m", "")


@given(st.text())
def test_vectors_are_as_short_as_go_writes_them_and_end_in_no_zero(text):
    body = answer.embeddings("m", [text], []).decode()
    vector = body.split('"embedding":[')[1].split("]")[0].split(",")

    assert len(vector) == 4
    assert all(len(number.lstrip("-")) == len("0.1") and number[-1] != "0" for number in vector)

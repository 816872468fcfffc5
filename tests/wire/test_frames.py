"""A chunk that is written anew has its keys in OpenAI's order, whichever it has, and loses none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.chunk import CHAT_CHOICE_KEYS, CHUNK_KEYS, Origin, StreamState
from proxy.wire.frames import FrameWriter
from proxy.wire.requests import Endpoint, Request

TEXT_CHOICE_KEYS = ("index", "text", "logprobs", "finish_reason")
ENDPOINTS = {Endpoint.CHAT: CHAT_CHOICE_KEYS, Endpoint.COMPLETIONS: TEXT_CHOICE_KEYS}


def some(keys: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """Any of the keys, and others, in any order."""
    return st.lists(st.sampled_from([*keys, "x", "y"]), unique=True)


def ordered(keys: list[str], order: tuple[str, ...]) -> list[str]:
    return [key for key in order if key in keys] + [key for key in keys if key not in order]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.value)
@given(st.data())
def test_keys_are_in_order(endpoint: Endpoint, data: st.DataObject) -> None:
    chunk_keys = data.draw(some(CHUNK_KEYS).filter(lambda keys: "choices" in keys))
    choice_keys = data.draw(some(ENDPOINTS[endpoint]))
    choices = [dict.fromkeys(choice_keys, 1), dict.fromkeys(choice_keys, 2)]
    writer = FrameWriter(StreamState(Request(endpoint), Origin("token", 1)))

    writer.chunk(dict.fromkeys(chunk_keys, 0) | {"choices": choices}, None)

    (frame,) = writer.frames
    written = json.loads(frame.removeprefix(b"data: "))
    assert list(written) == ordered(chunk_keys, CHUNK_KEYS)
    for choice, value in zip(written["choices"], (1, 2), strict=True):
        assert list(choice.items()) == [(key, value) for key in ordered(choice_keys, ENDPOINTS[endpoint])]

"""A chunk in which nothing is wrong is known at a glance, and no other is taken for one."""

from typing import Any

import pytest

from proxy.wire.chunk import STREAMING, Origin, Phase, StreamState
from proxy.wire.plan import MISSING
from proxy.wire.requests import Endpoint, Request
from proxy.wire.right import is_right

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m"}
SAYS = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
FINISHES = {"index": 0, "delta": {}, "finish_reason": "stop"}


def begun() -> StreamState:
    """A stream whose only choice has begun."""
    stream = StreamState(Request(Endpoint.CHAT), Origin("token", 1))
    stream.identify(dict(CHUNK))
    stream.choice(0).phase = STREAMING
    return stream


def is_chunk_right(choice: Any, stream: StreamState | None = None, **others: Any) -> bool:
    return is_right(CHUNK | {"choices": [choice]} | others, stream or begun(), MISSING)


@pytest.mark.parametrize(
    "choice",
    [
        SAYS,
        FINISHES,
        SAYS | {"logprobs": None},
        SAYS | {"delta": {"content": None, "reasoning_content": "Well"}},
        SAYS | {"delta": {"content": "Hi"}, "stop_reason": None},
        FINISHES | {"finish_reason": "length"},
    ],
    ids=str,
)
def test_what_is_right(choice: dict[str, Any]) -> None:
    assert is_chunk_right(choice)
    assert is_chunk_right(choice, system_fingerprint="fp", service_tier="default")


@pytest.mark.parametrize(
    "others",
    [
        *({key: value} for key in ("id", "object", "model") for value in ("", "other", None, 7)),
        *({"created": value} for value in (8, 7.0, "7", None, True)),
        *({"usage": value} for value in (None, {}, {"total_tokens": 1})),
        {"error": None},
        *({"choices": value} for value in (None, [], {}, [SAYS, SAYS], ["Hi"], [None])),
    ],
    ids=str,
)
def test_a_chunk_that_is_wrong(others: dict[str, Any]) -> None:
    assert not is_chunk_right(SAYS, **others)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"index": value} for value in (1, None, "0", 0.0, False)),
        *({"delta": value} for value in (None, "Hi", [], {}, {"content": ""}, {"content": None})),
        *({"delta": {"content": value}} for value in (7, ["Hi"], {"text": "Hi"})),
        *({"delta": {"content": "Hi", key: "x"}} for key in ("role", "tool_calls", "function_call")),
        *({"finish_reason": value} for value in ("", "stop", 0, False)),
        {"logprobs": {"content": []}},
        *({key: None} for key in ("message", "text", "usage", "error")),
    ],
    ids=str,
)
def test_a_choice_that_is_wrong(wrong: dict[str, Any]) -> None:
    assert not is_chunk_right(SAYS | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"finish_reason": value} for value in ("", "eos", None, 1)),
        *({"delta": value} for value in ({"content": ""}, {"role": "assistant"}, {"content": "Hi"})),
        {"text": ""},
    ],
    ids=str,
)
def test_a_finish_that_is_wrong(wrong: dict[str, Any]) -> None:
    assert not is_chunk_right(FINISHES | wrong)


@pytest.mark.parametrize("key", [*CHUNK, "choices"])
def test_a_chunk_in_which_something_is_missing(key: str) -> None:
    chunk = CHUNK | {"choices": [SAYS]}
    del chunk[key]

    assert not is_right(chunk, begun(), MISSING)


@pytest.mark.parametrize("key", SAYS)
def test_a_choice_in_which_something_is_missing(key: str) -> None:
    assert not is_chunk_right({name: value for name, value in SAYS.items() if name != key})


def test_usage_is_null_where_it_was_asked_for() -> None:
    chunk = CHUNK | {"choices": [SAYS]}

    assert is_right(chunk | {"usage": None}, begun(), None)
    assert not is_right(chunk, begun(), None)


FIRST = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}


def unbegun() -> StreamState:
    return StreamState(Request(Endpoint.CHAT), Origin("token", 1))


@pytest.mark.parametrize("content", [{}, {"content": ""}, {"content": None}], ids=str)
def test_the_first_says_who_speaks(content: dict[str, Any]) -> None:
    assert is_chunk_right(FIRST | {"delta": {"role": "assistant"} | content}, unbegun())
    assert not is_chunk_right(FIRST | {"delta": {"role": "assistant"} | content})


@pytest.mark.parametrize(
    "wrong",
    [
        *({"delta": value} for value in ({}, {"content": "Hi"}, {"role": "user"}, {"role": None})),
        {"delta": {"role": "assistant", "content": "Hi"}},
        {"delta": {"role": "assistant", "reasoning": ""}},
        {"finish_reason": "stop"},
        {"message": {}},
    ],
    ids=str,
)
def test_a_first_that_is_wrong(wrong: dict[str, Any]) -> None:
    assert not is_chunk_right(FIRST | wrong, unbegun())


@pytest.mark.parametrize("key", CHUNK)
def test_the_first_tells_all_that_stays(key: str) -> None:
    assert not is_chunk_right(FIRST, unbegun(), **{key: None})


def test_only_in_the_middle_of_one_choice_nothing_of_which_is_held_back() -> None:
    assert not is_chunk_right(SAYS, unbegun())
    for phase in set(Phase) - {STREAMING}:
        stream = begun()
        stream.choice(0).phase = phase
        assert not is_chunk_right(SAYS, stream)
    finished, halved, several = begun(), begun(), begun()
    finished.choice(0).finish = "stop"
    halved.choice(0).halves["content"] = "\ud83d"
    several.choice(1)
    for stream in (finished, halved, several):
        assert not is_chunk_right(SAYS, stream)

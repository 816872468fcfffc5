"""The model's name in a request, exchanged in place.

A request may hold megabytes of images. To send it to another model only the
value of its top-level `model` changes; every other byte stays as the client
wrote it, and none of it is parsed and written anew.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

import orjson

from proxy.errors import InvalidRequest

#: From so many plain bytes on, looking for a string's end by `find` beats matching byte by byte.
_LONG: Final = 512
#: Keys that a request may have; each takes a few microseconds, in which nobody else is served.
_MOST_KEYS: Final = 10_000
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
#: A number, or one of JSON's three words.
_BARE: Final = re.compile(rb"[-+.0-9A-Za-z]++")
_ESCAPES: Final = re.compile(rb'(?:\\.[^"\\]{0,%d}+)++' % _LONG, re.DOTALL)
_STRING: Final = rb'"[^"\\]{0,%d}+(?:\\.[^"\\]{0,%d}+)*+"' % (_LONG, _LONG)
_FLAT: Final = rb'(?:[^"\[\]{}]++|%s)' % _STRING
#: All that neither opens nor closes what is not closed within it; it stops before a long string.
_PLAIN: Final = re.compile(rb"(?:%s|[\[{]%s*+[\]}])*+" % (_FLAT, _FLAT), re.DOTALL)


def rename_model(body: bytes, model: str) -> bytes:
    """Return `body` with `model` as the value of its top-level `model`.

    A key that is there twice is changed twice, since parsers differ in which one they
    take. A missing one is put in front.

    Args:
        body: a JSON object. Only its outline is read, in linear time.
        model: the name that the upstream knows.

    Raises:
        InvalidRequest: it is not a JSON object, or one of more keys than anybody needs.
    """
    name = orjson.dumps(model)
    pieces = []
    done = 0
    for start, end in _values(body):
        pieces += [body[done:start], name]
        done = end
    if not pieces:
        brace = body.index(b"{") + 1
        empty = body[_after_space(body, brace)] == ord("}")
        pieces, done = [body[:brace], b'"model":', name, b"" if empty else b","], brace
    return b"".join([*pieces, body[done:]])


def _values(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each value of a top-level `model` begins and ends."""
    at = _after_space(body, 0)
    if body[at : at + 1] != b"{":
        raise InvalidRequest("The request body must be a JSON object.")
    at = _after_space(body, at + 1)
    if body[at : at + 1] == b"}":
        _expect_end(body, at + 1)
        return
    for _ in range(_MOST_KEYS):
        end_of_key = _string_end(body, at)
        key = body[at:end_of_key]
        at = _after_space(body, end_of_key)
        if body[at : at + 1] != b":":
            raise _not_json(at)
        at = _after_space(body, at + 1)
        end = _value_end(body, at)
        if _is_model(key):
            yield at, end
        at = _after_space(body, end)
        mark = body[at : at + 1]
        if mark == b"}":
            _expect_end(body, at + 1)
            return
        if mark != b",":
            raise _not_json(at)
        at = _after_space(body, at + 1)
    raise InvalidRequest(f"The request body has more than {_MOST_KEYS} keys.")


def _is_model(key: bytes) -> bool:
    if b"\\" not in key:
        return key == b'"model"'
    # No escape is longer than the six bytes of \uXXXX.
    if len(key) > 2 + 6 * len("model"):
        return False
    try:
        return bool(json.loads(key) == "model")
    except ValueError:
        return False


def _value_end(body: bytes, at: int) -> int:
    mark = body[at : at + 1]
    if mark == b'"':
        return _string_end(body, at)
    if mark and mark in b"[{":
        return _nested_end(body, at)
    end = _after(_BARE, body, at)
    if end == at:
        raise _not_json(at)
    return end


def _nested_end(body: bytes, at: int) -> int:
    depth = 0
    while True:
        mark = body[at : at + 1]
        if mark == b'"':
            at = _string_end(body, at)
        elif mark and mark in b"[{":
            depth += 1
            at += 1
        elif mark and mark in b"]}":
            depth -= 1
            at += 1
            if not depth:
                return at
        else:
            end = _after(_PLAIN, body, at)
            if end == at:
                raise _not_json(at)
            at = end


def _string_end(body: bytes, at: int) -> int:
    """Return the place after the string that begins at `at`."""
    if body[at : at + 1] != b'"':
        raise _not_json(at)
    at += 1
    quote = -1
    while True:
        # Each place is searched once: a quote that was found stays found until it is passed.
        if quote < at:
            quote = body.find(b'"', at)
        if quote < 0:
            raise _not_json(len(body))
        escape = body.find(b"\\", at, quote)
        if escape < 0:
            return quote + 1
        at = _after(_ESCAPES, body, escape)


def _after(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Return the place after what matches at `at`; `at` itself, if nothing does."""
    match = pattern.match(body, at)
    return match.end() if match else at


def _after_space(body: bytes, at: int) -> int:
    return _after(_SPACE, body, at)


def _expect_end(body: bytes, at: int) -> None:
    if _after_space(body, at) != len(body):
        raise _not_json(at)


def _not_json(at: int) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: unexpected byte at {at}.")

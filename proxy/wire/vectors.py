"""The vectors of embeddings, left as the bytes that they are.

A body of 2,000 vectors is tens of megabytes of digits around a few kilobytes
that can be wrong. `cut` takes the digits out; what is left is parsed, repaired,
and put around the same digits again.
"""

import base64
import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.errors import UpstreamMalformed
from proxy.wire.codec import NotJSON, loads, strict_loads

#: Below this a body is parsed whole, every digit of it; above, digits are looked at by their characters.
SMALL_BODY: Final = 64 * 1024
_KEY: Final = b'"embedding"'
#: What stands between the key and its numbers: a matrix of one row is met too.
_OPENING: Final = re.compile(rb"\s*+:\s*+(?:\[\s*+(?=\[))?\[")
_DIGITS: Final = b"0123456789.,-+eE \t\r\n"
_MARK: Final = "straightwire:vector:"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A vector as its upstream wrote it: `raw` is a JSON array of numbers."""

    raw: bytes


def read(body: bytes) -> tuple[Any, bool]:
    """Parse a body, with its vectors as `Numbers` where it is large and they can be told apart.

    Returns:
        The value, and whether it is rough (see `codec.loads`).

    Raises:
        NotJSON: it is no JSON.
    """
    if len(body) < SMALL_BODY:
        return loads(body)
    skeleton, vectors = cut(body)
    try:
        value = strict_loads(skeleton)
        orjson.dumps(value)  # only the encoder that writes it fast can put the digits back
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return loads(body)
    return (value, False) if _restored(value, vectors) else loads(body)


def cut(body: bytes) -> tuple[bytes, list[bytes]]:
    """Take the vectors out of a body, in one pass; return what is left, with marks for them, and them."""
    pieces: list[bytes] = []
    vectors: list[bytes] = []
    done = close = 0
    found = body.find(_KEY)
    while found >= 0:
        after = found + len(_KEY)
        match = _OPENING.match(body, after)
        if match and body[found - 1 : found] != b"\\":
            begin, after = match.end() - 1, match.end()
            if close < after:
                close = body.find(b"]", after)
            if close < 0:
                break
            if body.find(b"[", after, close) < 0 and not body[after:close].translate(None, _DIGITS):
                pieces += (body[done:begin], f'"{_MARK}{len(vectors)}"'.encode())
                done = after = close + 1
                vectors.append(body[begin:done])
        found = body.find(_KEY, after)
    pieces.append(body[done:])
    return b"".join(pieces), vectors


def _restored(value: Any, vectors: list[bytes]) -> bool:
    """Put the vectors in the places of their marks; false where one does not stand where vectors belong."""
    items = value.get("data") if isinstance(value, dict) else value
    found = 0
    for item in items if isinstance(items, list) else ():
        vector = item.get("embedding") if isinstance(item, dict) else None
        row = vector[0] if isinstance(vector, list) and vector else vector
        if not isinstance(row, str) or not row.startswith(_MARK):
            continue
        if found == len(vectors) or row != f"{_MARK}{found}":
            return False
        if isinstance(vector, list):
            vector[0] = Numbers(vectors[found])
        else:
            item["embedding"] = Numbers(vectors[found])
        found += 1
    return found == len(vectors)


def to_base64(vector: Numbers | list[Any]) -> str:
    """Write a vector as base64 of little-endian 32-bit floats, as OpenAI does.

    Raises:
        UpstreamMalformed: it holds something that is no such number.
    """
    try:
        numbers, is_rough = loads(vector.raw) if isinstance(vector, Numbers) else (vector, False)
        if is_rough or not are_numbers(numbers):
            raise _no_vector()
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
    except (NotJSON, struct.error, OverflowError):
        raise _no_vector() from None
    return base64.b64encode(packed).decode("ascii")


def from_base64(text: str) -> list[float]:
    """Read a vector in base64 of little-endian 32-bit floats, as OpenAI writes it.

    Raises:
        UpstreamMalformed: it is none.
    """
    try:
        packed = base64.b64decode(text, validate=True)
        numbers = [number for (number,) in struct.iter_unpack("<f", packed)]
    except (ValueError, struct.error):  # no base64, or no multiple of four bytes
        raise _no_vector() from None
    if not all(map(math.isfinite, numbers)):
        raise _no_vector()
    return numbers


def require_vector(vector: Any) -> None:
    """Accept what an embedding can be: numbers, at least one, or numbers in base64.

    Raises:
        UpstreamMalformed: it is something else.
    """
    said = vector.raw[1:-1].strip() if isinstance(vector, Numbers) else vector
    if not said or not (isinstance(said, str | bytes) or (isinstance(said, list) and are_numbers(said))):
        raise _no_vector()


def are_numbers(values: list[Any]) -> bool:
    """All of them are numbers, and none is a truth value."""
    return {*map(type, values)} <= {int, float}


def _no_vector() -> UpstreamMalformed:
    return UpstreamMalformed("The upstream sent an embedding that is no list of numbers.")

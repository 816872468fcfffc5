"""JSON as upstreams write it, JSON as it leaves.

orjson does both wherever it can. Where it refuses what other parsers accept
(NaN, Infinity, lone surrogates, raw control characters, invalid UTF-8) the
standard library reads it, and the value is marked as rough: it must be written
anew, cleanly. The library also reads integers of more than 64 bits, of which
orjson would make floats.
"""

import json
import math
import re
from typing import Any, Final

import orjson

#: Bytes that are no UTF-8 arrive in strings as U+DC80 … U+DCFF, so that halves can still be joined.
ESCAPED_BYTES: Final = "surrogateescape"
SURROGATE: Final = re.compile("[\ud800-\udfff]")
REPLACEMENT: Final = "\ufffd"
#: Where the halves of a code point can come in two chunks.
TEXT_KEYS: Final = frozenset({"content", "reasoning_content", "reasoning", "refusal", "text", "arguments"})
#: Of 19 digits in a row, which may be more than 64 bits hold, three stand at every sixth place.
_STRIDE: Final = 6
_MANY: Final = b"000"
_TOO_MANY: Final = b"0" * 19
_DIGITS_AS_ZEROS: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_INTEGER: Final = re.compile(rb"(?:^|(?<=[\s:,\[]))-?[0-9]{19,}(?=[\s,\]}]|$)")
#: Lists and objects that one document may hold. Each takes up to a hundred times the memory of its bytes; a
#: brace or bracket in a string counts, too, and texts of many megabytes have fewer of them.
_MOST_VALUES: Final = 500_000
#: Strings, of which the shortest take twenty times theirs.
_MOST_STRINGS: Final = 2_000_000
#: Whatever stands between commas. The shortest numbers take thirteen times the memory of their bytes; the
#: most embeddings that OpenAI gives at once are 6.3 million.
_MOST_ITEMS: Final = 8_000_000
#: Bytes that cannot hold too much of anything.
_FEW: Final = 2 * _MOST_VALUES
#: What OpenAI itself writes for a probability too small to tell (ChatCompletionTokenLogprob).
LEAST_LOGPROB: Final = -9999.0
#: Of an integer beyond it most parsers, orjson among them, make an infinity, or an error.
_GREATEST: Final = 2**1024 - 2**971


class NotJSON(ValueError):
    """No parser of ours reads it, or none can write it again."""


def loads(data: bytes) -> tuple[Any, bool]:
    """Parse `data`; the second value says whether it is rough: readable, but not clean JSON.

    Raises:
        NotJSON: neither parser reads it, or should.
    """
    if len(data) > _FEW and expands(data):
        raise NotJSON("more values than can be read")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _lenient(data), True
    if _MANY in data[::_STRIDE].translate(_DIGITS_AS_ZEROS) and _has_long_integer(data):
        value = _lenient(data)
    return value, False


def expands(data: bytes) -> bool:
    """Tell whether JSON would take many times the memory of its bytes: it is hardly more than punctuation."""
    size = len(data)
    if size > _FEW and data.count(b"[") + data.count(b"{") > _MOST_VALUES:
        return True
    if size > 3 * _MOST_STRINGS and data.count(b'"') - data.count(rb"\"") > 2 * _MOST_STRINGS:
        return True
    return size > 2 * _MOST_ITEMS and data.count(b",") > _MOST_ITEMS


def strict_loads(data: bytes) -> Any:
    """Parse clean JSON, every integer to its last digit.

    Raises:
        JSONDecodeError: orjson's; it is no JSON, or rough.
        NotJSON: it is nested too deeply for the parser that keeps long integers.
    """
    value = orjson.loads(data)
    if _MANY in data[::_STRIDE].translate(_DIGITS_AS_ZEROS) and _has_long_integer(data):
        return _lenient(data)
    return value


def _has_long_integer(data: bytes) -> bool:
    return _TOO_MANY in data.translate(_DIGITS_AS_ZEROS) and bool(_LONG_INTEGER.search(data))


def _lenient(data: bytes) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", ESCAPED_BYTES)
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise NotJSON(str(error)) from None


def dumps(value: Any) -> bytes:
    """Write `value` as compact JSON in UTF-8, with U+FFFD for lone surrogates.

    Raises:
        NotJSON: it is nested too deeply to be written.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # more than 64 bits, nesting beyond orjson's 254, half a code point
        pass
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return clean_text(text).encode()
    except RecursionError:
        raise NotJSON("nested too deeply") from None


def scrub(value: Any, keep: frozenset[str] = frozenset()) -> Any:
    """Return a rough value made clean: U+FFFD for lone surrogates, only numbers that a double can hold.

    Strings under the keys in `keep` stay as they are: halves in them may still be joined.

    Raises:
        NotJSON: it is nested too deeply to be walked.
    """
    try:
        return _scrubbed(value, "", keep)
    except RecursionError:
        raise NotJSON("nested too deeply") from None


def _scrubbed(value: Any, key: str, keep: frozenset[str]) -> Any:
    if isinstance(value, str):
        return value if key in keep else clean_text(value)
    if _is_infinite(value):
        return LEAST_LOGPROB if "logprob" in key else None
    if isinstance(value, dict):
        return {
            clean_text(name): _scrubbed(item, key if "logprob" in key else name, keep)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_scrubbed(item, key, keep) for item in value]
    return value


def _is_infinite(value: Any) -> bool:
    """The value is a number that no double holds."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and not -_GREATEST <= value <= _GREATEST


def clean_text(text: str) -> str:
    """Return `text` with its surrogate pairs joined and U+FFFD for each that has no other half."""
    if not SURROGATE.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return SURROGATE.sub(REPLACEMENT, joined)

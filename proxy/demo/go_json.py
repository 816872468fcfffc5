"""JSON as Go's `encoding/json` wrote and read it in May 2023, where that shows on the wire.

LocalAI at ed5df1e wrote every body with `json.Marshal` or `json.Encoder` (api/openai.go), and read
requests through Fiber's `BodyParser`, which calls `json.Unmarshal`. The rules are those of Go 1.20, the
release of that spring (go.dev/pkg/encoding/json; src/encoding/json/encode.go, decode.go, tables.go):

- no space anywhere, keys in the order of the struct's fields: here, of the mapping;
- `omitempty` leaves out a field that is "", 0, false, nil, or an empty list: `omit_empty`;
- `<`, `>`, `&`, U+2028 and U+2029 are escaped, so that JSON can stand inside HTML and JavaScript; of the
  control characters only line feed, carriage return and tab have short escapes (Go 1.22 added two more);
- all other characters stand for themselves, in UTF-8.

Floats are written as Python writes them. For decimal fractions of a few digits that is what Go writes for
a float32; values that need more are not this module's business.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

Value = str | bool | int | float | None | Mapping[str, "Value"] | Sequence["Value"]

_ESCAPES: Final[dict[int, str]] = (
    {code: f"\\u{code:04x}" for code in (*range(0x20), *b"<>&", 0x2028, 0x2029)}
    | {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"}
    # No Go string holds a lone surrogate: its decoder has put U+FFFD in its place.
    | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
)


class DecodeError(ValueError):
    """The bytes are not JSON. `str()` of it is Go's complaint."""


def encode(value: Value) -> str:
    """Return `value` as Go writes it, without the line feed that `json.Encoder` adds."""
    match value:
        case str():
            return f'"{value.translate(_ESCAPES)}"'
        case Mapping():
            return f"{{{','.join(f'{encode(key)}:{encode(member)}' for key, member in value.items())}}}"
        case Sequence():
            return f"[{','.join(encode(item) for item in value)}]"
        case _:
            return json.dumps(value, allow_nan=False)


def omit_empty(struct: Mapping[str, Value]) -> dict[str, Value]:
    """Return a struct without the fields that `omitempty` leaves out, in the same order.

    A nil pointer is None and is left out; a pointer to an empty struct is an empty mapping and stays.
    """
    return {key: value for key, value in struct.items() if value or isinstance(value, Mapping)}


def decode(body: bytes) -> Any:
    """Read a JSON text as Go does: broken UTF-8 becomes U+FFFD, and no NaN or Infinity is known.

    Raises:
        DecodeError: The body is not JSON. Go's message for a byte where no value can begin stands for
            all its complaints about syntax; its other wordings are not imitated.
    """
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text, parse_int=_number, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise DecodeError(_complaint(text[error.pos : error.pos + 1])) from error
    except RecursionError as error:
        raise DecodeError("exceeded max depth") from error


def _number(digits: str) -> int | float:
    # What no int64 holds is no integer to Go; nor does int() like numbers of thousands of digits.
    return int(digits) if len(digits) < 19 else float(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise DecodeError(_complaint(name[0]))


def _complaint(character: str) -> str:
    if not character:
        return "unexpected end of JSON input"
    return f"invalid character '{character}' looking for beginning of value"

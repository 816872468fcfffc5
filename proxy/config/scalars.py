"""Scalars: text as the operator wrote it, until the schema asks for something else.

YAML 1.1 turns `no` into false, `3.10` into 3.1 and `12:30:00` into 45000 before
anybody knows what was wanted. Here every scalar stays text, and a key that wants
a number or a switch reads it from the text. So a model may be called `no`.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

#: The words for "no value", where they are not in quotes.
NULLS: Final = frozenset({"", "~", "null"})

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
# A number as JSON has it (RFC 8259, section 6): `parameters` end up in a JSON body.
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_LONGEST_NUMBER = 400
_LONGEST_SHOWN = 60


class Scalar(str):
    """Text from the file or from a variable.

    Attributes:
        written: the text before `${…}` was filled in; the only form that may be shown.
        quoted: whether it stood in quotes, and thus can be nothing but text.
    """

    written: str
    quoted: bool

    def __new__(cls, text: str, *, written: str | None = None, quoted: bool = False) -> "Scalar":
        """Make one from its text."""
        scalar = super().__new__(cls, text)
        scalar.written = text if written is None else written
        scalar.quoted = quoted
        return scalar


def written(value: object) -> str:
    """Return a text as it was written, before variables were filled in; of all else, nothing."""
    if isinstance(value, Scalar):
        return value.written
    return value if isinstance(value, str) else ""


def shown(value: object) -> str:
    """Return `value` in a form fit for an error line: short, on one line, without secrets."""
    if isinstance(value, str):
        text = written(value)
        return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
    if value is None:
        return "an empty value"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value)


def whole_number(value: object) -> int:
    """Read a whole number in plain decimal; raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise ValueError(f"must be a whole number, not {shown(value)}")


def switch(value: object) -> bool:
    """Read `true` or `false`, and no other word for them; raises ValueError."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    raise ValueError(f"must be true or false, not {shown(value)}")


def json_value(value: object) -> Any:
    """Read what will stand in a JSON body: outside quotes, numbers and switches become such.

    Raises:
        ValueError: a number that is too large for JSON's readers.
    """
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if not isinstance(value, Scalar):
        return value
    if value.quoted:
        return str(value)
    if value in ("true", "false"):
        return value == "true"
    number = _JSON_NUMBER.fullmatch(value)
    return str(value) if number is None else _json_number(value, whole=not any(number.groups()))


def _json_number(text: Scalar, *, whole: bool) -> int | float:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"is too large a number: {shown(text)}")
    number = int(text) if whole else float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"is too large a number: {shown(text)}")
    return number


#: For `int` with its bounds; `bool` and any JSON value, as keys of the schema.
WHOLE: Final = BeforeValidator(whole_number)
Switch = Annotated[bool, BeforeValidator(switch)]
Json = Annotated[Any, BeforeValidator(json_value)]

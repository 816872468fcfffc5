"""Durations and sizes, as people write them."""

import math
import re
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

from proxy.config.scalars import shown

_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)"
_DURATION = re.compile(
    rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?", re.ASCII
)
_DURATION_UNITS: Final = (Decimal(86400), Decimal(3600), Decimal(60), Decimal(1), Decimal("0.001"))
_PLAIN = re.compile(_NUMBER, re.ASCII)
_SIZE = re.compile(rf"{_NUMBER} ?([a-z]*)", re.ASCII | re.IGNORECASE)
_SIZE_UNITS: Final = {"": 1, "b": 1} | {
    prefix + suffix: factor**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, factor in (("b", 1000), ("ib", 1024))
}
# Beyond these a value is a slip of the pen, and timers and counters may overflow.
_LONGEST: Final = 366 * 86400
_LARGEST: Final = 2**60


def parse_duration(value: object) -> float:
    """Read a duration such as `250ms`, `5s`, `1.5s`, `10m`, `1h30m`; a plain number is seconds.

    Returns:
        Seconds.

    Raises:
        ValueError: it is none, is negative, or is longer than a year.
    """
    seconds: Decimal | None = None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        seconds = Decimal(value)
    elif isinstance(value, str):
        seconds = _duration_text(value)
    if seconds is None:
        raise ValueError(f"must be a duration such as 250ms, 5s or 1h30m, not {shown(value)}")
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"must be between 0 and 366 days, not {shown(value)}")
    return float(seconds)


def _duration_text(text: str) -> Decimal | None:
    if _PLAIN.fullmatch(text):
        return Decimal(text)
    parts = _DURATION.fullmatch(text)
    if not text or parts is None:
        return None
    return sum(
        (Decimal(n) * unit for n, unit in zip(parts.groups("0"), _DURATION_UNITS, strict=True)),
        start=Decimal(0),
    )


def parse_size(value: object) -> int:
    """Read a size such as `32MiB` (1024²) or `32MB` (1000²); a plain number is bytes.

    Returns:
        Bytes; a fraction of a byte is cut off.

    Raises:
        ValueError: it is none, is negative, or is larger than 2^60.
    """
    size: Decimal | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        size = Decimal(value)
    elif isinstance(value, str) and (parts := _SIZE.fullmatch(value)) is not None:
        number, unit = parts.groups()
        if unit.lower() in _SIZE_UNITS:
            size = Decimal(number) * _SIZE_UNITS[unit.lower()]
    if size is None:
        raise ValueError(f"must be a size such as 512KiB, 32MiB or 1GB, not {shown(value)}")
    if not 0 <= size <= _LARGEST:
        raise ValueError(f"must be between 0 and 1024 PiB, not {shown(value)}")
    return int(size)


#: Seconds, and bytes, as keys of the schema.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "pattern": r"^([0-9.]+(d|h|m|s|ms)?)+$|\$\{",
            "examples": ["250ms", "5s", "1h30m"],
        }
    ),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^[0-9.]+ ?([kKmMgGtT]i?)?[bB]?$|\$\{",
            "examples": ["512KiB", "32MiB", "1GB"],
        }
    ),
]

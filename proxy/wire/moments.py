"""When something was made: whole seconds of Unix time, from whatever a server writes in their place."""

import re
from typing import Any, Final

#: Later than any second of this millennium's first half: milliseconds, or finer.
MAX_SECONDS: Final = 10**11
#: Finer than picoseconds: whatever this counts, it is no time.
NO_TIME: Final = 10**24
#: RFC 3339, as Go, Python and JavaScript write it; or a day alone; without a zone it is UTC.
_DATE: Final = re.compile(
    r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"(?:[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:[.,]\d+)?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))?)?",
    re.ASCII,
)
#: Days from the 1st of March of a year 0 to the 1st of January 1970, counted from 1.
_EPOCH: Final = 719_469


def seconds(created: Any) -> int | None:
    """Return whole seconds of Unix time, or None where `created` tells no time.

    Floats are cut, numeric strings and dates read, milliseconds and finer units brought to seconds.
    """
    if created is None or (type(created) is int and 1 <= created <= MAX_SECONDS):
        return created
    if isinstance(created, str):
        created = _read(created.strip())
    if isinstance(created, bool) or not isinstance(created, int | float):
        return None
    if not 1 <= created < NO_TIME:
        return None
    while created > MAX_SECONDS:
        created //= 1000
    return int(created)


def _read(text: str) -> float | None:
    if date := _DATE.fullmatch(text):
        return _since_epoch(*date.groups())
    try:
        return float(text)
    except ValueError:
        return None


def _since_epoch(*fields: str | None) -> int:
    """Count the seconds to a date: year, month, day, hour, minute, second, and its distance from UTC."""
    *moment, sign, hours, minutes = fields
    year, month, day, hour, minute, second = (int(number or 0) for number in moment)
    # Years begin in March here, so that the day that is not in all of them is the last.
    year, month = year - (month < 3), (month + 9) % 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - _EPOCH
    ahead = int(f"{sign or '+'}{int(hours or 0) * 60 + int(minutes or 0)}")
    return ((days * 24 + hour) * 60 + minute - ahead) * 60 + second

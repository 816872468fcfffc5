"""When something was made, in whatever form."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.moments import seconds

ZONES = st.builds(timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes)))


@given(st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=ZONES))  # noqa: DTZ001 - it has a zone
def test_dates_are_the_seconds_that_a_calendar_counts(date: datetime) -> None:
    whole = int(date.replace(microsecond=0).timestamp())
    assert seconds(date.isoformat()) == whole
    assert seconds(date.astimezone(UTC).strftime("%Y-%m-%dt%H:%M:%Sz")) == whole
    assert seconds(date.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S,%f")) == whole
    assert seconds(date.strftime("%Y-%m-%dT%H:%M:%S.%f%z")) == whole


@pytest.mark.parametrize(
    ("created", "whole"),
    [
        (1706937715819, 1706937715),
        ("1700000000.9", 1700000000),
        (" 2024-02-29 ", 1709164800),
        ("2023-08-04T08:52:19.385406455-07:00", 1691164339),
        ("2024-13-01T00:00:00Z", None),
        ("2024-02-03T05:21:55 PM", None),
        ("Sat, 03 Feb 2024 05:21:55 GMT", None),
        ("٢٠٢٤-02-03", None),
        ("0001-01-01T00:00:00Z", None),
        ("nan", None),
        ("", None),
        (True, None),
        (None, None),
        ([1706937715], None),
    ],
)
def test_what_is_a_time_and_what_is_none(created: Any, whole: int | None) -> None:
    assert seconds(created) == whole

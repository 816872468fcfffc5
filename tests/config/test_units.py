import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("5", 5.0),
        ("1.5", 1.5),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1d2h3m4s5ms", 93784.005),
        ("1m30ms", 60.03),
        (7, 7.0),
        (0.1, 0.1),
    ],
)
def test_duration(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5 parsecs",
        "-5s",
        "5S",
        "1m1h",
        "1s1s",
        "1e3",
        "1e3s",
        ".5s",
        "5.",
        "٣s",
        "inf",
        "nan",
        "5s\n",
    ],
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 250ms, 5s or 1h30m, not "):
        parse_duration(text)


@pytest.mark.parametrize("value", [None, True, [], {}, float("nan"), float("inf")])
def test_not_even_text_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["367d", "999999999999999999", -1, 1e300])
def test_duration_out_of_range(value: object) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 366 days"):
        parse_duration(value)


@given(
    st.integers(0, 9),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 59),
    st.integers(0, 999),
)
def test_a_duration_is_the_sum_of_its_parts(d: int, h: int, m: int, s: int, ms: int) -> None:
    milliseconds = (((d * 24 + h) * 60 + m) * 60 + s) * 1000 + ms
    expected = milliseconds / 1000
    assert parse_duration(f"{d}d{h}h{m}m{s}s{ms}ms") == expected
    assert parse_duration(f"{milliseconds}ms") == expected
    assert parse_duration(expected) == expected


@given(st.integers(0, 10**9), st.integers(0, 999))
def test_fractions_keep_their_digits(whole: int, thousandths: int) -> None:
    text = f"{whole % 10**7}.{thousandths:03}"
    assert parse_duration(text) == parse_duration(f"{text}s") == float(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("123B", 123),
        ("64KB", 64_000),
        ("64kb", 64_000),
        ("32MiB", 32 * 1024**2),
        ("32 MiB", 32 * 1024**2),
        ("1.5GiB", 3 * 1024**3 // 2),
        ("2TB", 2 * 1000**4),
        ("0.3KiB", 307),
        (4096, 4096),
    ],
)
def test_size(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1", "32M", "32 furlongs", "1e3", "1.", "1  MiB", "²B", "1MiB\n"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size such as 512KiB, 32MiB or 1GB, not "):
        parse_size(text)


@pytest.mark.parametrize("value", [None, False, 1.5, [], {}])
def test_not_even_text_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(value)


@pytest.mark.parametrize("value", ["999999999TiB", -1])
def test_size_out_of_range(value: object) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 1024 PiB"):
        parse_size(value)


@given(st.integers(0, 10**5), st.sampled_from(["K", "M", "G", "T"]), st.sampled_from(["iB", "B"]))
def test_a_size_is_its_number_times_its_unit(number: int, prefix: str, suffix: str) -> None:
    factor = (1024 if suffix == "iB" else 1000) ** ("KMGT".index(prefix) + 1)
    size = number * factor
    assert parse_size(f"{number}{prefix}{suffix}") == parse_size(str(size)) == parse_size(size) == size


@given(st.text(), st.sampled_from([parse_duration, parse_size]))
def test_any_text_is_read_or_refused(text: str, parse: Callable[[object], float]) -> None:
    with contextlib.suppress(ValueError):
        assert parse(text) >= 0

"""Lines of the log, as bytes and as text."""

import io
import json
import re
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.schema import Log
from proxy.server.answers.pace import Pace
from proxy.server.operator import log_forms
from proxy.server.operator.access_log import AccessLog, open_log
from proxy.server.operator.record import Record


@pytest.mark.parametrize(
    "line",
    [
        {"event": "request", "seconds": 0.5, "stream": True, "reason": None, "model": "", "path": "/v1/x"},
        {"event": "request", "model": "two words", "path": "/a=b", "reason": 'it\'s "so"', "text": "a\nb\tc"},
        {"event": "library", "logger": "aiohttp.server", "message": "Some words."},
        {"event": "two words", "worker": 1, "model": "\u00e9"},
        {
            "event": "request",
            "repairs": {"missing-id": 1, "a b": 2},
            "models": ["*", "m"],
            "ports": [],
            "x": {},
        },
    ],
    ids=["plain", "quoted", "library", "worker", "several"],
)
def test_text_without_colours_is_what_structlog_would_write(line):
    line = {"timestamp": "2026-11-24T10:00:00Z", "level": "info"} | line
    renderer = structlog.dev.ConsoleRenderer(colors=False, sort_keys=False, pad_event_to=0)

    assert log_forms.plain(None, "info", dict(line)) == renderer(
        None, "info", log_forms.for_people(None, "info", dict(line))
    )


class Writes(io.RawIOBase):
    """A file that keeps what each write brought."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.writes.append(bytes(data))
        return len(data)


def write_two(log: structlog.typing.FilteringBoundLogger) -> None:
    log.info("one", model="é", times={"a": 1})
    log.warning("two", text="a\nb")


@pytest.mark.parametrize("form", ["json", "text"])
def test_line_is_one_write(form):
    raw = Writes()
    stream = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    write_two(open_log(Log(format=form), stream))

    assert [line.count(b"\n") for line in raw.writes] == [1, 1]
    assert all(line.endswith(b"\n") for line in raw.writes)


def test_stream_of_text_alone_gets_what_one_of_bytes_gets():
    text, binary = io.StringIO(), io.BytesIO()
    wrapped = io.TextIOWrapper(
        binary, encoding="ascii"
    )  # JSON is UTF-8, whatever the terminal's words are in
    for stream in (text, wrapped):
        write_two(open_log(Log(format="json"), stream))
    as_text, as_bytes = (
        [json.loads(line) | {"timestamp": None} for line in lines.splitlines()]
        for lines in (text.getvalue(), binary.getvalue())
    )

    assert as_text == as_bytes
    assert as_bytes[0] == {
        "model": "é",
        "times": {"a": 1},
        "event": "one",
        "level": "info",
        "timestamp": None,
    }


@pytest.mark.parametrize("form", ["json", "text"])
def test_time_of_a_line_is_in_utc(form):
    stream = io.StringIO()
    before = datetime.now(UTC)
    open_log(Log(format=form), stream).info("one")
    line = stream.getvalue()
    told = json.loads(line)["timestamp"] if form == "json" else line.split()[0]

    assert told.endswith("Z")
    assert before <= datetime.fromisoformat(told) <= datetime.now(UTC)


def test_line_below_the_level_is_not_even_made():
    class Untold(Record):
        @property
        def first_event(self):
            raise AssertionError("it has been asked")

    record = Untold("r", "POST", "/", 0.0, stream=True, outcome="complete")
    stream = io.StringIO()
    AccessLog(Log(level="warning"), stream)(record)

    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        ("complete", "info"),
        ("client_gone", "info"),
        ("upstream_truncated", "warning"),
        ("internal_error", "error"),
    ],
)
@pytest.mark.parametrize("least", ["debug", "info", "warning", "error"])
def test_level_of_a_request_follows_from_its_outcome(outcome, level, least):
    stream = io.StringIO()
    AccessLog(Log(level=least, format="json"), stream)(Record("r", "POST", "/", 0.0, outcome=outcome))
    lines = [json.loads(line)["level"] for line in stream.getvalue().splitlines()]

    levels = ["debug", "info", "warning", "error"]
    assert lines == ([level] if levels.index(level) >= levels.index(least) else [])


def first_paced() -> Pace:
    pace = Pace()
    pace.note(0.0126)
    return pace


REQUESTS = [
    Record("req_1", "POST", "/v1/chat/completions", 0.0, outcome="complete"),
    Record(
        "req_2",
        "POST",
        "/v1/two words",
        0.0,
        client="alice",
        upstream="local",
        model="m",
        stream=True,
        status=200,
        outcome="upstream_timeout",
        reason="It said nothing.",
        events_in=3,
        events_out=2,
        bytes_out=99,
        seconds=0.0004999,
        pace=first_paced(),
        repairs={"local": {"missing-id": 2, "bare-done": 1}},
    ),
    Record(
        "req_3",
        "GET",
        "/v1/models",
        0.0,
        outcome="internal_error",
        defect=ValueError("secret"),
        repairs={"b": {"z": 1, "a": 1}, "a": {"z": 2}},
    ),
]


@pytest.mark.parametrize("record", REQUESTS, ids=lambda record: record.outcome)
@pytest.mark.parametrize("worker", [None, 2])
def test_line_of_a_request_is_what_structlog_would_write(record, worker):
    """The same words in the same order, in both forms, whoever puts them together."""
    told = io.StringIO()
    AccessLog(Log(format="json"), told, worker=worker)(record)
    words = json.loads(told.getvalue())
    own = {key: words[key] for key in words if key not in {"worker", "event", "level", "timestamp"}}
    for form in ("json", "text"):
        ours, structlogs = io.StringIO(), io.StringIO()
        AccessLog(Log(format=form), ours, worker=worker)(record)
        log = open_log(Log(format=form), structlogs, worker=worker)
        getattr(log, words["level"])("request", **own)
        times = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")

        assert times.sub("", ours.getvalue()) == times.sub("", structlogs.getvalue())


def test_what_a_line_of_a_request_says():
    stream = io.StringIO()
    for record in REQUESTS:
        AccessLog(Log(format="json"), stream)(record)
    first, second, third = map(json.loads, stream.getvalue().splitlines())

    assert first == {
        "request_id": "req_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 499,
        "outcome": "complete",
        "bytes": 0,
        "seconds": 0.0,
        "repairs": {},
        "event": "request",
        "level": "info",
        "timestamp": first["timestamp"],
    }
    assert list(second.items())[:-3] == [
        ("request_id", "req_2"),
        ("method", "POST"),
        ("path", "/v1/two words"),
        ("client", "alice"),
        ("upstream", "local"),
        ("model", "m"),
        ("status", 200),
        ("outcome", "upstream_timeout"),
        ("reason", "It said nothing."),
        ("bytes", 99),
        ("seconds", 0.0),
        ("events_in", 3),
        ("events_out", 2),
        ("first_event_seconds", 0.013),
        ("repairs", {"bare-done": 1, "missing-id": 2}),
    ]
    assert list(second["repairs"]) == ["bare-done", "missing-id"]
    assert third["repairs"] == {"z": 3, "a": 1}
    assert (third["error"], third["level"]) == ("ValueError", "error")


WORDS = st.text(max_size=60) | st.sampled_from(
    ["a\nb", "\r\n{}", "\x1b[2J", "\u2028", "\x85", "x=1 y", '"', "\udcff"]
)


@pytest.mark.parametrize("form", ["text", "json"])
@given(WORDS, WORDS, WORDS, st.none() | st.builds(ValueError, WORDS))
def test_a_request_has_one_line_whatever_it_names(form, method, path, model, failure):
    stream = io.StringIO()
    record = Record("req_1", method, path, 0.0, model=model, defect=failure)
    AccessLog(Log(format=form), stream)(record)
    line = stream.getvalue()

    assert line.endswith("\n")
    assert len(line.splitlines()) == 1
    assert line[:-1].isprintable()
    if form == "json":
        assert json.loads(line)["request_id"] == "req_1"

"""The log: a line for each request when it has ended, and for all that runs when it starts.

No line holds a prompt, an answer or a key. What a client chooses (model, path, request id) is shown escaped
and cut.
"""

import logging
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from proxy.config.schema import Configuration, Log
from proxy.errors import StraightwireError
from proxy.server.operator.log_forms import json_form, text_form
from proxy.server.operator.record import INTERNAL_ERROR, USUAL, Record, shown


def open_log(
    settings: Log, stream: TextIO | None = None, *, worker: int | None = None
) -> FilteringBoundLogger:
    """Return a logger of its own, which leaves structlog's global one alone.

    Args:
        settings: its level, format and output.
        stream: where to, in the place of the output that is set.
        worker: the number that its lines show, where there are several processes.
    """
    stream = stream or (sys.stdout if settings.output == "stdout" else sys.stderr)
    writer, form = json_form(stream) if settings.format == "json" else text_form(stream)
    logger: FilteringBoundLogger = structlog.wrap_logger(
        writer,
        processors=[
            _Line(debug=settings.level == "debug"),
            structlog.processors.add_log_level,
            *form,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        cache_logger_on_first_use=False,
    ).bind(**({} if worker is None else {"worker": worker}))
    return logger


class LibraryLog(logging.Handler):
    """Writes what aiohttp and asyncio have to say, in a line of the same form.

    Only the first line of their words, and the name of an exception: what follows may quote a request.

    Attributes:
        log: where to.
    """

    def __init__(self, log: FilteringBoundLogger):
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one of their records."""
        told = {"logger": record.name, "message": record.getMessage().partition("\n")[0]}
        if record.exc_info and record.exc_info[0]:
            told["error"] = record.exc_info[0].__qualname__
        with suppress(OSError):
            self.log.log(record.levelno, "library", **told)


class AccessLog:
    """Writes a line for each request.

    Args:
        log: where to; opened by `open_log`.
    """

    def __init__(self, log: FilteringBoundLogger):
        self._log = log

    def __call__(self, record: Record) -> None:
        """Write the line of a request that has ended."""
        # A log that nobody reads any more is no reason to break off answers.
        with suppress(OSError):
            if record.outcome == INTERNAL_ERROR:
                self._log.error("request", record=record)
            elif record.outcome in USUAL:
                self._log.info("request", record=record)
            else:
                self._log.warning("request", record=record)


def tell_start(
    log: FilteringBoundLogger, configuration: Configuration, url: str, admin_url: str | None
) -> None:
    """Write a line for each listener and each upstream."""
    log.info("listening", url=url)
    if admin_url is not None:
        log.info("admin", url=admin_url)
    _tell_upstreams(log, configuration)


def tell_reload(log: FilteringBoundLogger, configuration: Configuration, kept: Iterable[str]) -> None:
    """Write that a configuration is in force now, with a line for each upstream, and each key in `kept`."""
    log.info("reloaded")
    _tell_upstreams(log, configuration)
    for key in kept:
        log.warning("kept", key=key, reason="It can only be changed by a restart.")


def tell_mistakes(log: FilteringBoundLogger, error: StraightwireError) -> None:
    """Write why a configuration has not come into force, a line for each mistake."""
    for mistake in str(error).splitlines():
        log.error("not reloaded", reason=mistake)


def _tell_upstreams(log: FilteringBoundLogger, configuration: Configuration) -> None:
    for name, upstream in configuration.upstreams.items():
        models = [pattern for pattern, model in configuration.models.items() if model.upstream == name]
        log.info("upstream", name=name, url=upstream.url, dialect=upstream.dialect, models=models)


class _Line:
    """Puts into a line what a record tells, in the record's place: only where the line is written at all.

    Args:
        debug: show the traceback of a defect.
    """

    def __init__(self, *, debug: bool):
        self._debug = debug

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        """Rewrite one line; those that hold no record stay as they are."""
        record: Record | None = line.pop("record", None)
        if record is None:
            return line
        event = line.pop("event")
        line.update(_told(record))
        if record.defect is not None:
            line.update(_defect(record.defect, whole=self._debug))
        line["event"] = event
        return line


def _told(record: Record) -> dict[str, Any]:
    """Return what is known of a request, without what is not."""
    line: dict[str, Any] = {
        "request_id": record.request_id,
        "method": shown(record.method),
        "path": shown(record.path),
    }
    if record.client is not None:
        line["client"] = record.client
    if record.upstream:
        line["upstream"] = record.upstream
    if record.model is not None:
        line["model"] = shown(record.model)
    line["status"] = record.status
    line["outcome"] = record.outcome
    if record.reason is not None:
        line["reason"] = record.reason
    line["bytes"] = record.bytes_out
    line["seconds"] = round(record.seconds, 3)
    if record.stream:
        line["events_in"] = record.events_in
        line["events_out"] = record.events_out
        if (first := record.first_event) is not None:
            line["first_event_seconds"] = round(first, 3)
    line["repairs"] = _repairs(record)
    return line


def _repairs(record: Record) -> dict[str, int]:
    """Return how often each repair acted, whichever upstream's answer it was."""
    repairs: dict[str, int] = {}
    for _, counted in sorted(record.repairs.items()):
        for name in sorted(counted):
            repairs[name] = repairs.get(name, 0) + counted[name]
    return repairs


def _defect(error: Exception, *, whole: bool) -> dict[str, Any]:
    """Say what failed and where. Not the exception's message: it may quote what was asked or answered."""
    frames = traceback.extract_tb(error.__traceback__)
    told: dict[str, Any] = {"error": type(error).__qualname__}
    if frames:
        told["at"] = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    if whole:
        told["traceback"] = "".join(traceback.format_list(frames))
    return told

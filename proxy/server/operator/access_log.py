"""The log: a line for each request when it has ended, and for all that runs when it starts.

No line holds a prompt, an answer or a key. What a client chooses (model, path, request id) is shown escaped
and cut.
"""

import logging
import sys
import traceback
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from proxy.config.schema import Configuration, Log
from proxy.errors import StraightwireError
from proxy.server.operator.log_forms import Form, json_form, text_form
from proxy.server.operator.outlet import Outlet
from proxy.server.operator.record import INTERNAL_ERROR, USUAL, Record, shown

#: Of lines, the least urgent first.
_LEVELS: Final = ("debug", "info", "warning", "error")
#: Of a request's line, by how it ended; others are warnings.
_LEVELS_OF_ENDINGS: Final = dict.fromkeys(USUAL, "info") | {INTERNAL_ERROR: "error"}


def open_log(
    settings: Log, stream: TextIO | None = None, *, worker: int | None = None
) -> FilteringBoundLogger:
    """Return a logger of its own, which leaves structlog's global one alone.

    Args:
        settings: its level, format and output.
        stream: where to, in the place of the output that is set.
        worker: the number that its lines show, where there are several processes.
    """
    writer, form = _form(settings, stream)
    logger: FilteringBoundLogger = structlog.wrap_logger(
        writer,
        processors=[structlog.processors.add_log_level, *form],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        cache_logger_on_first_use=False,
    ).bind(**_context(worker))
    if isinstance(writer, Outlet):
        writer.tell_of_loss = partial(_tell_loss, logger)
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
        self.log.log(record.levelno, "library", **told)


class AccessLog:
    """Writes a line for each request, as `open_log` would: with what structlog makes lines of and writes
    them with, but without a logger in between, which costs more than the line.

    Args:
        settings: its level, format and output.
        stream: where to, in the place of the output that is set.
        worker: the number that its lines show, where there are several processes.
    """

    def __init__(self, settings: Log, stream: TextIO | None = None, *, worker: int | None = None):
        self._writer, self._form = _form(settings, stream)
        self._context = _context(worker)
        self._levels = _LEVELS[_LEVELS.index(settings.level) :]
        self._traceback = settings.level == "debug"

    def __call__(self, record: Record) -> None:
        """Write the line of a request that has ended."""
        level = _LEVELS_OF_ENDINGS.get(record.outcome, "warning")
        if level not in self._levels:
            return
        line: Any = _told(record, self._context.copy())
        if record.defect is not None:
            line.update(_defect(record.defect, whole=self._traceback))
        line["event"] = "request"
        line["level"] = level
        for process in self._form:
            line = process(self._writer, level, line)
        self._writer.msg(line)


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


def tell_not_reloaded(log: FilteringBoundLogger, error: Exception) -> None:
    """Write why a configuration has not come into force: a line for each mistake, or for what failed."""
    if isinstance(error, StraightwireError):
        for mistake in str(error).splitlines():
            log.error("not reloaded", reason=mistake)
    elif isinstance(error, OSError | RuntimeError):  # the system's words, such as "Too many open files"
        log.error("not reloaded", reason=str(error).partition("\n")[0], **_defect(error, whole=False))
    else:
        log.error("not reloaded", reason="a defect in the proxy", **_defect(error, whole=False))


def _tell_loss(log: FilteringBoundLogger, lines: int) -> None:
    log.error("lines lost", lines=lines, reason="Nobody has taken them for too long.")


def _tell_upstreams(log: FilteringBoundLogger, configuration: Configuration) -> None:
    for name, upstream in configuration.upstreams.items():
        models = [pattern for pattern, model in configuration.models.items() if model.upstream == name]
        log.info("upstream", name=name, url=upstream.url, dialect=upstream.dialect, models=models)


def _form(settings: Log, stream: TextIO | None) -> Form:
    stream = stream or (sys.stdout if settings.output == "stdout" else sys.stderr)
    return json_form(stream) if settings.format == "json" else text_form(stream)


def _context(worker: int | None) -> dict[str, Any]:
    return {} if worker is None else {"worker": worker}


def _told(record: Record, line: dict[str, Any]) -> dict[str, Any]:
    """Put into a line what is known of a request, without what is not."""
    line["request_id"] = record.request_id
    line["method"] = shown(record.method)
    line["path"] = shown(record.path)
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
    # To whole milliseconds: `round(seconds, 3)` writes all digits out first, in four times the time.
    line["seconds"] = round(record.seconds * 1000) / 1000
    if record.stream:
        line["events_in"] = record.events_in
        line["events_out"] = record.events_out
        if (first := record.first_event) is not None:
            line["first_event_seconds"] = round(first * 1000) / 1000
    line["repairs"] = _repairs(record.repairs)
    return line


def _repairs(found: dict[str, dict[str, int]]) -> dict[str, int]:
    """Return how often each repair acted, whichever upstream's answer it was."""
    if len(found) == 1:
        (counted,) = found.values()
        return {name: counted[name] for name in sorted(counted)}
    repairs: dict[str, int] = {}
    for _, counted in sorted(found.items()):
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

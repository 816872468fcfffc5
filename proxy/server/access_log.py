"""The log: a line for each request when it has ended, and for all that runs when it starts.

No line holds a prompt, an answer or a key. What a client chooses (model, path, request id) is shown escaped
and cut.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from proxy.config.schema import Configuration, Log
from proxy.errors import StraightwireError
from proxy.server.record import INTERNAL_ERROR, USUAL, Record, shown

#: What a word of a line may not hold without quotes.
_QUOTED: Final = re.compile(r"[ \t=\r\n\"']")


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
    forms: dict[str, list[Processor]] = {
        "json": [structlog.processors.JSONRenderer(serializer=_json)],
        "text": [
            _for_people,
            structlog.dev.ConsoleRenderer(colors=True, sort_keys=False, pad_event_to=0)
            if stream.isatty()
            else plain,
        ],
    }
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *forms[settings.format],
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
        log: where to.
        debug: show the traceback of a defect.
    """

    def __init__(self, log: FilteringBoundLogger, *, debug: bool = False):
        self._log = log
        self._debug = debug

    def __call__(self, record: Record) -> None:
        """Write the line of a request that has ended."""
        line = _line(record)
        if record.defect is not None:
            line |= _defect(record.defect, whole=self._debug)
        # A log that nobody reads any more is no reason to break off answers.
        with suppress(OSError):
            if record.outcome == INTERNAL_ERROR:
                self._log.error("request", **line)
            elif record.outcome in USUAL:
                self._log.info("request", **line)
            else:
                self._log.warning("request", **line)


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


def _line(record: Record) -> dict[str, Any]:
    line = {
        "request_id": record.request_id,
        "method": shown(record.method),
        "path": shown(record.path),
        "client": record.client,
        "upstream": record.upstream or None,
        "model": None if record.model is None else shown(record.model),
        "status": record.status,
        "outcome": record.outcome,
        "reason": record.reason,
        "bytes": record.bytes_out,
        "seconds": round(record.seconds, 3),
    }
    if record.stream:
        first = record.first_event
        line |= {
            "events_in": record.events_in,
            "events_out": record.events_out,
            "first_event_seconds": None if first is None else round(first, 3),
        }
    repairs: dict[str, int] = {}
    for (_, name), times in sorted(record.repairs.items()):
        repairs[name] = repairs.get(name, 0) + times
    return {key: value for key, value in line.items() if value is not None} | {"repairs": repairs}


def _defect(error: Exception, *, whole: bool) -> dict[str, Any]:
    """Say what failed and where. Not the exception's message: it may quote what was asked or answered."""
    frames = traceback.extract_tb(error.__traceback__)
    told: dict[str, Any] = {"error": type(error).__qualname__}
    if frames:
        told["at"] = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    if whole:
        told["traceback"] = "".join(traceback.format_list(frames))
    return told


def _for_people(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Write lists and counts as words; leave out what is empty."""
    for key, value in list(line.items()):
        if isinstance(value, Mapping):
            line[key] = ",".join(f"{name}:{times}" for name, times in value.items())
        elif isinstance(value, list):
            line[key] = ",".join(value)
        if line[key] == "":
            del line[key]
    return line


def _json(line: EventDict, **_: Any) -> str:
    return orjson.dumps(line).decode()


def plain(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    """Write a line as structlog's renderer does without colours, at a fraction of the cost."""
    words = [f"{line.pop('timestamp')} [{line.pop('level'):<9}] {line.pop('event')}"]
    if "logger" in line:
        words.append(f"[{line.pop('logger')}]")
    for key, value in line.items():
        bare = isinstance(value, str) and _QUOTED.search(value) is None
        words.append(f"{key}={value if bare else repr(value)}")
    return " ".join(words)

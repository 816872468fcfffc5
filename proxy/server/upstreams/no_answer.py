"""Why an upstream has not answered, in the proxy's words: one line, with the server and the reason."""

import os
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from proxy.config.schema import Timeouts
from proxy.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)


def before_the_answer(error: Exception, host: str, timeouts: Timeouts) -> UpstreamError:
    """Return what kept the head of an answer from coming, as the proxy tells it.

    Args:
        error: aiohttp's.
        host: the upstream's.
        timeouts: how long was waited.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return UpstreamTimeout(f"No connection to the upstream {host} within {timeouts.connect:g} s.")
        case TimeoutError():
            return UpstreamTimeout(f"The upstream {host} sent nothing within {timeouts.first_byte:g} s.")
        case aiohttp.ClientConnectorCertificateError():
            return UpstreamUnreachable(
                f"The upstream {host} is not trusted: {_first_line(str(error.certificate_error))}."
            )
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable(f"The upstream {host} cannot be reached: {_reason(error.os_error)}.")
        case aiohttp.ServerDisconnectedError():
            return UpstreamTruncated(f"The upstream {host} closed the connection before its answer.")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return UpstreamMalformed(
                f"The upstream {host} does not speak proper HTTP: {_fault(error.message)}."
            )
        case OSError():
            return UpstreamTruncated(
                f"The upstream {host} broke the connection before its answer: {_reason(error)}."
            )
    return UpstreamError(f"The upstream {host} could not be asked: {_first_line(str(error))}.")


def _reason(error: OSError) -> str:
    """Return the plain cause: 'Connection refused' rather than the call that failed."""
    if error.errno is not None and error.errno > 0 and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return _first_line(error.strerror or str(error) or type(error).__name__)


def _fault(message: str) -> str:
    """Return what aiohttp has against an answer, without what it quotes of it."""
    if message.startswith("Got more than"):
        return "a line of its head is too long"
    return _first_line(message)


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].rstrip(":.") if lines else "no reason given"

"""Every exception of the proxy, and the one place that shapes OpenAI's error body.

    StraightwireError
    ├── ConfigurationError      the operator's: file, command line, environment
    ├── CannotListen            the operator's, too: the address cannot be had
    ├── WorkerFailed            one of several processes does not start
    ├── ClientError             4xx, the request cannot be served as it stands
    │   ├── InvalidRequest          400
    │   ├── Unauthenticated         401
    │   ├── UnknownModel            404
    │   ├── RequestTooLarge         413
    │   ├── RequestTimedOut         408
    │   └── UnsupportedEncoding     415
    ├── Overloaded              503, a limit of ours is reached
    ├── Stopped                 503, the proxy stops before the answer is whole
    └── UpstreamError           the upstream failed the client
        ├── UpstreamUnreachable     502, no connection
        ├── UpstreamBusy            503, all connections that it may have are taken
        ├── UpstreamTimeout         504, silent for too long
        ├── UpstreamTruncated       502, the answer ends before it is finished
        ├── UpstreamMalformed       502, the answer cannot be understood
        └── UpstreamReported        the upstream's own error, in its own status

Before the first byte has left for the client an error is an HTTP status; after
that it is an event in the stream. Both carry the body that `error_body` makes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

#: OpenAI's error types by status, for upstreams that give none.
TYPE_BY_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


def type_for_status(status: int) -> str:
    """Return OpenAI's error type for an HTTP status of 400 or above."""
    fallback = "invalid_request_error" if status < 500 else "server_error"
    return TYPE_BY_STATUS.get(status, fallback)


def forget_frames(error: BaseException) -> None:
    """Make an error that is caught for good forget what caused it, and all of them where they came through.

    Who keeps the error stands in one of those frames: a circle, in which all that belongs to a request would
    stay until a search for garbage finds it.
    """
    link: BaseException | None = error
    while link is not None:
        cause = link.__cause__ or link.__context__
        link.__traceback__ = link.__cause__ = link.__context__ = None  # also where they cause each other
        link = cause


class StraightwireError(Exception):
    """The root of the tree. `str()` of it is one line that a person can act on.

    Attributes:
        retry_after: the value of Retry-After, where somebody knows it.
    """

    status: int = 500
    type: str = "server_error"
    code: str | None = None
    param: str | None = None
    retry_after: int | str | None = None


class ConfigurationError(StraightwireError):
    """The operator's mistakes: `mistakes` has one line each, which begins with its place."""

    def __init__(self, *mistakes: str):
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class CannotListen(StraightwireError):
    """The address at which the proxy shall listen cannot be had."""


class WorkerFailed(StraightwireError):
    """One of the processes that shall serve does not start."""


class ClientError(StraightwireError):
    """The request cannot be served as it stands."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None):
        super().__init__(message)
        if param is not None:
            self.param = param
        if code is not None:
            self.code = code


class InvalidRequest(ClientError):
    """The request is not what the endpoint takes."""


class Unauthenticated(ClientError):
    """No key, or not one of ours."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class UnknownModel(ClientError):
    """No route leads from the requested model to an upstream."""

    status = 404
    type = "not_found_error"
    code = "model_not_found"
    param = "model"


class RequestTooLarge(ClientError):
    """The request's body is longer than the configured limit."""

    status = 413
    code = "request_too_large"


class RequestTimedOut(ClientError):
    """The client stopped in the middle of its request."""

    status = 408
    code = "request_timeout"


class UnsupportedEncoding(ClientError):
    """The request's body is compressed, and would have to be read."""

    status = 415
    code = "unsupported_encoding"


class Overloaded(StraightwireError):
    """A limit of ours is reached; `retry_after` seconds may bring room."""

    status = 503
    code = "overloaded"
    retry_after = 1


class Stopped(StraightwireError):
    """The proxy stops, and the answer is not whole; another one, or this one in a moment, can give it."""

    status = 503
    code = "proxy_stopped"
    outcome: ClassVar[str] = "stopped"
    retry_after = 1


class UpstreamError(StraightwireError):
    """The upstream failed the client. `outcome` names the failure in logs and metrics."""

    status = 502
    outcome: ClassVar[str] = "upstream_error"
    #: What was repaired before the answer failed, by the repairs' names.
    repairs: Mapping[str, int] = MappingProxyType({})


class UpstreamUnreachable(UpstreamError):
    """No connection to the upstream could be made."""

    code = "upstream_unreachable"
    outcome = "upstream_unreachable"


class UpstreamBusy(UpstreamError):
    """All connections that the configuration allows are taken; `retry_after` seconds may bring room."""

    status = 503
    code = "overloaded"
    outcome = "overloaded"
    retry_after = 1


class UpstreamTimeout(UpstreamError):
    """The upstream was silent for longer than the configured limit."""

    status = 504
    code = "upstream_timeout"
    outcome = "upstream_timeout"


class UpstreamTruncated(UpstreamError):
    """The upstream's answer ended before it was finished."""

    code = "upstream_truncated"
    outcome = "upstream_truncated"


class UpstreamMalformed(UpstreamError):
    """The upstream's answer cannot be understood, or breaks a limit."""

    code = "upstream_malformed"
    outcome = "upstream_malformed"


class UpstreamReported(UpstreamError):
    """An error that the upstream itself reported, in whatever form."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        type: str | None = None,  # noqa: A002 - the wire's own word
        code: str | None = None,
        param: str | None = None,
        extra: dict[str, Any] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.type = type or type_for_status(status)
        self.code = code
        self.param = param
        #: What else stood in the upstream's error object (LocalAI's `loading`, …).
        self.extra = extra or {}


def error_body(error: StraightwireError) -> dict[str, Any]:
    """Shape an error as OpenAI does: the four keys, then what the upstream added."""
    body: dict[str, Any] = {
        "message": str(error),
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    if isinstance(error, UpstreamReported):
        body |= {key: value for key, value in error.extra.items() if key not in body}
    return {"error": body}

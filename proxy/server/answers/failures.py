"""Errors as the client gets them, as long as its response has not begun."""

import asyncio
from collections.abc import Mapping

import orjson
from aiohttp import web

from proxy.errors import (
    ClientError,
    RequestTimedOut,
    StraightwireError,
    Unauthenticated,
    error_body,
    type_for_status,
)
from proxy.server.answers.passthrough import break_off
from proxy.server.clients.exchange import Exchange
from proxy.server.operator.record import CLIENT_GONE, INTERNAL_ERROR
from proxy.server.stopping import stopped, was_cut_off


def error_response(error: StraightwireError, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error in OpenAI's form.

    Args:
        error: decides status and body.
        headers: of the upstream, where the error is its own.
    """
    response = web.Response(status=error.status, body=orjson.dumps(error_body(error)), headers=headers)
    response.content_type = "application/json"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RequestTimedOut):
        response.force_close()
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 15.5.2, demands one
    return response


def answer_to(request: Exchange, failure: BaseException) -> web.StreamResponse:
    """Return the answer to a request whose handling has failed, and note that on its record.

    Args:
        request: the client's.
        failure: what was raised.

    Raises:
        asyncio.CancelledError: the client has left.
    """
    record = request.record
    match failure:
        case StraightwireError():
            record.fail(failure)
            return error_response(failure)
        case asyncio.CancelledError():
            if not was_cut_off(failure):
                record.outcome = CLIENT_GONE
                try:
                    raise failure
                finally:
                    del failure  # whose traceback holds this frame: a cycle
            error = stopped()
            record.fail(error)
            return error_response(error) if record.response is None else _cut(request, record.response)
        case ConnectionResetError():
            # The client has gone. aiohttp finds that out for itself when it is given something to send.
            record.outcome = CLIENT_GONE
            return web.Response()
        case web.HTTPException():
            refusal = _refusal(failure)
            record.fail(refusal)
            allowed = {"Allow": failure.headers["Allow"]} if "Allow" in failure.headers else None
            return error_response(refusal, allowed)
        case Exception():  # a defect of ours, for the log to tell
            record.outcome = INTERNAL_ERROR
            record.defect = failure
            if record.response is not None:
                return _cut(request, record.response)
            return error_response(StraightwireError("The proxy failed at this request; its log tells more."))
    raise failure


def _cut(request: Exchange, response: web.StreamResponse) -> web.StreamResponse:
    """End a response in the middle; a WebSocket has said so itself."""
    if not isinstance(response, web.WebSocketResponse):
        break_off(request, response)
    return response


def _refusal(error: web.HTTPException) -> ClientError:
    """Return what aiohttp has against a request (there is no such path, or method) as an error of ours."""
    refusal = ClientError(f"{error.reason}.")
    refusal.status = error.status
    refusal.type = type_for_status(error.status)
    return refusal

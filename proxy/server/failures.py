"""Errors as the client gets them, as long as its response has not begun."""

from collections.abc import Mapping

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.errors import Overloaded, StraightwireError, Unauthenticated, error_body


def error_response(error: StraightwireError, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error in OpenAI's form.

    Args:
        error: decides status and body.
        headers: of the upstream, where the error is its own.
    """
    response = web.Response(status=error.status, body=orjson.dumps(error_body(error)), headers=headers)
    response.content_type = "application/json"
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 15.5.2, demands one
    return response


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with an error's status and body what a handler could not answer; be quiet about leavers."""
    try:
        return await handler(request)
    except StraightwireError as error:
        return error_response(error)
    except ConnectionResetError:
        # The client has gone. aiohttp finds that out for itself when it is given something to send.
        return web.Response()

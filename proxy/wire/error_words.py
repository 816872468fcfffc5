"""How servers name their errors: keys, statuses, and the words for them."""

from typing import Final

#: What names an error where there is no `error` object.
MESSAGE_KEYS: Final = (
    "message",
    "msg",
    "detail",
    "details",
    "error_message",
    "error_msg",
    "errorMessage",
    "error_description",
    "description",
    "reason",
    "title",
    "exception",
    "status_msg",
    "base_resp",
)
ERROR_SIGNS: Final = ("detail", "message", "errors", *MESSAGE_KEYS[4:8], "msg", "error_type")
STATUS_KEYS: Final = ("code", "status", "status_code", "statusCode", "http_status")
OWN_KEYS: Final = frozenset({"message", "type", "param", "code"})
#: Statuses of OpenAI's types and codes, for an error that comes without one.
STATUS_BY_WORD: Final = {
    "invalid_request_error": 400,
    "bad_request": 400,
    "context_length_exceeded": 400,
    "context_compression_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthorized": 401,
    "permission_error": 403,
    "forbidden": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "model_not_found": 404,
    "timeout_error": 504,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "too_many_requests": 429,
    "server_error": 500,
    "internal_error": 500,
    "api_error": 500,
    "badrequesterror": 400,
    "service_unavailable": 503,
    "overloaded_error": 503,
    "model_loading": 503,
}
PHRASES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

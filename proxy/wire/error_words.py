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
#: Messages of gateways that report no error.
NO_ERRORS: Final = frozenset(
    {"ok", "success", "succeeded", "ping", "pong", "heartbeat", "keepalive", "processing"}
)
STATUS_KEYS: Final = ("code", "status", "status_code", "statusCode", "http_status")
OWN_KEYS: Final = frozenset({"message", "type", "param", "code"})
#: Statuses of the types and codes that servers give, for an error that comes without one: OpenAI's and
#: Anthropic's, Google's of gRPC, vLLM's, TGI's and llama.cpp's. Written as `status_of_word` reads them.
_STATUS_BY_WORD: Final = {
    word: status
    for status, words in {
        400: "invalidrequest badrequest invalidargument failedprecondition outofrange validation "
        "contextlengthexceeded contextwindowexceeded exceedcontextsize contextcompression",
        401: "authentication invalidauthentication unauthenticated unauthorized invalidapikey",
        402: "billing paymentrequired insufficientbalance",
        403: "permission permissiondenied forbidden",
        404: "notfound modelnotfound",
        409: "conflict",
        413: "requesttoolarge",
        422: "unprocessableentity",
        429: "ratelimit ratelimitexceeded toomanyrequests requests tokens resourceexhausted "
        "insufficientquota quotaexceeded",
        500: "server internal internalserver api generation",
        501: "notsupported notimplemented unimplemented",
        503: "serviceunavailable unavailable overloaded engineoverloaded modelloading",
        504: "timeout requesttimeout gatewaytimeout deadlineexceeded",
    }.items()
    for word in words.split()
}


def status_of_word(word: str) -> int | None:
    """Return the HTTP status that an error's type or code stands for, however it is spelt."""
    plain = "".join(filter(str.isalnum, word.lower()))
    return _STATUS_BY_WORD.get(plain) or _STATUS_BY_WORD.get(plain.removesuffix("error"))


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

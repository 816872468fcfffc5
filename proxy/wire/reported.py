"""An upstream's errors, in whatever form, as one exception.

Each function also names the forms it met, as the catalogue calls them, so that
errors are counted like every other deviation.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from proxy.errors import StraightwireError, UpstreamReported
from proxy.wire import error_pages
from proxy.wire.codec import REPLACEMENT, NotJSON, clean_text, dumps, loads, scrub
from proxy.wire.error_words import (
    ERROR_SIGNS,
    MESSAGE_KEYS,
    NO_ERRORS,
    OWN_KEYS,
    PHRASES,
    STATUS_KEYS,
    status_of_word,
)

#: Stands where a secret stood.
HIDDEN: Final = "[hidden]"
MAX_MESSAGE: Final = 4000
#: How much of something unreadable an error quotes, in characters.
MAX_QUOTE: Final = 200

_ECHO_PREFIX: Final = re.compile(r"code=(\d{3}), message=")
_GO_BYTE_ESCAPE: Final = re.compile(r"\\x([0-9a-fA-F]{2})")
_GO_ESCAPE: Final = re.compile(r"\\[av']")


def is_error(value: dict[str, Any]) -> bool:
    """`value` is an error and no chunk or body, by any sign that servers are known to give."""
    if value.get("error"):
        return True
    choices = value.get("choices")
    if choices:
        for choice in choices if isinstance(choices, list) else _in_an_object(choices):
            if type(choice) is dict and "error" in choice and choice["error"]:
                return True
    if choices or value.get("data"):
        return False
    if value.get("object") == "error" or value.get("type") == "error" or value.get("success") is False:
        return True
    reports_usage = isinstance(choices, list) and bool(value.get("usage"))
    if value.get("error", False) not in (None, False) and not reports_usage:
        return True  # an error that is empty is one all the same
    if choices is not None:
        return False
    words = [sign for key in ERROR_SIGNS if isinstance(sign := value.get(key), str | list)]
    signs = any(isinstance(word, list) or word.strip().lower() not in NO_ERRORS for word in words)
    return signs or any(_http_error(value.get(key)) for key in STATUS_KEYS) or _base_error(value)


def _stated(value: dict[str, Any], choices: Any) -> Any:
    """What `value` calls its error, or what one of its choices does (OpenRouter)."""
    error = value.get("error")
    if not error:
        for choice in choices if isinstance(choices, list) else _in_an_object(choices):
            if isinstance(choice, dict) and "error" in choice and choice["error"]:
                return choice["error"]
    return error


def _in_an_object(choices: Any) -> list[Any]:
    """What may be a choice where an object stands for their list: it alone, or each under its number."""
    return [choices, *choices.values()] if isinstance(choices, dict) else []


def _base_error(value: dict[str, Any]) -> bool:
    """MiniMax's way: a code that is not 0, beside whatever else."""
    base = value.get("base_resp")
    return isinstance(base, dict) and bool(base.get("status_code"))


def from_value(value: Any, status: int | None = None) -> tuple[UpstreamReported, list[str]]:
    """Shape an error that came as JSON.

    Args:
        value: the JSON value, of any form.
        status: the HTTP status that came with it; None in a stream, where it is
            the number in the error's code if that is one of 400 to 599, else by
            the error's type, else 502.

    Returns:
        The error, and the names of the deviations it had.
    """
    try:
        return _shaped(scrub(value), status)
    except (NotJSON, RecursionError):
        said = "The upstream reported an error that is nested too deeply to be read."
        return UpstreamReported(said, status=status or 502), ["incomplete-error"]


def _shaped(value: Any, status: int | None) -> tuple[UpstreamReported, list[str]]:
    forms: list[str] = []
    if isinstance(value, list):
        forms.append("error-array")
        value = value[0] if len(value) == 1 else {"error": {"message": _message(value)}}
    error = _inner(value, forms)
    said = _message(error)
    unread = error if error.keys() - OWN_KEYS else error.get("message")
    given = said or (dumps(unread).decode() if unread and not isinstance(unread, bool) else "")
    message, prefix_status = _without_prefix(given, forms)
    code, kind, param = error.get("code"), error.get("type"), error.get("param")
    if isinstance(code, int | float) and not isinstance(code, bool):
        forms.append("numeric-error-code")
    if not error.keys() >= OWN_KEYS or not kind or not said:
        forms.append("incomplete-error")
    reported = UpstreamReported(
        _presentable(message, status),
        status=status or _status(error, value) or prefix_status or 502,
        type=kind if isinstance(kind, str) and kind != "error" else None,
        code=_text_or_none(code),
        param=_text_or_none(param),
        extra={key: item for key, item in error.items() if key not in OWN_KEYS and key in _KEPT_EXTRAS},
    )
    return reported, forms


#: Of what else an error object holds, what is meant for clients.
_KEPT_EXTRAS: Final = frozenset(
    {"loading", "metadata", "status", "innererror", "details", "n_ctx", "n_prompt_tokens"}
)


def hide(error: StraightwireError, secrets: Iterable[str]) -> None:
    """Take out of an error what it must not repeat: some servers name the key that they refuse."""
    for secret in secrets:
        error.args = tuple(str(word).replace(secret, HIDDEN) for word in error.args)
        for name in ("type", "code", "param"):
            if secret in (getattr(error, name) or ""):
                setattr(error, name, getattr(error, name).replace(secret, HIDDEN))
        if isinstance(error, UpstreamReported) and error.extra:
            error.extra = loads(dumps(error.extra).replace(secret.encode(), HIDDEN.encode()))[0]


def broken_json(text: str) -> str | None:
    """Return the beginning of a text that means to be JSON and no error; None where it is something else."""
    quote = text[:MAX_QUOTE]
    return quote if quote.startswith(("{", "[")) and "error" not in quote.lower() else None


def from_text(text: str, status: int | None = None) -> tuple[UpstreamReported, list[str]]:
    """Shape an error that came as text: a page, a line, broken JSON, or nothing at all."""
    text = text.strip()
    mended = _mended(text)
    if mended is not None:
        reported, forms = from_value(mended, status)
        return reported, ["error-broken-json", *forms]
    if error_pages.is_page(text):
        return UpstreamReported(error_pages.message(text, status), status=status or 502), ["error-page"]
    forms = ["error-text"]
    message, prefix_status = _without_prefix(text, forms)
    return UpstreamReported(_presentable(message, status), status=status or prefix_status or 502), forms


def from_body(body: bytes, status: int) -> tuple[UpstreamReported, list[str]]:
    """Shape the body of an answer whose HTTP status is an error."""
    try:
        value, _ = loads(body)
    except NotJSON:
        return from_text(body.decode("utf-8", "replace"), status)
    if isinstance(value, dict | list) and value:
        return from_value(value, status)
    return from_text(value if isinstance(value, str) else "", status)


def _inner(value: Any, forms: list[str]) -> dict[str, Any]:
    """Return the error object itself, unwrapped from whatever holds it."""
    if not isinstance(value, dict):
        return {"message": value}
    error = _stated(value, value.get("choices"))
    if isinstance(error, dict):
        nested = error.get("error")
        return _inner(error, forms) if isinstance(nested, dict) and "message" not in error else error
    if error and not isinstance(error, bool):
        forms.append("error-string")
        unwrapped = _unwrapped(error)
        if unwrapped is not None:
            return _inner(unwrapped, forms)
        return {
            "message": error,
            "type": value.get("error_type") or value.get("type"),
            "code": value.get("code"),
        }
    forms.append("error-detail" if "detail" in value else "error-flat")
    return {key: item for key, item in value.items() if key != "error"}


def _unwrapped(error: Any) -> dict[str, Any] | None:
    """An error object that was written into a string."""
    if not isinstance(error, str) or error[:1] != "{":
        return None
    try:
        value, _ = loads(error.encode("utf-8", "replace"))
    except NotJSON:
        return None
    return value if isinstance(value, dict) else None


def _message(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_message, value)))
    if not isinstance(value, dict):
        return "" if value is None or isinstance(value, bool) else str(value)
    for key in (*MESSAGE_KEYS, "error", "errors"):
        text = _message(value.get(key))
        if text:
            loc = value.get("loc") if key == "msg" else None
            place = ".".join(map(str, loc)) if isinstance(loc, list) else ""
            return f"{place}: {text}" if place else text
    return ""


def _without_prefix(message: str, forms: list[str]) -> tuple[str, int | None]:
    """Take off `code=400, message=`, which LocalAI's web framework puts before its errors."""
    match = _ECHO_PREFIX.match(message)
    if not match:
        return message, None
    forms.append("error-prefix")
    return message[match.end() :], _http_error(match.group(1))


def _status(error: dict[str, Any], value: Any) -> int | None:
    places = [error, value] if isinstance(value, dict) else [error]
    for place in places:
        for key in STATUS_KEYS:
            status = _http_error(place.get(key))
            if status:
                return status
    words = [error.get(key) for key in ("code", "type", "status")]
    return next(filter(None, (status_of_word(word) for word in words if isinstance(word, str))), None)


def _http_error(value: Any) -> int | None:
    if (isinstance(value, str) and value.isdecimal() and len(value) == 3) or (
        isinstance(value, float) and value.is_integer()
    ):
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def _text_or_none(value: Any) -> str | None:
    if value is None or isinstance(value, bool | dict | list):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return clean_text(str(value)) or None


def _mended(text: str) -> Any:
    """Read an error that Go quoted for itself and not for JSON, or one cut at its end."""
    if not text.startswith("{") or '"error"' not in text:
        return None
    text = _GO_ESCAPE.sub(lambda match: match.group()[1] if match.group()[1] == "'" else " ", text)
    try:
        return loads(_GO_BYTE_ESCAPE.sub(r"\\u00\1", text).encode("utf-8", "replace"))[0]
    except NotJSON:
        found = re.search(r'"message"\s*:\s*"((?:[^"\\]|\\.)*)', text, re.S)
        return {"error": {"message": _unescaped(found.group(1))}} if found else None


def _unescaped(text: str) -> str:
    """Read what stood between the quotes of a JSON string, or leave it as it is."""
    try:
        return str(loads(f'"{text}"'.encode("utf-8", "replace"))[0])
    except NotJSON:
        return text


def _presentable(message: str, status: int | None) -> str:
    if message.count(REPLACEMENT) > max(8, len(message) // 8):
        return (
            f"The upstream answered {status or 'the request'} with bytes that are no text: compressed ones?"
        )
    return clean_text(message).strip()[:MAX_MESSAGE] or _no_message(status)


def _no_message(status: int | None) -> str:
    """What to say of an error that says nothing, and of its HTTP status, where it had one."""
    if status is None:
        return "The upstream reported an error and gave no reason."
    phrase = f"{status} {PHRASES.get(status, '')}".strip()
    return f"The upstream answered {phrase} and gave no reason."

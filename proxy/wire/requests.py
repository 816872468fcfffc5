"""What of a request decides how its answer must look, read once.

The body itself is not kept: it goes to the upstream as the client wrote it.
"""

import enum
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from proxy.errors import InvalidRequest
from proxy.wire.codec import expands

#: Keys that say more of the answer than its model, and that it is a stream. Most requests have none of them.
_FURTHER: Final = frozenset(
    ("stream_options", "n", "prompt", "tools", "functions", "tool_choice", "encoding_format", "input")
)


class Endpoint(enum.StrEnum):
    """An endpoint whose answers the proxy understands; its value is what the metrics call it."""

    __hash__ = str.__hash__  # Enum's own, in Python, costs more than the look-up that it is for

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    EDITS = "edits"
    MODELS = "models"


@dataclass(slots=True)  # frozen, it would take three times as long to make as to read the body
class Request:
    """The facts of one request that its answer's repair needs. Nobody changes them.

    Attributes:
        endpoint: which kind of answer is due.
        model: the client's own name for the model; None where it gave none.
        stream: the client asked for events.
        include_usage: it asked for a usage chunk at the end of them.
        choices: how many choices it asked for in all (`n`, for each prompt).
        tools: the names of the functions in `tools`; None where there are none.
        functions: it used the legacy `functions`.
        named_tool: `tool_choice` names one function; OpenAI then finishes with `stop`.
        base64: embeddings are asked for in base64.
        inputs: how many embeddings are due; None where the request does not tell.
    """

    endpoint: Endpoint
    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    choices: int = 1
    tools: frozenset[str] | None = field(default=None)
    functions: bool = False
    named_tool: bool = False
    base64: bool = False
    inputs: int | None = None

    @property
    def calls_allowed(self) -> bool:
        """The answer may hold calls."""
        return self.tools is not None or self.functions


def read_request(endpoint: Endpoint, body: bytes) -> Request:
    """Read what the answer depends on.

    Only what must be understood is judged; all else is the upstream's to accept or refuse.

    Raises:
        InvalidRequest: the body is not a JSON object.
    """
    _refuse_expansion(body)
    try:
        wanted = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(wanted, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    model = wanted.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("'model' must be a string.", param="model")
    stream = wanted.get("stream") is True
    if _FURTHER.isdisjoint(wanted):
        return Request(endpoint, model or None, stream)
    options = wanted.get("stream_options")
    return Request(
        endpoint=endpoint,
        model=model or None,
        stream=stream,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=_positive(wanted.get("n")) * _prompts(wanted.get("prompt")),
        tools=_tool_names(wanted.get("tools")),
        functions=bool(wanted.get("functions")),
        named_tool=_names_a_tool(wanted.get("tool_choice")),
        base64=wanted.get("encoding_format") == "base64",
        inputs=_inputs(wanted.get("input")) if endpoint is Endpoint.EMBEDDINGS else None,
    )


def model_of(body: bytes) -> str | None:
    """Return the model that a body names, if it is a JSON object; None: it names none.

    Raises:
        InvalidRequest: it would take many times its own memory to find out.
    """
    _refuse_expansion(body)
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    model = asked.get("model") if isinstance(asked, dict) else None
    return model if isinstance(model, str) and model else None


def _refuse_expansion(body: bytes) -> None:
    if expands(body):
        raise InvalidRequest("The request body has more values than any request needs.")


def _positive(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1


def _prompts(prompt: Any) -> int:
    """A list of strings, or of lists of tokens, is several prompts; a list of tokens is one."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


def _inputs(given: Any) -> int | None:
    """As for prompts; what else stands there only the upstream understands."""
    return _prompts(given) if isinstance(given, str) or (isinstance(given, list) and given) else None


def _tool_names(tools: Any) -> frozenset[str] | None:
    if not isinstance(tools, list) or not tools:
        return None
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return frozenset(name for name in names if isinstance(name, str))


def _names_a_tool(tool_choice: Any) -> bool:
    return isinstance(tool_choice, dict) and tool_choice.get("type", "function") == "function"

"""What arrives: the body of a request, read as LocalAI read it at ed5df1e (21 May 2023).

All endpoints shared one struct, `OpenAIRequest` in api/openai.go, of which this keeps the fields that an echo
depends on. What else a client sends is accepted and ignored, as a model that repeats its question
would ignore a temperature. A field of a wrong type is refused in Go's words (`UnmarshalTypeError`,
src/encoding/json/decode.go), a list of parts in `content` among them: that came later.

How `prompt` and `input` become lists of texts is api/config.go, `updateConfig`.
"""

from dataclasses import dataclass
from typing import Any, Final

from proxy.demo import go_json


class QuestionError(ValueError):
    """The body cannot be read into LocalAI's struct. `str()` of it is LocalAI's message."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, whatever its endpoint; a field that the client left out has Go's zero value."""

    model: str
    stream: bool
    #: Completions wanted: 1 where the client does not say, or says 0.
    n: int
    #: Tokens wanted at most; 0 or less is no limit here.
    max_tokens: int
    #: The text of the user's last message, "" without one.
    last_message: str
    #: `prompt`, one text each.
    prompts: tuple[str, ...]
    #: `input`, one text each.
    inputs: tuple[str, ...]
    #: `input`, as far as it is made of lists of tokens.
    token_inputs: tuple[tuple[float, ...], ...]

    @classmethod
    def parse(cls, body: bytes) -> "Question":
        """Read a request's body.

        Raises:
            QuestionError: The body is not JSON, or a field has a type that LocalAI did not take.
        """
        fields = _fields(body)
        prompts = fields.get("prompt")
        inputs = fields.get("input")
        return cls(
            model=_typed(fields, "model", "string", "OpenAIRequest.model"),
            stream=_typed(fields, "stream", "bool", "OpenAIRequest.stream"),
            n=_typed(fields, "n", "int", "OpenAIRequest.n") or 1,
            max_tokens=_typed(fields, "max_tokens", "int", "OpenAIRequest.max_tokens"),
            last_message=_last_message(fields),
            # An empty string is a prompt, but no input.
            prompts=(prompts,) if isinstance(prompts, str) else _texts(prompts),
            inputs=(inputs,) if isinstance(inputs, str) and inputs else _texts(inputs),
            token_inputs=_token_lists(inputs),
        )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = go_json.decode(body)
    except go_json.DecodeError as error:
        raise QuestionError(str(error)) from error
    if fields is None:  # Go leaves the struct as it is.
        return {}
    if not isinstance(fields, dict):
        raise QuestionError(f"json: cannot unmarshal {_name(fields)} into Go value of type api.OpenAIRequest")
    return fields


def _last_message(fields: dict[str, Any]) -> str:
    last = ""
    for message in _typed(fields, "messages", "[]api.Message", "OpenAIRequest.messages"):
        if message is None:
            continue
        if not isinstance(message, dict):
            raise QuestionError(
                f"json: cannot unmarshal {_name(message)} into Go struct field"
                " OpenAIRequest.messages of type api.Message"
            )
        role = _typed(message, "role", "string", "Message.messages.role")
        content: str = _typed(message, "content", "string", "Message.messages.content")
        if role == "user":
            last = content
    return last


def _texts(items: Any) -> tuple[str, ...]:
    if not isinstance(items, list):
        return ()
    return tuple(item for item in items if isinstance(item, str))


def _token_lists(items: Any) -> tuple[tuple[float, ...], ...]:
    if not isinstance(items, list):
        return ()
    return tuple(
        tuple(token for token in item if isinstance(token, int | float))
        for item in items
        if isinstance(item, list)
    )


_ZERO: Final[dict[str, Any]] = {"string": "", "bool": False, "int": 0, "[]api.Message": []}


def _typed(fields: dict[str, Any], key: str, go_type: str, path: str) -> Any:
    """Return a field if it is of its Go type; the zero value for an absent one, and for null."""
    value = fields.get(key)
    zero = _ZERO[go_type]
    if value is None:
        return zero
    if type(value) is type(zero):
        return value
    # Go shows the number that an integer cannot hold, and no other value.
    given = f"number {value}" if go_type == "int" and isinstance(value, float) else _name(value)
    raise QuestionError(f"json: cannot unmarshal {given} into Go struct field {path} of type {go_type}")


def _name(value: Any) -> str:
    """Name a JSON value's type as Go's errors do."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"

"""Whole bodies: what a `chat.completion`, a `text_completion` or an `edit` lacks.

The faults that bodies share with streams are repaired by the same functions,
which see a choice's message under the name of `delta`. `SHARED` says which.
"""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Choice, ChoiceState, Chunk, StreamState
from proxy.wire.finish_words import NOTHING
from proxy.wire.repairs.entry import (
    CHAT,
    CLIENT,
    COMPLETIONS,
    EDITS,
    FORM,
    KEPT,
    REPAIRED,
    Outcome,
    Scope,
    fixed,
    repair,
)
from proxy.wire.repairs.finish import call_reason
from proxy.wire.requests import Endpoint

BODIES: Final = CHAT | COMPLETIONS | EDITS

_FINISH: Final = frozenset(
    {
        "failed-finish-reason",
        "foreign-finish-reason",
        "unknown-finish-reason",
        "calls-finish-without-calls",
    }
)
_CHOICES: Final = _FINISH | {"null-choices", "usage-in-choice", "missing-index", "missing-logprobs"}
_TEXTS: Final = _CHOICES | {"missing-text", "delta-instead-of-text", "malformed-content", "chat-logprobs"}
_LIST: Final = frozenset({"missing-object", "wrong-object", "missing-model", "changing-model"})
_IDENTITY: Final = _LIST | {"missing-id", "missing-created", "malformed-created"}
#: The repairs of streams that whole bodies need as well.
SHARED: Final = {
    Endpoint.CHAT: _IDENTITY
    | _CHOICES
    | {
        "content-parts",
        "malformed-content",
        "think-tags",
        "reasoning-to-reasoning-content",
        "reasoning-under-both-names",
        "malformed-logprobs",
        "function-call-for-tools",
        "empty-tool-calls",
        "tool-calls-not-a-list",
        "unwrapped-tool-call",
        "arguments-not-a-string",
        "missing-call-id",
        "shared-call-id",
        "missing-call-type",
        "missing-arguments",
        "tool-calls-for-functions",
        "malformed-function-call",
        "stop-after-calls",
    },
    Endpoint.COMPLETIONS: _IDENTITY | _TEXTS,
    # OpenAI's edits had neither id nor model.
    Endpoint.EDITS: (_IDENTITY | _TEXTS)
    - {"missing-id", "missing-model", "chat-logprobs", "missing-logprobs"},
    Endpoint.EMBEDDINGS: _LIST,
    Endpoint.MODELS: frozenset({"missing-object", "wrong-object"}),
}


@repair(
    "missing-message",
    scope=Scope.BODY,
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"delta":{"content":"Hi"}}] · "text":"Hi" · "message":"Hi"',
    right='"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]',
    breaks="every client: choices[0].message is None",
    sources=("OpenAI's CreateChatCompletionResponse", "WebAI-to-API#55"),
)
def missing_message(body: Chunk, stream: StreamState) -> Outcome:
    """Find a message that stands as a delta, as text or as a string; a choice that ended may have none."""
    outcome = KEPT
    for choice in body["choices"]:
        if isinstance(choice.get("message"), dict) and "delta" not in choice:
            continue
        given = [choice.get("message"), choice.pop("delta", None), choice.get("text")]
        found = next((message for message in given if isinstance(message, dict)), None)
        text = next((message for message in given if isinstance(message, str)), None)
        if found is None:
            if text is None and not choice.get("finish_reason"):
                raise UpstreamMalformed("The upstream sent a choice with nothing in it.")
            choice.pop("text", None)
            found = {} if text is None else {"content": text}
        choice["message"] = found
        outcome = REPAIRED
    return outcome


@repair(
    "repeated-index",
    scope=Scope.NUMBERS,
    basis=FORM,
    endpoints=BODIES,
    wrong='"choices":[{"index":0,…},{"index":0,…}]',
    right='"choices":[{"index":0,…},{"index":1,…}]',
    breaks="clients that keep choices by index lose all but one",
    sources=("LocalAI, all releases (n > 1)", "OpenAI's CreateChatCompletionResponse"),
    eras="E-T",
)
def repeated_index(body: Chunk, stream: StreamState) -> Outcome:
    """Number choices by their place where two share a number, or one of a body has none."""
    items = body["choices"]
    numbers = [item["index"] for item in items if type(item.get("index")) is int]
    apart = len(set(numbers)) == len(numbers)
    if apart and (
        not (stream.is_body or stream.whole) or not numbers or set(numbers) == set(range(len(items)))
    ):
        return KEPT
    for position, item in enumerate(items):
        item["index"] = position
    return REPAIRED


@repair(
    "missing-message-role",
    scope=Scope.MESSAGE,
    basis=FORM,
    endpoints=CHAT,
    wrong='"message":{"content":"Hi"} · "message":{"role":"model","content":"Hi"}',
    right='"message":{"role":"assistant","content":"Hi"}',
    breaks="typed decoders; histories that send the message back",
    sources=("OpenAI's ChatCompletionResponseMessage",),
)
def missing_message_role(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Say that the assistant speaks, whatever else the upstream calls it."""
    return _fill(choice["message"], "role", "assistant", choice["message"].get("role") != "assistant")


@repair(
    "missing-content",
    scope=Scope.MESSAGE,
    basis=FORM,
    endpoints=CHAT,
    wrong='"message":{"role":"assistant","tool_calls":[…]}',
    right='"message":{"role":"assistant","content":null,"tool_calls":[…]}',
    breaks="LangChain's pydantic models, Kotlin: a required key",
    sources=("langchain-azure#19", "OpenAI's ChatCompletionResponseMessage"),
)
def missing_content(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Say `"content":null` where the key is absent."""
    return _fill(choice["message"], "content", None, "content" not in choice["message"])


@repair(
    "empty-content-beside-calls",
    scope=Scope.MESSAGE,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"message":{"role":"assistant","content":"","tool_calls":[…]}',
    right='"message":{"role":"assistant","content":null,"tool_calls":[…]}',
    breaks='clients that test `content is None` to find a call take "" for the answer',
    sources=("LocalAI v2.17.0-HEAD (3f7212c66)",),
    eras="I-T",
)
def empty_content_beside_calls(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Make empty content beside calls null, as OpenAI does."""
    message = choice["message"]
    calls = message.get("tool_calls") or message.get("function_call")
    return _fill(message, "content", None, bool(calls) and message.get("content") == "")


@repair(
    "missing-refusal",
    scope=Scope.MESSAGE,
    basis=FORM,
    endpoints=CHAT,
    wrong='"message":{"role":"assistant","content":"Hi"}',
    right='"message":{"role":"assistant","content":"Hi","refusal":null}',
    breaks="openai-java throws on access to a required field that is missing",
    sources=("spring-ai#7014", "llama-cpp-python JamePeng#113", "OpenAI's ChatCompletionResponseMessage"),
    eras="A-T",
)
def missing_refusal(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Say `"refusal":null` where the key is absent."""
    return _fill(choice["message"], "refusal", None, "refusal" not in choice["message"])


@repair(
    "surplus-call-index",
    scope=Scope.MESSAGE,
    basis=FORM,
    endpoints=CHAT,
    wrong='"message":{"tool_calls":[{"index":0,"id":"call_1",…},{"index":0,"id":"call_2",…}]}',
    right='"message":{"tool_calls":[{"id":"call_1",…},{"id":"call_2",…}]}',
    breaks="clients that join calls by index make one of two",
    sources=("LocalAI v2.9.0-HEAD (960d314e4)",),
    eras="G-T",
)
def surplus_call_index(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Remove `index` from the calls of a whole message: it belongs to fragments in a stream."""
    numbered = [call for call in choice["message"].get("tool_calls") or () if "index" in call]
    for call in numbered:
        del call["index"]
    return REPAIRED if numbered else KEPT


@repair(
    "unfinished-body",
    scope=Scope.MESSAGE,
    basis=FORM,
    endpoints=BODIES,
    wrong='"choices":[{"index":0,"message":{…}}] · "finish_reason":null · "finish_reason":""',
    right='"choices":[{"index":0,"message":{…},"finish_reason":"stop"}]',
    breaks="big-AGI; .NET: ArgumentOutOfRangeException; in a whole body the key is never null",
    sources=("LocalAI#788", "AIShell#350", "ollama#7547"),
    eras="A-D; edits A-T",
)
def unfinished_body(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Finish a choice of a whole body that has no reason: `stop`, or the call's where it called."""
    reason = choice.get("finish_reason")
    if reason and not (isinstance(reason, str) and reason.strip().lower() in NOTHING):
        return KEPT
    called = state.made_calls and not stream.request.named_tool
    choice["finish_reason"] = call_reason(state, stream) if called else "stop"
    return REPAIRED


def _fill(place: dict[str, Any], key: str, value: Any, is_wrong: bool) -> Outcome:
    if not is_wrong:
        return KEPT
    place[key] = value
    return REPAIRED


STREAM_FOR_BODY = fixed(
    "stream-for-body",
    summary="Fold the events that answer a request without `stream` into the one body that was asked for.",
    scope=Scope.FRAMING,
    basis=FORM,
    wrong='data: {"object":"chat.completion.chunk",…} to a request without `stream`',
    right='{"id":"…","object":"chat.completion",…}',
    breaks="openai-python: 'str' object has no attribute 'choices'; JSON.parse",
    sources=("mini-sglang#51", "OmniRoute#10239", "9router#3492"),
)

FOREIGN_CHARSET = fixed(
    "foreign-charset",
    summary="Bring a whole body to UTF-8 from the encoding that it, or its Content-Type, tells.",
    scope=Scope.FRAMING,
    basis=FORM,
    endpoints=frozenset(Endpoint),
    wrong="Content-Type: application/json; charset=iso-8859-1 · a body in UTF-16",
    right="the same text in UTF-8",
    breaks="JSON decoders refuse the body, or show replacement characters",
    sources=("RFC 8259, 8.1",),
)

REPAIRS = (
    STREAM_FOR_BODY,
    FOREIGN_CHARSET,
    missing_message,
    repeated_index,
    missing_message_role,
    missing_content,
    empty_content_beside_calls,
    missing_refusal,
    surplus_call_index,
    unfinished_body,
)

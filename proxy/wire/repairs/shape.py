"""Chunks whose skeleton is wrong: without these nothing else can be looked at."""

from typing import Any, Final

from proxy.wire.chunk import TEXTS, Chunk, StreamState
from proxy.wire.repairs.entry import (
    CHAT,
    CLIENT,
    FORM,
    KEPT,
    REPAIRED,
    Outcome,
    Scope,
    repair,
)

#: By any of these an object is known for a choice.
CHOICE_SIGNS: Final = frozenset({"index", "delta", "message", "text", "logprobs", "finish_reason"})


def choices_of(chunk: Chunk) -> list[dict[str, Any]]:
    """The choices of a chunk that are objects, themselves where all are; none where they are no list."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return []
    for choice in choices:
        if not isinstance(choice, dict):
            return [choice for choice in choices if isinstance(choice, dict)]
    return choices


def _is_numbered(entry: tuple[str, Any]) -> bool:
    """A choice under its number, as PHP writes lists with holes."""
    key, choice = entry
    return key.isdecimal() and key.isascii() and len(key) < 4 and isinstance(choice, dict)


@repair(
    "null-error",
    scope=Scope.SHAPE,
    watches="choices",
    basis=CLIENT,
    wrong='{…,"choices":[…],"error":null}',
    right='{…,"choices":[…]}',
    breaks="openai-go takes any `error` key for an error and ends the stream",
    sources=("foundry-local#273",),
)
def null_error(chunk: Chunk, stream: StreamState) -> Outcome:
    """Remove the `error` of a chunk that reports none: it is null, false or empty."""
    if "error" not in chunk:
        return KEPT
    del chunk["error"]
    return REPAIRED


@repair(
    "missing-choices",
    scope=Scope.SHAPE,
    watches="choices",
    basis=FORM,
    wrong='data: {"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}',
    right='data: {…,"choices":[],"usage":{…}}',
    breaks="openai-python and every `for choice in chunk.choices`: TypeError on None",
    sources=("pi#1671", "llmeter#34"),
)
def missing_choices(chunk: Chunk, stream: StreamState) -> Outcome:
    """Give a chunk that only reports usage its empty `choices`."""
    if "choices" in chunk:
        return KEPT
    chunk["choices"] = []
    return REPAIRED


@repair(
    "null-choices",
    scope=Scope.SHAPE,
    watches="choices",
    basis=FORM,
    wrong='"choices":null,"usage":{…} · "choices":{"delta":{…}} · "choices":{"0":{"delta":{…}}}',
    right='"choices":[],"usage":{…} · "choices":[{"index":0,"delta":{…}}]',
    breaks="openai-python, Roo Code, Cline, pydantic-ai: TypeError",
    sources=("Roo-Code#9105", "pydantic-ai#5165", "Cline#8527"),
)
def null_choices(chunk: Chunk, stream: StreamState) -> Outcome:
    """Make `choices` a list: empty for null, of one for a lone choice, without null entries."""
    choices = chunk.get("choices", [])
    if choices is None:
        chunk["choices"] = []
    elif isinstance(choices, dict) and not CHOICE_SIGNS.isdisjoint(choices):
        chunk["choices"] = [choices]
    elif isinstance(choices, dict) and choices and all(map(_is_numbered, choices.items())):
        chunk["choices"] = [{"index": int(key)} | choices[key] for key in sorted(choices, key=int)]
    elif isinstance(choices, list) and None in choices:
        chunk["choices"] = [choice for choice in choices if choice is not None]
    else:
        return KEPT
    return REPAIRED


@repair(
    "message-beside-delta",
    scope=Scope.SHAPE,
    watches="message",
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"message":{"content":"Hi"},"delta":{"content":"Hi"}}]',
    right='"choices":[{"index":0,"delta":{"content":"Hi"}}]',
    breaks="org-ai takes either; every answer is sent twice",
    sources=("org-ai#95", "Foundry Local#144"),
)
def message_beside_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Remove a `message` that is none or repeats the delta; of a whole body it is the message that counts."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if "message" not in choice:
            continue
        is_message = isinstance(choice["message"], dict | str)
        if choice.get("delta") is not None or not is_message:
            stays = stream.whole and is_message and choice["message"]
            del choice["delta" if stays else "message"]
            outcome = REPAIRED
    return outcome


@repair(
    "message-after-deltas",
    scope=Scope.SHAPE,
    watches="message",
    basis=FORM,
    endpoints=CHAT,
    wrong='"delta":{"content":"Hi"} … "choices":[{"message":{"content":"Hi"},"finish_reason":"stop",…}]',
    right='"delta":{"content":"Hi"} … "choices":[{"index":0,"delta":{},"finish_reason":"stop"}]',
    breaks="clients that take a message for a delta show all twice; others lose finish reason and usage",
    sources=("OpenBitFun#792 (MiniMax)", "GoModel#1068", "hermes-browser-extension#11", "any-llm#657"),
)
def message_after_deltas(chunk: Chunk, stream: StreamState) -> Outcome:
    """Take from the whole message that ends a stream of deltas only what they have not said."""
    outcome = KEPT
    if "message-instead-of-delta" in stream.repairs:
        return outcome  # a server whose deltas are called messages
    for choice in choices_of(chunk):
        index, message = choice.get("index"), choice.get("message")
        state = stream.choices.get(index if type(index) is int else 0)
        ends = choice.get("finish_reason") or chunk.get("object") == "chat.completion"
        if ends and state and state.said and choice.get("delta") is None and isinstance(message, dict):
            del choice["message"]
            choice["delta"] = {
                key: message[key] for key in TEXTS if message.get(key) and key not in state.said
            }
            if message.get("tool_calls") and not state.made_calls:
                choice["delta"]["tool_calls"] = message["tool_calls"]
            outcome = REPAIRED
    return outcome


@repair(
    "message-instead-of-delta",
    scope=Scope.SHAPE,
    watches="message",
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]',
    right='"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]',
    breaks="openai-python: AttributeError on None; a whole answer to `stream: true` yields no text at all",
    sources=("WebAI-to-API#55", "KoboldCpp#2480"),
    eras="D-F",
)
def message_instead_of_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Call a choice's `message` what it is in a stream: its delta."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if choice.get("delta") is None and isinstance(choice.get("message"), dict | str):
            message = choice.pop("message")
            choice["delta"] = {"content": message} if isinstance(message, str) else message
            outcome = REPAIRED
    return outcome


@repair(
    "text-instead-of-delta",
    scope=Scope.SHAPE,
    watches="delta",
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"text":" two"}]',
    right='"choices":[{"index":0,"delta":{"content":" two"}}]',
    breaks="every chat client: the text is not seen",
    sources=("inferred: a completion behind the chat path",),
)
def text_instead_of_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Put a chat choice's `text` into its delta."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if choice.get("delta") is None and isinstance(choice.get("text"), str):
            choice["delta"] = {"content": choice.pop("text")}
            outcome = REPAIRED
    return outcome


@repair(
    "missing-delta",
    scope=Scope.SHAPE,
    watches="delta",
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"finish_reason":"stop"}]',
    right='"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]',
    breaks="openai-python loops, LangChain, Spring AI, openai-node: AttributeError, 'delta is not set'",
    sources=("LocalAI#340", "openai-python#1677", "langchain#18977"),
    eras="A-B",
)
def missing_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Give a choice without a delta an empty one."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if "delta" not in choice:
            choice["delta"] = {}
            outcome = REPAIRED
    return outcome


@repair(
    "null-delta",
    scope=Scope.SHAPE,
    watches="delta",
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]',
    right='"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]',
    breaks="openai-python: AttributeError, in the loop and in the helper",
    sources=("agentUniverse#772",),
)
def null_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Make a null delta an empty one."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if "delta" in choice and choice["delta"] is None:
            choice["delta"] = {}
            outcome = REPAIRED
    return outcome


@repair(
    "string-delta",
    scope=Scope.SHAPE,
    watches="delta",
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"delta":" two"}]',
    right='"choices":[{"index":0,"delta":{"content":" two"}}]',
    breaks="every client",
    sources=("FastChat#873",),
)
def string_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Put a delta that is only a string into `content`."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if isinstance(choice.get("delta"), str):
            choice["delta"] = {"content": choice["delta"]}
            outcome = REPAIRED
    return outcome


REPAIRS = (
    null_error,
    missing_choices,
    null_choices,
    message_beside_delta,
    message_after_deltas,
    message_instead_of_delta,
    text_instead_of_delta,
    missing_delta,
    null_delta,
    string_delta,
)

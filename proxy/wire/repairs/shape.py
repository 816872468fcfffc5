"""Chunks whose skeleton is wrong: without these nothing else can be looked at."""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.repairs.entry import (
    CHAT,
    COMPLETIONS,
    FORM,
    KEPT,
    REPAIRED,
    Outcome,
    Scope,
    repair,
)

#: By any of these an object is known for a choice.
CHOICE_SIGNS: Final = frozenset({"index", "delta", "message", "text", "logprobs", "finish_reason"})


def _choices(chunk: Chunk) -> list[dict[str, Any]]:
    choices = chunk.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _is_numbered(entry: tuple[str, Any]) -> bool:
    """A choice under its number, as PHP writes lists with holes."""
    key, choice = entry
    return key.isdecimal() and key.isascii() and len(key) < 4 and isinstance(choice, dict)


@repair(
    "missing-choices",
    scope=Scope.SHAPE,
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
    basis=FORM,
    endpoints=CHAT,
    wrong='"choices":[{"index":0,"message":{"content":"Hi"},"delta":{"content":"Hi"}}]',
    right='"choices":[{"index":0,"delta":{"content":"Hi"}}]',
    breaks="org-ai takes either; every answer is sent twice",
    sources=("org-ai#95", "Foundry Local#144"),
)
def message_beside_delta(chunk: Chunk, stream: StreamState) -> Outcome:
    """Remove a `message` that is null or repeats the delta; of a whole body it is the message that counts."""
    outcome = KEPT
    for choice in _choices(chunk):
        if "message" in choice and (choice.get("delta") is not None or choice["message"] is None):
            del choice["delta" if stream.whole and choice["message"] and "delta" in choice else "message"]
            outcome = REPAIRED
    return outcome


@repair(
    "message-instead-of-delta",
    scope=Scope.SHAPE,
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
    for choice in _choices(chunk):
        if choice.get("delta") is None and isinstance(choice.get("message"), dict | str):
            message = choice.pop("message")
            choice["delta"] = {"content": message} if isinstance(message, str) else message
            outcome = REPAIRED
    return outcome


@repair(
    "string-delta",
    scope=Scope.SHAPE,
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
    for choice in _choices(chunk):
        if isinstance(choice.get("delta"), str):
            choice["delta"] = {"content": choice["delta"]}
            outcome = REPAIRED
    return outcome


@repair(
    "text-instead-of-delta",
    scope=Scope.SHAPE,
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
    for choice in _choices(chunk):
        if choice.get("delta") is None and isinstance(choice.get("text"), str):
            choice["delta"] = {"content": choice.pop("text")}
            outcome = REPAIRED
    return outcome


@repair(
    "missing-delta",
    scope=Scope.SHAPE,
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
    for choice in _choices(chunk):
        if "delta" not in choice:
            choice["delta"] = {}
            outcome = REPAIRED
    return outcome


@repair(
    "null-delta",
    scope=Scope.SHAPE,
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
    for choice in _choices(chunk):
        if "delta" in choice and choice["delta"] is None:
            choice["delta"] = {}
            outcome = REPAIRED
    return outcome


@repair(
    "delta-instead-of-text",
    scope=Scope.SHAPE,
    basis=FORM,
    endpoints=COMPLETIONS,
    wrong='"choices":[{"index":0,"delta":{"content":" two"}}]',
    right='"choices":[{"index":0,"text":" two"}]',
    breaks="every completions client: the text is not seen",
    sources=("inferred: a chat answer behind the completions path",),
)
def delta_instead_of_text(chunk: Chunk, stream: StreamState) -> Outcome:
    """Put a completion's `delta.content` or `message.content` into `text`."""
    outcome = KEPT
    for choice in _choices(chunk):
        for key in ("delta", "message"):
            if choice.get("text") is None and isinstance(choice.get(key), dict):
                choice["text"] = choice.pop(key).get("content") or ""
                outcome = REPAIRED
    return outcome


@repair(
    "missing-text",
    scope=Scope.SHAPE,
    basis=FORM,
    endpoints=COMPLETIONS,
    wrong='"choices":[{"index":0,"finish_reason":"stop"}]',
    right='"choices":[{"index":0,"text":"","finish_reason":"stop"}]',
    breaks="LangChain, langchain.js, openai-python's callers that join texts: TypeError",
    sources=("LocalAI#648", "litellm#11158"),
    eras="B-T",
)
def missing_text(chunk: Chunk, stream: StreamState) -> Outcome:
    """Give a completion's choice without text an empty one, unless it is a body's and says nothing else."""
    outcome = KEPT
    for choice in _choices(chunk):
        if choice.get("text") is None:
            if stream.is_body and stream.request.endpoint in COMPLETIONS and not choice.get("finish_reason"):
                raise UpstreamMalformed("The upstream sent a choice with nothing in it.")
            choice["text"] = ""
            outcome = REPAIRED
    return outcome


REPAIRS = (
    missing_choices,
    null_choices,
    message_beside_delta,
    message_instead_of_delta,
    string_delta,
    text_instead_of_delta,
    missing_delta,
    null_delta,
    delta_instead_of_text,
    missing_text,
)

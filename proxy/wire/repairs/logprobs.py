"""Log probabilities: chat's shape for chat, the legacy shape for completions."""

from typing import Any

from proxy.wire.chunk import Choice, ChoiceState, StreamState
from proxy.wire.repairs.entry import CHAT, COMPLETIONS, FORM, KEPT, REPAIRED, Outcome, Scope, repair


@repair(
    "malformed-logprobs",
    scope=Scope.LOGPROBS,
    basis=FORM,
    endpoints=CHAT,
    wrong='"logprobs":{"tokens":["Hi"],"token_logprobs":[-0.1],"top_logprobs":[{"Hi":-0.1}]} · no "refusal"',
    right='"logprobs":{"content":[{"token":"Hi","logprob":-0.1,"bytes":null,"top_logprobs":[…]}],"refusal":null}',
    breaks="choices[0].logprobs.content is None",
    sources=("vllm#3179", "llama-cpp-python#1788", "OpenAI's CreateChatCompletionStreamResponse"),
    eras="O-T (whole bodies: keys missing)",
)
def malformed_logprobs(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Bring the legacy shape of log probabilities to chat's, and fill in its keys; else make it null."""
    logprobs = choice.get("logprobs")
    if logprobs is None:
        return KEPT
    outcome = KEPT
    if isinstance(logprobs, dict) and isinstance(logprobs.get("tokens"), list) and "content" not in logprobs:
        choice["logprobs"] = logprobs = {"content": _from_legacy(logprobs), "refusal": None}
        outcome = REPAIRED
    if not isinstance(logprobs, dict) or not _is_readable(logprobs):
        choice["logprobs"] = None
        return REPAIRED
    for key in ("content", "refusal"):
        if key not in logprobs:
            logprobs[key] = None
            outcome = REPAIRED
    for item in (*(logprobs.get("content") or ()), *(logprobs.get("refusal") or ())):
        outcome = max(outcome, _completed(item))
    return outcome


def _is_readable(logprobs: dict[str, Any]) -> bool:
    """Every token has a text and a number; all else can be filled in."""
    lists = [logprobs.get("content"), logprobs.get("refusal")]
    return all(items is None or isinstance(items, list) for items in lists) and all(
        _is_token(item) and all(map(_is_token, _list(item.get("top_logprobs"))))
        for items in lists
        for item in items or ()
    )


def _is_token(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and isinstance(item.get("token"), str)
        and isinstance(item.get("logprob"), int | float)
        and isinstance(item.get("bytes"), list | None)
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _completed(item: dict[str, Any]) -> Outcome:
    outcome = KEPT
    if "bytes" not in item:
        item["bytes"] = None
        outcome = REPAIRED
    if not isinstance(item.get("top_logprobs"), list):
        item["top_logprobs"] = []
        outcome = REPAIRED
    for candidate in _objects(item["top_logprobs"]):
        if "bytes" not in candidate:
            candidate["bytes"] = None
            outcome = REPAIRED
    return outcome


def _from_legacy(logprobs: dict[str, Any]) -> list[dict[str, Any]]:
    values, tops = (
        told if isinstance(told, list) else []
        for told in (logprobs.get("token_logprobs"), logprobs.get("top_logprobs"))
    )
    content = []
    for place, token in enumerate(logprobs["tokens"]):
        value = values[place] if place < len(values) else None
        top = tops[place] if place < len(tops) and isinstance(tops[place], dict) else {}
        content.append(
            {
                "token": token,
                "logprob": value if isinstance(value, int | float) else 0.0,
                "bytes": None,
                "top_logprobs": [
                    {"token": other, "logprob": chance, "bytes": None} for other, chance in top.items()
                ],
            }
        )
    return content


@repair(
    "chat-logprobs",
    scope=Scope.LOGPROBS,
    basis=FORM,
    endpoints=COMPLETIONS,
    wrong='"logprobs":{"content":[{"token":"Hi","logprob":-0.1,…}]} in a text completion',
    right='"logprobs":{"tokens":["Hi"],"token_logprobs":[-0.1],"top_logprobs":[{…}],"text_offset":[0]}',
    breaks="completions clients: choices[0].logprobs.tokens is None",
    sources=("llama.cpp's server: chat's shape under /v1/completions",),
)
def chat_logprobs(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Bring chat's shape of log probabilities to the completions' one."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("content"), list):
        return KEPT
    items = _objects(logprobs["content"])
    tokens = [str(item.get("token", "")) for item in items]
    offsets, end = [], int(state.scratch.get("text_offset", 0))
    for token in tokens:
        offsets.append(end)
        end += len(token)
    state.scratch["text_offset"] = end
    choice["logprobs"] = {
        "tokens": tokens,
        "token_logprobs": [item.get("logprob") for item in items],
        "top_logprobs": [
            {str(top.get("token", "")): top.get("logprob") for top in _objects(item.get("top_logprobs"))}
            for item in items
        ],
        "text_offset": offsets,
    }
    return REPAIRED


@repair(
    "missing-logprobs",
    scope=Scope.CHOICE,
    basis=FORM,
    endpoints=COMPLETIONS,
    wrong='"choices":[{"index":0,"text":" two","finish_reason":null}]',
    right='"choices":[{"index":0,"text":" two","logprobs":null,"finish_reason":null}]',
    breaks="openai-java, and other typed decoders: a required key (in chat of whole bodies)",
    sources=("LocalAI#648", "OpenAI's CreateCompletionResponse"),
    eras="B-T",
)
def missing_logprobs(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Say `"logprobs":null` where the key of a completion's choice is absent."""
    if "logprobs" in choice:
        return KEPT
    choice["logprobs"] = None
    return REPAIRED


REPAIRS = (malformed_logprobs, chat_logprobs, missing_logprobs)

"""Which choice a delta belongs to, whose role it bears, and whether it says anything."""

from typing import Any, Final

from proxy.wire.chunk import (
    AWAITING_ROLE,
    CHAT_CHOICE_KEYS,
    REASONING,
    TEXTS,
    Choice,
    ChoiceState,
    StreamState,
    texts_of,
)
from proxy.wire.repairs.entry import (
    CHAT,
    CLIENT,
    DROPPED,
    FORM,
    KEPT,
    NOTED,
    REPAIRED,
    Outcome,
    Scope,
    repair,
)

SILENT_KEYS: Final = frozenset(CHAT_CHOICE_KEYS)
#: What servers write beside a role although it says nothing.
_EMPTIABLE: Final = frozenset({"role", *TEXTS, "tool_calls", "function_call"})


def _says_something(choice: Choice, stream: StreamState) -> bool:
    texts = texts_of(choice, stream)
    return bool(choice.get("text")) if texts is choice else any(texts.values())


def _only_begins(choice: Choice) -> bool:
    """The choice says who speaks and nothing else, not even that nothing was said: no token came with it."""
    return choice.get("delta") == {"role": "assistant"} and not choice.get("finish_reason")


def _is_index(value: Any) -> bool:
    return type(value) is int and value >= 0


def _tells_index(value: Any) -> bool:
    """It is an index, but of another type."""
    if isinstance(value, str):
        return value.isdecimal() and len(value) < 4
    return isinstance(value, float) and value.is_integer() and value >= 0


@repair(
    "missing-index",
    scope=Scope.INDEX,
    basis=FORM,
    wrong='"choices":[{"delta":{"content":"Hi"}}]',
    right='"choices":[{"index":0,"delta":{"content":"Hi"}}]',
    breaks="openai-python's .stream(): TypeError; serde and .NET decoders",
    sources=("LocalAI#340", "LocalAI#1194", "LocalAI#465"),
    eras="A-D",
)
def missing_index(choice: Choice, position: int, stream: StreamState) -> Outcome:
    """Number a choice by its place where the upstream gives no index."""
    index = choice.get("index")
    if type(index) is int and index >= 0:
        return KEPT
    choice["index"] = position if index is None or not _tells_index(index) else int(index)
    return REPAIRED


@repair(
    "token-counter-index",
    scope=Scope.INDEX,
    basis=FORM,
    wrong='"choices":[{"index":197,"delta":{"content":"Hi"}}]',
    right='"choices":[{"index":0,"delta":{"content":"Hi"}}]',
    breaks="openai-python's .stream(): IndexError; agents SDK",
    sources=("TGI#1648", "Foundry Local#144"),
)
def token_counter_index(choice: Choice, position: int, stream: StreamState) -> Outcome:
    """Set the index to 0 where one choice was asked for and the upstream counts its tokens."""
    index = choice.get("index")
    if stream.request.choices != 1 or position or not index or not _is_index(index):
        return KEPT
    if index in stream.choices or (stream.choices and _only_begins(choice)):
        return KEPT
    choice["index"] = 0
    return REPAIRED


@repair(
    "finish-at-wrong-index",
    scope=Scope.INDEX,
    basis=FORM,
    wrong='the finish frames of all choices say "index":0',
    right="each choice is finished once",
    breaks="clients that asked for several choices wait for the rest",
    sources=("llama.cpp#20226",),
)
def finish_at_wrong_index(choice: Choice, position: int, stream: StreamState) -> Outcome:
    """Give a second finish of one choice to the first choice that is still open."""
    if stream.request.choices == 1 or not choice.get("finish_reason") or _says_something(choice, stream):
        return KEPT
    state = stream.choices.get(choice["index"]) if _is_index(choice.get("index")) else None
    if state is None or state.finish is None:
        return KEPT
    for index in sorted(stream.choices):
        if stream.choices[index].finish is None:
            choice["index"] = index
            return REPAIRED
    return KEPT


@repair(
    "wrong-role",
    scope=Scope.ROLE,
    watches="speaker",
    basis=FORM,
    endpoints=CHAT,
    wrong='"delta":{"role":"","content":"Hi"} · "role":null · "role":"model"',
    right='"delta":{"content":"Hi"}, after a frame with "role":"assistant"',
    breaks='AI SDK, async-openai, Kotlin: unknown variant; org-ai takes "" for a role',
    sources=("MiniMax-M2.5#2", "SGLang#3912", "quarkus-langchain4j#489"),
)
def wrong_role(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Remove a role that is empty or null; call any other speaker the assistant."""
    delta = choice["delta"]
    if "role" not in delta or delta["role"] == "assistant":
        return KEPT
    if delta["role"]:
        delta["role"] = "assistant"
    else:
        del delta["role"]
    return REPAIRED


@repair(
    "repeated-role",
    scope=Scope.ROLE,
    watches="later",
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"delta":{"role":"assistant","content":" 2"} in every frame',
    right='"delta":{"content":" 2"}',
    breaks="openai-python's .stream() joins roles: 'assistantassistant'; org-ai and Home Assistant "
    "begin a message with each token",
    sources=("LocalAI#340", "org-ai#95", "TGI#1648", "home-assistant/core#140381"),
    eras="A; tool frames G-T; MCP loops Q-T",
)
def repeated_role(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Remove `delta.role` after a choice's first delta."""
    if state.phase is AWAITING_ROLE or "role" not in choice["delta"]:
        return KEPT
    del choice["delta"]["role"]
    return REPAIRED


@repair(
    "role-beside-content",
    scope=Scope.ROLE,
    watches="first",
    basis=CLIENT,
    endpoints=CHAT,
    wrong='the first frame is "delta":{"role":"assistant","content":"1"}',
    right='"delta":{"role":"assistant"}, then "delta":{"content":"1"}',
    breaks="org-ai: the role of a delta that has content is not seen",
    sources=("LocalAI#340",),
    eras="A",
)
def role_beside_content(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Give the role a frame of its own where the first delta also says something."""
    delta = choice["delta"]
    if state.phase is not AWAITING_ROLE or "role" not in delta:
        return KEPT
    if not delta.get("content") and not any(delta.get(key) for key in REASONING):
        return KEPT
    del delta["role"]
    state.owes_role = True
    return REPAIRED


@repair(
    "missing-role",
    scope=Scope.ROLE,
    watches="first",
    basis=CLIENT,
    endpoints=CHAT,
    wrong='the first frame is "delta":{"content":"1"}',
    right='"delta":{"role":"assistant"}, then "delta":{"content":"1"}',
    breaks="openai-node's .stream(): missing role for choice 0; openai-python: role None",
    sources=("llama.cpp#5876", "MLX-Textgen#9"),
    eras="T, where no token came",
)
def missing_role(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Begin a choice with a role frame where its first delta has no role."""
    if state.phase is not AWAITING_ROLE or state.owes_role or "role" in choice["delta"]:
        return KEPT
    state.owes_role = True
    return NOTED


@repair(
    "role-with-empty-content",
    scope=Scope.ROLE,
    basis=CLIENT,
    endpoints=CHAT,
    default=False,
    wrong='"delta":{"role":"assistant","content":""}',
    right='"delta":{"role":"assistant"}',
    breaks="org-ai of 2023 does not see a role that has any `content` beside it; OpenAI itself sends this",
    sources=("LocalAI#340",),
    eras="D-N",
)
def role_with_empty_content(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Make the role frame bare."""
    delta = choice["delta"]
    if state.phase is not AWAITING_ROLE or "role" not in delta or len(delta) == 1:
        return KEPT
    if delta.keys() - _EMPTIABLE or any(said for key, said in delta.items() if key != "role"):
        return KEPT
    choice["delta"] = {"role": delta["role"]}
    return REPAIRED


@repair(
    "blank-delta",
    scope=Scope.REST,
    watches="blank",
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"delta":{"content":null}, also beside "finish_reason":"stop"',
    right='no frame; in the finish frame "delta":{}',
    breaks="chatbot-ui closes the stream at an empty chunk; OpenAI finishes with an empty delta",
    sources=("LocalAI#1886", "ollama#17485"),
    eras="D-T",
)
def blank_delta(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Drop a choice that says nothing; empty the delta of a finish whose texts are all null or ""."""
    delta = choice["delta"]
    if delta and (any(delta.values()) or delta.keys() - set(TEXTS)):
        return KEPT
    if not choice.get("finish_reason"):
        return KEPT if choice.get("logprobs") or choice.keys() - SILENT_KEYS else DROPPED
    if not delta:
        return KEPT
    choice["delta"] = {}
    return REPAIRED


REPAIRS = (
    missing_index,
    token_counter_index,
    finish_at_wrong_index,
    wrong_role,
    repeated_role,
    role_beside_content,
    missing_role,
    role_with_empty_content,
    blank_delta,
)

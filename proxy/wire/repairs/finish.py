"""Finish reasons: null until the last, OpenAI's words, true to what was said.

When a reason leaves is the machine's matter: it holds each one back until the
choice is over. What the reason says is repaired here.
"""

from typing import Any

from proxy.errors import UpstreamReported
from proxy.wire.chunk import Choice, ChoiceState, StreamState
from proxy.wire.finish_words import FAILED, NOTHING, REASONS, meaning, plain
from proxy.wire.repairs.entry import CHAT, FORM, KEPT, REPAIRED, Outcome, Repair, Scope, fixed, repair


@repair(
    "missing-finish-reason",
    scope=Scope.REASON,
    watches="word",
    basis=FORM,
    wrong='"choices":[{"index":0,"delta":{"content":"Hi"}}]',
    right='"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]',
    breaks="mattermost-plugin-ai; strict decoders: a required key",
    sources=("LocalAI#340", "LocalAI#1194", "LocalAI#1744", "vllm#19662"),
    eras="A-G",
)
def missing_finish_reason(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Say `"finish_reason":null` where the key is absent."""
    if "finish_reason" in choice:
        return KEPT
    choice["finish_reason"] = None
    return REPAIRED


@repair(
    "empty-finish-reason",
    scope=Scope.REASON,
    watches="word",
    basis=FORM,
    wrong='"finish_reason":"" · "finish_reason":"null"',
    right='"finish_reason":null',
    breaks=".NET SDK: ArgumentOutOfRangeException; async-openai: unknown variant; org-ai ends at every frame",
    sources=("LocalAI#5102", "LocalAI#1886", "ollama#4357", "SGLang#3912", "AIShell#350"),
    eras="H-N",
)
def empty_finish_reason(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Make a finish reason that says nothing null."""
    reason = choice.get("finish_reason")
    if reason is None or (isinstance(reason, str) and plain(reason) not in NOTHING):
        return KEPT
    if reason and not isinstance(reason, str):
        return KEPT
    choice["finish_reason"] = None
    return REPAIRED


@repair(
    "failed-finish-reason",
    scope=Scope.REASON,
    watches="word",
    basis=FORM,
    wrong='"finish_reason":"error" · "finish_reason":"abort"',
    right='data: {"error":{"message":"The upstream cut the answer off: error",…}}',
    breaks="clients that take the half answer for a whole one",
    sources=("local-operator#223", "OmniRoute#8210", "bifrost#5425", "FastFlowLM#500"),
)
def failed_finish_reason(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Turn a reason that means failure into an error event."""
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason in REASONS or meaning(reason) != FAILED:
        return KEPT
    stream.count("failed-finish-reason")
    raise UpstreamReported(f"The upstream cut the answer off: {reason}", code=plain(reason))


@repair(
    "foreign-finish-reason",
    scope=Scope.REASON,
    watches="word",
    basis=FORM,
    wrong='"finish_reason":"eos_token" · "end_turn" · "max_tokens" · "tool_use" · "STOP"',
    right='"finish_reason":"stop" · "stop" · "length" · "tool_calls" · "stop"',
    breaks=".NET SDK, async-openai, pydantic-ai: an exception at the very end",
    sources=("openai-dotnet#267", "TGI#2344", "Spring AI#4900", "litellm#27139", "mlx-lm#782", "pi#2107"),
)
def foreign_finish_reason(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Say another server's reason in OpenAI's word."""
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason in REASONS:
        return KEPT
    known = meaning(reason)
    if known is None or known == FAILED:
        return KEPT
    choice["finish_reason"] = known
    return REPAIRED


@repair(
    "unknown-finish-reason",
    scope=Scope.REASON,
    watches="word",
    basis=FORM,
    wrong='"finish_reason":"vanished" · "finish_reason":1',
    right='"finish_reason":"stop"',
    breaks="typed decoders: an unknown variant at the very end",
    sources=("OpenAI's enumeration of finish_reason",),
)
def unknown_finish_reason(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Take a reason that nobody knows for `stop`."""
    reason = choice.get("finish_reason")
    if reason is None or (isinstance(reason, str) and (reason in REASONS or plain(reason) in NOTHING)):
        return KEPT
    choice["finish_reason"] = "stop"
    return REPAIRED


def call_reason(state: ChoiceState, stream: StreamState) -> str:
    """Return the reason with which a choice that called must finish: of the form asked for, or used."""
    if stream.request.calls_allowed:
        legacy = stream.request.tools is None
    else:
        legacy = state.made_calls and not state.tool_calls
    return "function_call" if legacy else "tool_calls"


@repair(
    "stop-after-calls",
    scope=Scope.FINISH,
    watches="called",
    basis=FORM,
    endpoints=CHAT,
    wrong='"tool_calls":[…] … "finish_reason":"stop"',
    right='"tool_calls":[…] … "finish_reason":"tool_calls"',
    breaks="agent loops end without running the tool: OpenCode, CrewAI, Copilot agents",
    sources=("ollama#7963", "mlx-vlm#990", "TGI#2794", "SGLang#2877", "LocalAI#4716"),
    eras="D-T",
)
def stop_after_calls(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Finish a choice that called with the call's reason; `length` and a named tool's `stop` stay."""
    if not state.made_calls:
        return KEPT
    reason = choice.get("finish_reason")
    expected = call_reason(state, stream)
    if reason == expected or reason not in ("stop", "tool_calls", "function_call"):
        return KEPT
    if reason == "stop" and stream.request.named_tool:
        return KEPT
    choice["finish_reason"] = expected
    return REPAIRED


@repair(
    "calls-finish-without-calls",
    scope=Scope.FINISH,
    watches="called",
    basis=FORM,
    wrong='"delta":{"content":"Hi"} … "finish_reason":"tool_calls"',
    right='"delta":{"content":"Hi"} … "finish_reason":"stop"',
    breaks="agents loop on nothing",
    sources=("vllm#53255", "LocalAI v2.26.0-v3.5.0"),
    eras="L-N",
)
def calls_finish_without_calls(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Finish a choice that made no call with `stop`."""
    if state.made_calls or choice.get("finish_reason") not in ("tool_calls", "function_call"):
        return KEPT
    choice["finish_reason"] = "stop"
    return REPAIRED


def _ending(name: str, **told: Any) -> Repair:
    return fixed(name, scope=Scope.ENDING, basis=FORM, **told)


EARLY_FINISH = _ending(
    "early-finish",
    summary="Hold a finish reason back until its choice is over: it came with or before the last delta.",
    wrong='"delta":{"content":"Hi"},"finish_reason":"stop" in every frame, or before the content is over',
    right='"delta":{"content":"Hi"},"finish_reason":null … "delta":{},"finish_reason":"stop"',
    breaks="clients that stop reading; clients that ignore the delta of the finish frame lose its text",
    sources=("gcli2api#403", "vllm#36944", "xinference#1583", "ollama#17485"),
)
REPEATED_FINISH = _ending(
    "repeated-finish",
    summary="Finish each choice once; a reason that says more than `stop` is the one that stays.",
    wrong='"finish_reason":"tool_calls" … "finish_reason":"stop"',
    right='"finish_reason":"tool_calls"',
    breaks="calls discarded or run twice; the message is shown twice",
    sources=("ChatMock#114", "SGLang#8417", "hass_local_openai_llm#92", "openclaude#21"),
)
MISSING_FINISH = _ending(
    "missing-finish",
    fixed=False,
    summary="Finish a choice that the upstream never did, at [DONE] or where `on_missing_finish` is stop.",
    wrong='"finish_reason":null … data: [DONE]',
    right='"delta":{},"finish_reason":"stop" … data: [DONE]',
    breaks="openai-node's helper: missing finish_reason; AI SDK; agents that discard the answer",
    sources=("vllm-mlx#628", "LightLLM#130", "openai-node#1292", "opencode#43882"),
)

REPAIRS = (
    missing_finish_reason,
    empty_finish_reason,
    failed_finish_reason,
    foreign_finish_reason,
    unknown_finish_reason,
    stop_after_calls,
    calls_finish_without_calls,
    EARLY_FINISH,
    REPEATED_FINISH,
    MISSING_FINISH,
)

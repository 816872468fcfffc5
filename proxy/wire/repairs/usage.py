"""Usage: in one chunk of its own at the end, and only where it was asked for.

The machine has taken the figures before these run; they only clear them away.
"""

from typing import Any, Final

from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.repairs.entry import FORM, KEPT, REPAIRED, Outcome, Scope, fixed, repair

#: Of a count that came as a string: enough for MOST_TOKENS.
MAX_DIGITS: Final = 12
COUNTS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
#: More than any server counts: such a figure is garbage, and other decoders could not read it.
MOST_TOKENS: Final = 2**53
#: Anthropic's and the Responses API's names, which some gateways let through.
ALIASES: Final = ("input_tokens", "output_tokens", "")
ALL_COUNTS: Final = (*COUNTS, *ALIASES[:2])


@repair(
    "usage-in-choice",
    scope=Scope.USAGE,
    watches="stray",
    basis=FORM,
    wrong='"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{…}}]',
    right='the figures in the last chunk: {"choices":[],"usage":{…}}',
    breaks="token counters stay 0",
    sources=("pi#2017 (Moonshot)",),
)
def usage_in_choice(chunk: Chunk, stream: StreamState) -> Outcome:
    """Remove `usage` from inside a choice."""
    outcome = KEPT
    for choice in chunk["choices"]:
        if "usage" in choice:
            del choice["usage"]
            outcome = REPAIRED
    return outcome


@repair(
    "unasked-usage",
    scope=Scope.USAGE,
    watches="figures",
    basis=FORM,
    wrong='data: {…,"choices":[…],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}',
    right='data: {…,"choices":[…]}',
    breaks="token counters reset to 0 or summed up on every frame; naive `choices[0]` loops",
    sources=("LocalAI#340", "LocalAI#1744", "LocalAI#5102", "llama.cpp#12102"),
    eras="A-R",
)
def unasked_usage(chunk: Chunk, stream: StreamState) -> Outcome:
    """Remove `usage` from a chunk where the request did not ask for it."""
    if stream.request.include_usage or "usage" not in chunk:
        return KEPT
    del chunk["usage"]
    return REPAIRED


@repair(
    "early-usage",
    scope=Scope.USAGE,
    watches="figures",
    basis=FORM,
    wrong='data: {…,"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":9,…}}',
    right='data: {…,"choices":[…],"usage":null} … data: {…,"choices":[],"usage":{…}}',
    breaks="summed counters overbill; clients that wait for the chunk without choices",
    sources=("tt-inference-server#632", "llama.cpp#15444", "ollama#17485", "atoma-proxy#534"),
    eras="A-R",
)
def early_usage(chunk: Chunk, stream: StreamState) -> Outcome:
    """Set `usage` to null on a chunk with choices; the figures follow at the end."""
    if not stream.request.include_usage or not chunk["choices"] or chunk.get("usage") is None:
        return KEPT
    chunk["usage"] = None
    return REPAIRED


@repair(
    "missing-usage-null",
    scope=Scope.USAGE,
    watches="figures",
    basis=FORM,
    wrong='data: {…,"choices":[{"index":0,"delta":{"content":"Hi"}}]} though usage was asked for',
    right='data: {…,"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}',
    breaks="typed decoders that expect the key on every chunk",
    sources=("OpenAI's ChatCompletionStreamOptions",),
    eras="S-T",
)
def missing_usage_null(chunk: Chunk, stream: StreamState) -> Outcome:
    """Add `"usage":null` to a chunk with choices where the request asked for usage."""
    if not stream.request.include_usage or not chunk["choices"] or "usage" in chunk:
        return KEPT
    chunk["usage"] = None
    return REPAIRED


INCOMPLETE_USAGE = fixed(
    "incomplete-usage",
    fixed=False,
    summary="Fill in what is missing in the usage: sums, null and absent counts.",
    scope=Scope.ENDING,
    basis=FORM,
    wrong='"usage":{"prompt_tokens":9,"total_tokens":12}',
    right='"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}',
    breaks="serde: missing field `completion_tokens`; KeyError; Zed on an empty object",
    sources=("evalscope#1432", "agentgateway#1465", "zed#42893"),
)

MISSING_USAGE = fixed(
    "missing-usage",
    fixed=False,
    summary="Send the usage chunk that was asked for, with what was reported, or zeros.",
    scope=Scope.ENDING,
    basis=FORM,
    wrong="the finish frame, then data: [DONE], though usage was asked for",
    right='data: {…,"choices":[],"usage":{…}} before data: [DONE]',
    breaks="clients that wait for the chunk without choices; dashboards and compaction that never fire",
    sources=("LocalAI#1744", "vllm-swift#19", "KoboldCpp#2480"),
    eras="A-R; tool streams to v4.2.6",
)


def has_counts(usage: dict[str, Any]) -> bool:
    """Some count in it is more than zero: LocalAI's zeros tell nothing."""
    for key in ALL_COUNTS:
        if key in usage:
            count = usage[key]
            if count and isinstance(count, int | float) and count > 0:
                return True
    return False


def is_complete(usage: dict[str, Any]) -> bool:
    """The three counts are there, as integers, and under no other name."""
    return completed(usage) == usage and all(type(usage[key]) is int for key in COUNTS)


def completed(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the usage with its three counts as integers, what is missing made up from the others."""
    prompt, completion, total = (
        _count(usage.get(key), usage.get(alias)) for key, alias in zip(COUNTS, ALIASES, strict=True)
    )
    if prompt is None:
        prompt = max((total or 0) - (completion or 0), 0)
    if completion is None:
        completion = max((total or 0) - prompt, 0)
    counts = dict(
        zip(COUNTS, (prompt, completion, prompt + completion if total is None else total), strict=True)
    )
    return counts | {key: item for key, item in usage.items() if key not in counts and key not in ALIASES}


def _count(*candidates: Any) -> int | None:
    for value in candidates:
        if isinstance(value, str) and value.isdecimal() and len(value) <= MAX_DIGITS:
            return int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS:
            return int(value)
    return None


REPAIRS = (
    usage_in_choice,
    unasked_usage,
    early_usage,
    missing_usage_null,
    INCOMPLETE_USAGE,
    MISSING_USAGE,
)

"""How servers name the end of an answer, in OpenAI's words.

First what is known word by word, then what its parts tell: a reason that speaks of a limit or a failure, in
whatever compound, must not pass for `stop`.
"""

import re
from typing import Final

REASONS: Final = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
#: Said of an answer that was cut off, and must not pass for a whole one.
FAILED: Final = "failed"
#: Said of one that has not ended.
NOTHING: Final = frozenset({"", "null", "none", "undefined", "nil", "unspecified"})

#: Other servers' words, written as `plain` writes them.
_WORDS: Final = {word: word for word in REASONS} | {
    word: reason
    for reason, words in {
        "stop": "eos eos_token end end_turn end_of_text end_of_turn stop_sequence stop_sequences stop_token "
        "stop_word stopped complete completed done finished normal natural user_stop pause_turn endoftext "
        "no_error",
        "length": "max_tokens max_token max_length max_new_tokens max_output_tokens token_limit length_limit "
        "length_cap model_length model_context_window_exceeded context_length max_context_length error_limit",
        "tool_calls": "tool_call tool_use tool_uses tool tools toolcalls tool_calls_required",
        "function_call": "function function_calls functioncall",
        "content_filter": "content_filtered contentfilter safety filtered refusal blocked blocklist "
        "recitation prohibited_content spii sensitive content_policy image_safety guardrail_intervened "
        "error_toxic",
        FAILED: "error errored failed failure abort aborted cancel cancelled canceled timeout interrupted "
        "network_error internal_error server_error insufficient_system_resource malformed_function_call "
        "unexpected_tool_call overloaded",
    }.items()
    for word in words.split()
}
#: Parts of words, the first that is found counts.
_PARTS: Final = (
    (
        FAILED,
        re.compile(
            r"error|fail|abort|cancel|timeout|time_out|timed_out|exception|interrupt|disconnect|overload"
            r"|unavailable|preempt|malformed|insufficient|rate_limit|quota|crash|killed"
        ),
    ),
    ("content_filter", re.compile(r"filter|safety|unsafe|toxic|polic|moderat|guardrail|prohibit|harm|refus")),
    ("length", re.compile(r"length|limit|max_|trunc|exceed|incomplete|budget")),
    ("function_call", re.compile(r"function")),
    ("tool_calls", re.compile(r"tool")),
)


def plain(reason: str) -> str:
    """Lower case, one kind of separator, without the prefix that protobuf enumerations have."""
    word = reason.strip().lower().replace("-", "_").replace(" ", "_")
    return word.removeprefix("finish_reason_").removeprefix("finishreason_")


def meaning(reason: str) -> str | None:
    """Return what a server's reason means: one of `REASONS`, `FAILED`, or None where nobody knows."""
    word = plain(reason)
    known = _WORDS.get(word)
    if known is not None or word in NOTHING:
        return known
    return next((told for told, part in _PARTS if part.search(word)), None)

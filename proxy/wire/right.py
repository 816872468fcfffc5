"""A chunk in which nothing is wrong, told at a glance.

In a good answer each chunk is right in all that the repairs watch. These
are their questions, asked at once: where all answers are yes, no repair would find
anything to do, and the walk through the machine can be spared. Any doubt is a no.
"""

from typing import Any, Final

from proxy.wire.chunk import STREAMING, ChoiceState, Chunk, StreamState
from proxy.wire.finish_words import REASONS
from proxy.wire.plan import MISSING

#: The first deltas of most servers.
BEGINNINGS: Final = (
    {"role": "assistant", "content": ""},
    {"role": "assistant"},
    {"role": "assistant", "content": None},
    {"role": "assistant", "content": "", "refusal": None},
)
#: What a delta in which all can be seen at a glance does not have.
NOT_SAID: Final = frozenset({"role", "tool_calls", "function_call"})
#: What a choice does not have.
NOT_BESIDE: Final = frozenset({"message", "text", "usage", "error"})


def is_right(chunk: Chunk, stream: StreamState, usage: Any) -> bool:
    """Nothing is wrong in a chunk of a chat, nor held back of what came before it.

    Args:
        chunk: a JSON object that is no error.
        stream: the stream, of a request for one choice.
        usage: what stands under this key in a chunk with choices.
    """
    choices = chunk.get("choices")
    if type(choices) is not list or len(choices) != 1 or not _is_choice_right(choices[0], stream.choices):
        return False
    identity = stream.identity or stream.identify(chunk)
    return (
        chunk.get("id") == identity.id
        and chunk.get("created") == identity.created
        and type(chunk["created"]) is int
        and chunk.get("model") == identity.model
        and chunk.get("object") == identity.object
        and chunk.get("usage", MISSING) is usage
        and "error" not in chunk
    )


def _is_choice_right(choice: Any, known: dict[int, ChoiceState]) -> bool:
    """The choice begins, says something, or finishes: one of these, and nothing else."""
    if type(choice) is not dict:
        return False
    index, delta, reason = choice.get("index"), choice.get("delta"), choice.get("finish_reason", MISSING)
    if index != 0 or type(index) is not int or type(delta) is not dict or not NOT_BESIDE.isdisjoint(choice):
        return False
    if "logprobs" in choice and choice["logprobs"] is not None:
        return False
    if not known:
        return reason is None and delta in BEGINNINGS
    state = known.get(0)
    if state is None or len(known) > 1 or state.phase is not STREAMING or state.finish or state.halves:
        return False
    if not delta:
        return type(reason) is str and reason in REASONS
    for key, said in delta.items():
        if (type(said) is not str and said is not None) or key in NOT_SAID:
            return False
    return reason is None and any(delta.values())

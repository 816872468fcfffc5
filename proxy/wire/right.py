"""A chunk in which nothing is wrong, told at a glance.

In the middle of a good answer each chunk is right in all that the repairs watch. These
are their questions, asked at once: where all answers are yes, no repair would find
anything to do, and the walk through the machine can be spared. Any doubt is a no.
"""

from typing import Any, Final

from proxy.wire.chunk import STREAMING, Choice, Chunk, StreamState
from proxy.wire.plan import MISSING
from proxy.wire.repairs.finish import REASONS

#: What a later delta of a chat does not have, or has with much more to ask about.
NOT_SAID: Final = frozenset({"role", "tool_calls", "function_call"})
#: What a choice does not have.
NOT_BESIDE: Final = frozenset({"message", "text", "usage", "error"})


def is_right(chunk: Chunk, stream: StreamState, usage: Any) -> bool:
    """Nothing is wrong in a chunk of a chat, nor held back of what came before it.

    Args:
        chunk: a JSON object that is no error.
        stream: the stream, which is in the middle of one choice.
        usage: what stands under this key in a chunk with choices.
    """
    identity, choices = stream.identity, chunk.get("choices")
    if (
        identity is None
        or chunk.get("id") != identity.id
        or chunk.get("created") != identity.created
        or type(chunk["created"]) is not int
        or chunk.get("model") != identity.model
        or chunk.get("object") != identity.object
        or chunk.get("usage", MISSING) is not usage
        or "error" in chunk
    ):
        return False
    if type(choices) is not list or len(choices) != 1 or len(stream.choices) != 1:
        return False
    choice, state = choices[0], stream.choices.get(0)
    if state is None or state.phase is not STREAMING or state.finish is not None or state.halves:
        return False
    return type(choice) is dict and _is_right(choice)


def _is_right(choice: Choice) -> bool:
    """The choice says something and does not finish, or finishes and says nothing."""
    delta, reason, index = choice.get("delta"), choice.get("finish_reason", MISSING), choice.get("index")
    if index != 0 or type(index) is not int or type(delta) is not dict or not NOT_BESIDE.isdisjoint(choice):
        return False
    if "logprobs" in choice and choice["logprobs"] is not None:
        return False
    if not delta:
        return type(reason) is str and reason in REASONS
    for key, said in delta.items():
        if (type(said) is not str and said is not None) or key in NOT_SAID:
            return False
    return reason is None and any(delta.values())

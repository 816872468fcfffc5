"""The skeleton of a chunk: a list of choices, and in each of them what it says. All else hangs on it."""

from typing import Final

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Choice, Chunk, StreamState
from proxy.wire.plan import Steps, run
from proxy.wire.repairs.shape import choices_of

#: Where a choice keeps what it says, and as what: in completions, and in a chat.
SAID: Final = (("text", str), ("delta", dict))


def is_sound(chunk: Chunk, is_chat: bool) -> bool:
    """Nothing that the repairs of the skeleton watch is wrong: they would find nothing to do."""
    choices = chunk.get("choices")
    if type(choices) is not list or "error" in chunk:
        return False
    said, kind = SAID[is_chat]
    for choice in choices:
        if type(choice) is not dict or type(choice.get(said)) is not kind or "message" in choice:
            return False
    return True


def mend(chunk: Chunk, steps: Steps, stream: StreamState, is_chat: bool) -> bool:
    """Repair a skeleton that is not sound; return whether anything was rewritten.

    Raises:
        UpstreamMalformed: no repair knows it, and nothing else in the chunk can be looked at.
    """
    changed = False
    choices = choices_of(chunk)
    if "error" in chunk or choices is not chunk.get("choices"):
        changed = run(steps.shape_choices, stream, chunk)
        choices = choices_of(chunk)
    for choice in choices:
        if "message" in choice:
            changed |= run(steps.shape_message, stream, chunk)
            break
    counts = stream.repairs
    for name, apply in steps.shape_delta:
        if apply(chunk, stream):
            counts[name] = counts.get(name, 0) + 1
            changed = True
            if is_sound(chunk, is_chat):
                return True
    if choices is not chunk.get("choices") or (is_chat and not all(map(_has_delta, choices))):
        raise UpstreamMalformed("The upstream sent a chunk whose choices cannot be read.")
    return changed


def _has_delta(choice: Choice) -> bool:
    return type(choice.get("delta")) is dict

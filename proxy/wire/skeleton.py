"""The skeleton of a chunk: a list of choices, and in each of them what it says. All else hangs on it."""

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Choice, Chunk, StreamState
from proxy.wire.plan import Steps, run
from proxy.wire.repairs.shape import choices_of


def is_sound(chunk: Chunk, *, chat: bool) -> bool:
    """Nothing that the repairs of the skeleton watch is wrong: they would find nothing to do."""
    choices = chunk.get("choices")
    if type(choices) is not list or "error" in chunk:
        return False
    for choice in choices:
        if type(choice) is not dict:
            return False
        if chat:
            if type(choice.get("delta")) is not dict or "message" in choice:
                return False
        elif type(choice.get("text")) is not str:
            return False
    return True


def mend(chunk: Chunk, steps: Steps, stream: StreamState, *, chat: bool) -> bool:
    """Repair a skeleton that is not sound; return whether anything was rewritten.

    Raises:
        UpstreamMalformed: no repair knows it, and nothing else in the chunk can be looked at.
    """
    changed = False
    if "error" in chunk or choices_of(chunk) is not chunk.get("choices"):
        changed |= run(steps.shape_choices, stream, chunk)
    choices = choices_of(chunk)
    for choice in choices:
        if "message" in choice:
            changed |= run(steps.shape_message, stream, chunk)
            break
    field, kind = ("delta", dict) if chat else ("text", str)
    for choice in choices:
        if type(choice.get(field)) is not kind:
            changed |= run(steps.shape_delta, stream, chunk)
            break
    if choices is not chunk.get("choices") or (chat and not all(map(_has_delta, choices))):
        raise UpstreamMalformed("The upstream sent a chunk whose choices cannot be read.")
    return changed


def _has_delta(choice: Choice) -> bool:
    return type(choice.get("delta")) is dict

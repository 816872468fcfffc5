"""The catalogue: every repair of an answer, in the order in which they run.

The order matters: a chunk's skeleton before its identity, the index before the
choice, the form of the calls before their fragments, what is left of the delta
last. Within one scope, too, later entries see what earlier ones did.
"""

from types import MappingProxyType
from typing import Final

from proxy.wire.repairs import (
    bodies,
    call_arrays,
    calls,
    choices,
    completions,
    embeddings,
    errors,
    finish,
    framing,
    identity,
    lists,
    logprobs,
    models,
    shape,
    text,
    thinking,
    usage,
)
from proxy.wire.repairs.entry import Repair, Scope

ORDER: Final[tuple[Repair, ...]] = (
    *framing.REPAIRS,
    *shape.REPAIRS,
    *completions.REPAIRS,
    *identity.REPAIRS,
    *usage.REPAIRS,
    *text.REPAIRS,
    *thinking.REPAIRS,
    *logprobs.REPAIRS,
    *call_arrays.BEFORE,
    *calls.REPAIRS,
    *call_arrays.AFTER,
    *choices.REPAIRS,
    *bodies.REPAIRS,
    *lists.REPAIRS,
    *embeddings.REPAIRS,
    *models.REPAIRS,
    *finish.REPAIRS,
    *errors.REPAIRS,
)

CATALOGUE: Final = MappingProxyType({repair.name: repair for repair in ORDER})

__all__ = ["CATALOGUE", "ORDER", "Repair", "Scope"]

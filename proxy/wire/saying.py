"""In which role a choice speaks, why it stops, and whether it says anything: the repairs of these.

Each function returns what was done: true where anything was rewritten.
"""

from typing import Any

from proxy.wire.chunk import AWAITING_ROLE, REASONING, Choice, ChoiceState, StreamState
from proxy.wire.finish_words import REASONS
from proxy.wire.plan import MISSING, Steps, run_on_choice
from proxy.wire.repairs.entry import KEPT, Outcome


def repair_role(steps: Steps, stream: StreamState, choice: Choice, state: ChoiceState) -> bool:
    """Repair the role of a choice's first delta, or of a later one that has any."""
    delta = choice["delta"]
    changed = False
    if "role" in delta and delta["role"] != "assistant":
        changed = run_on_choice(steps.role_speaker, stream, choice, state)
    if state.phase is not AWAITING_ROLE:
        changed |= run_on_choice(steps.role_later, stream, choice, state)
    elif "role" not in delta or delta.get("content") or any(map(delta.get, REASONING)):
        changed |= run_on_choice(steps.role_first, stream, choice, state)
    if steps.role:
        changed |= run_on_choice(steps.role, stream, choice, state)
    return changed


def repair_reason(steps: Steps, stream: StreamState, choice: Choice, state: ChoiceState, beside: Any) -> bool:
    """Repair a finish reason that is not null, until it is. `beside` is the text beside it."""
    changed = False
    reason = choice.get("finish_reason")
    if type(reason) is not str or reason not in REASONS:
        counts = stream.repairs
        for name, apply in steps.reason_word:
            if apply(choice, state, stream):
                counts[name] = counts.get(name, 0) + 1
                if choice.get("finish_reason", MISSING) is None:
                    return True
                changed = True
    if beside:
        changed |= run_on_choice(steps.reason_last, stream, choice, state)
    if steps.reason:
        changed |= run_on_choice(steps.reason, stream, choice, state)
    return changed


def repair_rest(
    steps: Steps, stream: StreamState, choice: Choice, state: ChoiceState, is_right: bool
) -> Outcome:
    """Repair what is left of a delta; where that is nothing, the choice is dropped.

    `is_right` says that it is something, or is nothing and finishes the choice.
    """
    outcome = KEPT
    for name, apply in steps.rest if is_right else (*steps.rest_blank, *steps.rest):
        result = apply(choice, state, stream)
        if result:
            stream.count(name)
            outcome = max(outcome, result)
    return outcome

"""Catalogue and switches, compiled: what runs on an upstream's answers, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from proxy.wire.chunk import StreamState
from proxy.wire.repairs import ORDER, Repair, Scope
from proxy.wire.repairs.entry import NOTED, Outcome
from proxy.wire.requests import Endpoint

#: A repair as the loops use it. What is off is not in them.
Step = tuple[str, Callable[..., Outcome]]


@dataclass(frozen=True, slots=True)
class Steps:
    """The repairs of one endpoint's streams, a tuple for each point at which they run."""

    shape: tuple[Step, ...]
    envelope: tuple[Step, ...]
    usage: tuple[Step, ...]
    index: tuple[Step, ...]
    text: tuple[Step, ...]
    choice: tuple[Step, ...]
    role: tuple[Step, ...]
    reason: tuple[Step, ...]
    logprobs: tuple[Step, ...]
    calls: tuple[Step, ...]
    call: tuple[Step, ...]
    after_calls: tuple[Step, ...]
    rest: tuple[Step, ...]
    finish: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to the answers of one upstream. Immutable, shared by all of its streams."""

    steps: Mapping[Endpoint, Steps]
    on: frozenset[str]
    missing_finish: Literal["error", "stop"]


def run(steps: tuple[Step, ...], stream: StreamState, *given: Any) -> bool:
    """Apply each repair to `given` and the stream, count what it did, say whether anything was rewritten."""
    changed = False
    for name, apply in steps:
        outcome = apply(*given, stream)
        if outcome:
            stream.count(name)
            changed |= outcome is not NOTED
    return changed


def compile_plan(
    switches: Mapping[str, bool] = MappingProxyType({}),
    *,
    missing_finish: Literal["error", "stop"] = "error",
    repairs: tuple[Repair, ...] = ORDER,
) -> Plan:
    """Compile a plan.

    Args:
        switches: repairs by name, on or off; the others keep their default.
        missing_finish: what a clean end without finish reason and `[DONE]` is:
            an error, or (for servers that never finish) a `stop`.
        repairs: the catalogue, in the order of running.

    Raises:
        KeyError: a switch names no repair, or one that cannot be switched off.
    """
    catalogue = {repair.name: repair for repair in repairs}
    for name, is_on in switches.items():
        if catalogue[name].fixed and not is_on:
            raise KeyError(name)
    chosen = [repair for repair in repairs if switches.get(repair.name, repair.default)]
    return Plan(
        steps={endpoint: _steps(endpoint, chosen) for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS)},
        on=frozenset(repair.name for repair in chosen),
        missing_finish=missing_finish,
    )


_FIELDS: Final = {
    "shape": Scope.SHAPE,
    "envelope": Scope.ENVELOPE,
    "usage": Scope.USAGE,
    "index": Scope.INDEX,
    "text": Scope.TEXT,
    "choice": Scope.CHOICE,
    "role": Scope.ROLE,
    "reason": Scope.REASON,
    "logprobs": Scope.LOGPROBS,
    "calls": Scope.CALLS,
    "call": Scope.CALL,
    "after_calls": Scope.AFTER_CALLS,
    "rest": Scope.REST,
    "finish": Scope.FINISH,
}


def _steps(endpoint: Endpoint, chosen: list[Repair]) -> Steps:
    return Steps(
        **{
            field: tuple(
                (repair.name, repair.apply)
                for repair in chosen
                if repair.scope is scope and repair.apply is not None and endpoint in repair.endpoints
            )
            for field, scope in _FIELDS.items()
        }
    )

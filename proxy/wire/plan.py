"""Catalogue and switches, compiled: what runs on an upstream's answers, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Literal

from proxy.wire.chunk import Choice, ChoiceState, StreamState
from proxy.wire.repairs import ORDER, Repair, Scope
from proxy.wire.repairs.bodies import SHARED
from proxy.wire.repairs.entry import NOTED, Outcome
from proxy.wire.requests import Endpoint

#: Where only whole bodies are repaired; elsewhere bodies share a repair with streams, or have none.
BODY_SCOPES: Final = frozenset({Scope.BODY, Scope.ITEM, Scope.NUMBERS, Scope.MESSAGE})

#: A repair as the loops use it. What is off is not in them.
Step = tuple[str, Callable[..., Outcome]]


@dataclass(frozen=True, slots=True)
class Steps:
    """The repairs of one endpoint's streams, a tuple for each point at which they run."""

    shape: tuple[Step, ...]
    envelope: tuple[Step, ...]
    usage: tuple[Step, ...]
    numbers: tuple[Step, ...]
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
class BodySteps:
    """The repairs of one endpoint's whole bodies, a tuple for each point at which they run."""

    body: tuple[Step, ...]
    shape: tuple[Step, ...]
    envelope: tuple[Step, ...]
    usage: tuple[Step, ...]
    index: tuple[Step, ...]
    item: tuple[Step, ...]
    numbers: tuple[Step, ...]
    choice: tuple[Step, ...]
    reason: tuple[Step, ...]
    logprobs: tuple[Step, ...]
    calls: tuple[Step, ...]
    call: tuple[Step, ...]
    after_calls: tuple[Step, ...]
    message: tuple[Step, ...]
    finish: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to the answers of one upstream. Immutable, shared by all of its streams."""

    steps: Mapping[Endpoint, Steps]
    bodies: Mapping[Endpoint, BodySteps]
    on: frozenset[str]
    missing_finish: Literal["error", "stop"]


def run(steps: tuple[Step, ...], stream: StreamState, value: Any) -> bool:
    """Apply each repair to `value` and the stream, count what it did, say whether anything was rewritten."""
    changed = False
    for name, apply in steps:
        outcome = apply(value, stream)
        if outcome:
            stream.count(name)
            changed |= outcome is not NOTED
    return changed


def run_on_choice(steps: tuple[Step, ...], stream: StreamState, choice: Choice, state: ChoiceState) -> bool:
    """Do what `run` does, with repairs that are given a choice and its state."""
    changed = False
    for name, apply in steps:
        outcome = apply(choice, state, stream)
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
        bodies={endpoint: _body_steps(endpoint, chosen) for endpoint in Endpoint},
        on=frozenset(repair.name for repair in chosen),
        missing_finish=missing_finish,
    )


def _steps(endpoint: Endpoint, chosen: list[Repair]) -> Steps:
    here = [repair for repair in chosen if endpoint in repair.endpoints]
    return Steps(**{place.name: _at(place.name, here) for place in fields(Steps)})


def _body_steps(endpoint: Endpoint, chosen: list[Repair]) -> BodySteps:
    here = [repair for repair in chosen if _is_for_bodies(repair, endpoint)]
    return BodySteps(**{place.name: _at(place.name, here) for place in fields(BodySteps)})


def _is_for_bodies(repair: Repair, endpoint: Endpoint) -> bool:
    if repair.scope in BODY_SCOPES:
        return endpoint in repair.endpoints
    return repair.name in SHARED[endpoint]


def _at(point: str, repairs: list[Repair]) -> tuple[Step, ...]:
    """The steps at a point of the walk; it is called like its scope."""
    scope = Scope[point.upper()]
    return tuple(
        (repair.name, repair.apply)
        for repair in repairs
        if repair.scope is scope and repair.apply is not None
    )

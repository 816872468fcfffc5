"""Catalogue and switches, compiled: what runs on an upstream's answers, in order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final, Literal

from proxy.wire.chunk import Choice, ChoiceState, Chunk, StreamState
from proxy.wire.repairs import ORDER, Repair, Scope
from proxy.wire.repairs.bodies import SHARED
from proxy.wire.repairs.entry import NOTED, Outcome
from proxy.wire.requests import Endpoint

#: Where only whole bodies are repaired; elsewhere bodies share a repair with streams, or have none.
BODY_SCOPES: Final = frozenset({Scope.BODY, Scope.ITEM, Scope.NUMBERS, Scope.MESSAGE})

#: Stands under a key that is not there.
MISSING: Final = object()
#: A repair as the loops use it. What is off is not in them.
Step = tuple[str, Callable[..., Outcome]]


@dataclass(frozen=True, slots=True)
class Steps:
    """The repairs of one endpoint's streams, a tuple for each point at which they run.

    The points are called like the scopes; those whose repairs watch something like both, in one word.
    """

    shape_choices: tuple[Step, ...]
    shape_message: tuple[Step, ...]
    shape_delta: tuple[Step, ...]
    shape: tuple[Step, ...]
    envelope_id: tuple[Step, ...]
    envelope_object: tuple[Step, ...]
    envelope_created: tuple[Step, ...]
    envelope_model: tuple[Step, ...]
    envelope: tuple[Step, ...]
    usage_stray: tuple[Step, ...]
    usage_figures: tuple[Step, ...]
    usage: tuple[Step, ...]
    numbers: tuple[Step, ...]
    index: tuple[Step, ...]
    text: tuple[Step, ...]
    choice_texts: tuple[Step, ...]
    choice: tuple[Step, ...]
    role_speaker: tuple[Step, ...]
    role_later: tuple[Step, ...]
    role_first: tuple[Step, ...]
    role: tuple[Step, ...]
    reason_word: tuple[Step, ...]
    reason_last: tuple[Step, ...]
    reason: tuple[Step, ...]
    logprobs: tuple[Step, ...]
    calls: tuple[Step, ...]
    call: tuple[Step, ...]
    after_calls: tuple[Step, ...]
    rest_content: tuple[Step, ...]
    rest_blank: tuple[Step, ...]
    rest: tuple[Step, ...]
    finish_called: tuple[Step, ...]
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
    """What is done to the answers of one upstream. Immutable, shared by all of its streams.

    Attributes:
        steps: the repairs of each endpoint's streams.
        watchful: of these, all that are asked about each choice of a chat watch something.
        bodies: the repairs of each endpoint's whole bodies.
        on: the names of all that are on.
        missing_finish: what a clean end without finish reason and `[DONE]` is.
        secrets: what an error must not repeat.
    """

    steps: Mapping[Endpoint, Steps]
    watchful: Mapping[Endpoint, bool]
    bodies: Mapping[Endpoint, BodySteps]
    on: frozenset[str]
    missing_finish: Literal["error", "stop"]
    secrets: tuple[str, ...] = field(repr=False)


def run(steps: tuple[Step, ...], stream: StreamState, value: Any) -> bool:
    """Apply each repair to `value` and the stream, count what it did, say whether anything was rewritten."""
    changed = False
    counts = stream.repairs
    for name, apply in steps:
        outcome = apply(value, stream)
        if outcome:
            counts[name] = counts.get(name, 0) + 1
            changed |= outcome is not NOTED
    return changed


def run_on_choice(steps: tuple[Step, ...], stream: StreamState, choice: Choice, state: ChoiceState) -> bool:
    """Do what `run` does, with repairs that are given a choice and its state."""
    changed = False
    counts = stream.repairs
    for name, apply in steps:
        outcome = apply(choice, state, stream)
        if outcome:
            counts[name] = counts.get(name, 0) + 1
            changed |= outcome is not NOTED
    return changed


def run_on_envelope(steps: Steps, stream: StreamState, chunk: Chunk) -> bool:
    """Do what `run` does, with the repairs of whatever in the chunk is not the stream's identity."""
    identity = stream.identity or stream.identify(chunk)
    changed = False
    if chunk.get("id") != identity.id:
        changed = run_until(steps.envelope_id, stream, chunk, "id", identity.id)
    if chunk.get("object") != identity.object:
        changed |= run_until(steps.envelope_object, stream, chunk, "object", identity.object)
    created = chunk.get("created")
    # A float of the same value is written otherwise.
    if created != identity.created or type(created) is not int:
        changed |= run_until(steps.envelope_created, stream, chunk, "created", identity.created)
    if chunk.get("model") != identity.model:
        changed |= run_until(steps.envelope_model, stream, chunk, "model", identity.model)
    if steps.envelope:
        changed |= run(steps.envelope, stream, chunk)
    return changed


def run_until(steps: tuple[Step, ...], stream: StreamState, chunk: Chunk, key: str, right: Any) -> bool:
    """Do what `run` does, with repairs that rewrite, until `right` stands under the key (or `MISSING`)."""
    changed = False
    counts = stream.repairs
    for name, apply in steps:
        if apply(chunk, stream):
            counts[name] = counts.get(name, 0) + 1
            if chunk.get(key, MISSING) is right:
                return True
            changed = True
    return changed


def compile_plan(
    switches: Mapping[str, bool] = MappingProxyType({}),
    *,
    missing_finish: Literal["error", "stop"] = "error",
    repairs: tuple[Repair, ...] = ORDER,
    secrets: tuple[str, ...] = (),
) -> Plan:
    """Compile a plan.

    Args:
        switches: repairs by name, on or off; the others keep their default.
        missing_finish: what a clean end without finish reason and `[DONE]` is:
            an error, or (for servers that never finish) a `stop`.
        repairs: the catalogue, in the order of running.
        secrets: what an error must not repeat, though the upstream does.

    Raises:
        KeyError: a switch names no repair, or one that cannot be switched off.
    """
    catalogue = {repair.name: repair for repair in repairs}
    for name, is_on in switches.items():
        if catalogue[name].fixed and not is_on:
            raise KeyError(name)
    chosen = [repair for repair in repairs if switches.get(repair.name, repair.default)]
    steps = {endpoint: _steps(endpoint, chosen) for endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS)}
    return Plan(
        steps=steps,
        watchful={endpoint: endpoint is Endpoint.CHAT and _watch(steps[endpoint]) for endpoint in steps},
        bodies={endpoint: _body_steps(endpoint, chosen) for endpoint in Endpoint},
        on=frozenset(repair.name for repair in chosen),
        missing_finish=missing_finish,
        secrets=secrets,
    )


def _steps(endpoint: Endpoint, chosen: list[Repair]) -> Steps:
    here = [repair for repair in chosen if endpoint in repair.endpoints]
    return Steps(
        **{place.name: _steps_of(r for r in here if r.point == place.name) for place in fields(Steps)}
    )


def _watch(steps: Steps) -> bool:
    """All repairs that are asked about every chunk watch something."""
    asked = (steps.shape, steps.envelope, steps.usage, steps.choice, steps.role, steps.reason, steps.rest)
    return not any(asked)


def _body_steps(endpoint: Endpoint, chosen: list[Repair]) -> BodySteps:
    here = [repair for repair in chosen if _is_for_bodies(repair, endpoint)]
    scopes = {place.name: Scope[place.name.upper()] for place in fields(BodySteps)}
    return BodySteps(
        **{name: _steps_of(r for r in here if r.scope is scope) for name, scope in scopes.items()}
    )


def _is_for_bodies(repair: Repair, endpoint: Endpoint) -> bool:
    if repair.scope in BODY_SCOPES:
        return endpoint in repair.endpoints
    return repair.name in SHARED[endpoint]


def _steps_of(repairs: Iterable[Repair]) -> tuple[Step, ...]:
    return tuple((repair.name, repair.apply) for repair in repairs if repair.apply is not None)

"""The calls of a delta: their array brought into form, each fragment given to its call, and repaired."""

from typing import Any

from proxy.errors import UpstreamMalformed
from proxy.wire.calls import Fragment
from proxy.wire.chunk import Choice, ChoiceState, StreamState
from proxy.wire.plan import Plan, run, run_on_choice
from proxy.wire.previews import Previews


class CallMachine:
    """Repairs the calls of one stream."""

    __slots__ = ("_fold", "_steps", "_stream")

    def __init__(self, stream: StreamState, plan: Plan) -> None:
        self._stream = stream
        self._steps = plan.steps[stream.request.endpoint]
        self._fold = "reemitted-call" in plan.on

    def repair(self, choice: Choice, state: ChoiceState) -> bool:
        """Repair the calls in a choice's delta; return whether anything was rewritten.

        Raises:
            UpstreamMalformed: they cannot be read, or told apart.
        """
        steps, stream, delta = self._steps, self._stream, choice["delta"]
        _require_calls(delta)
        changed = run_on_choice(steps.calls, stream, choice, state)
        wires = delta.get("tool_calls")
        if wires:
            if not isinstance(wires, list) or not all(map(_is_call, wires)):
                raise UpstreamMalformed("The upstream sent a tool call that is no object.")
            borrowed_id = stream.chunk_id
            if stream.whole:
                calls = stream.tracker(state)
                fragments = [calls.take(wire, borrowed_id) for wire in wires]
            else:
                fragments = self._identified(wires, borrowed_id, state)
            for fragment in fragments:
                changed |= run(steps.call, stream, fragment)
            if len(fragments) < len(delta["tool_calls"]):
                delta["tool_calls"] = [fragment.wire for fragment in fragments]
                changed = True
                if not fragments:
                    del delta["tool_calls"]
        return run_on_choice(steps.after_calls, stream, choice, state) or changed

    def _identified(self, wires: list[Any], borrowed_id: Any, state: ChoiceState) -> list[Fragment]:
        """Return the fragments that can leave; calls that are sent again are folded."""
        if self._fold and self._stream.usage_on_chunks:
            wires = self._sift(wires, borrowed_id, state)
        calls = self._stream.tracker(state)
        repeats = calls.repeats
        fragments = calls.identify(wires, borrowed_id, fold=self._fold)
        if calls.repeats > repeats:
            self._stream.count("reemitted-call", calls.repeats - repeats)
        return fragments

    def _sift(self, wires: list[Any], borrowed_id: Any, state: ChoiceState) -> list[Any]:
        """Keep back the calls that the upstream sends again while they grow."""
        if state.previews is None:
            state.previews = Previews()
        rest = state.previews.sift(wires, borrowed_id)
        if len(rest) < len(wires):
            self._stream.count("reemitted-call", len(wires) - len(rest))
        return rest


def _require_calls(delta: dict[str, Any]) -> None:
    """Calls in a form that no repair knows cannot be looked at any further."""
    if delta.get("tool_calls") and not isinstance(delta["tool_calls"], list | dict):
        raise UpstreamMalformed("The upstream sent tool calls that are no list.")
    if delta.get("function_call") and not isinstance(delta["function_call"], dict):
        raise UpstreamMalformed("The upstream sent a function call that is no object.")


def _is_call(wire: Any) -> bool:
    return isinstance(wire, dict) and isinstance(wire.get("function"), dict | None)

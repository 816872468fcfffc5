"""Chunks in, frames out: the repairs in their order, and a phase for each choice.

Frames of the proxy's own are born at two places only: in `endings`, where a choice
begins or ends, and in `rewriter`, where the stream does. Text never waits.
"""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire import skeleton
from proxy.wire.call_machine import CallMachine
from proxy.wire.chunk import AWAITING_ROLE, FINISHED, Choice, ChoiceState, Chunk, StreamState, says_something
from proxy.wire.endings import Endings
from proxy.wire.frames import FrameWriter
from proxy.wire.plan import Plan, run, run_on_choice, run_on_envelope
from proxy.wire.repairs.entry import DROPPED, KEPT, REPAIRED, Outcome
from proxy.wire.repairs.finish import REASONS

MISSING: Final = object()
#: Of two finish reasons of one choice the one that says more stays.
WEIGHT: Final = {"stop": 0, "tool_calls": 1, "function_call": 1, "length": 2, "content_filter": 3}


class ChunkMachine:
    """Turns the chunks of one stream into frames, which go to the writer."""

    __slots__ = ("_calls", "_endings", "_is_chat", "_plan", "_steps", "_stream", "_writer")

    def __init__(self, stream: StreamState, plan: Plan, writer: FrameWriter, endings: Endings) -> None:
        self._stream = stream
        self._plan = plan
        self._steps = plan.steps[stream.request.endpoint]
        self._is_chat = stream.is_chat
        self._writer = writer
        self._endings = endings
        self._calls: CallMachine | None = None  # before the first

    def receive(self, chunk: Chunk, data: bytes | None) -> None:
        """Take one chunk.

        Args:
            chunk: a JSON object that is no error. It is rewritten in place.
            data: its bytes on one line, to be forwarded if nothing is wrong; None
                where it must be written anew in any case.

        Raises:
            UpstreamError: it cannot be understood, or means failure.
        """
        steps, stream = self._steps, self._stream
        changed = data is None
        if steps.shape:
            changed |= run(steps.shape, stream, chunk)
        if not skeleton.is_sound(chunk, chat=self._is_chat):
            changed |= skeleton.mend(chunk, steps, stream, chat=self._is_chat)
        choices = chunk["choices"]
        figures = chunk.get("usage", MISSING)
        right = figures is (None if stream.request.include_usage else MISSING)
        for choice in choices:
            right = right and "usage" not in choice
        if not right:
            self._endings.take_usage(chunk)
        if not choices:
            self._endings.without_choices(chunk, None if changed else data)
            return
        stream.chunk_id = chunk.get("id")
        changed |= run_on_envelope(steps, stream, chunk)
        if not right:
            changed |= run(steps.usage_figures, stream, chunk)
        if steps.usage:
            changed |= run(steps.usage, stream, chunk)
        if stream.whole or len(choices) > 1:
            changed |= run(steps.numbers, stream, chunk)
        if len(choices) == 1:
            outcome = self._choice(choices[0], 0, choices)
            if outcome is not DROPPED:
                self._leave(chunk, None if changed or outcome else data, choices[0])
        else:
            self._choices(chunk, None if changed else data)

    def _leave(self, chunk: Chunk, own: bytes | None, choice: Choice) -> None:
        """Forward a choice that says something, and hold one that does nothing but finish."""
        if choice.get("finish_reason"):
            self._endings.hold(chunk, own)
        else:
            self._writer.chunk(chunk, own)

    def _choices(self, chunk: Chunk, own: bytes | None) -> None:
        """Repair several choices, and let them leave together as far as that is possible."""
        choices = chunk["choices"]
        kept: list[Choice] = []
        finishing: list[Choice] = []
        for position, choice in enumerate(choices):
            outcome = self._choice(choice, position, choices)
            if outcome:
                own = None
            if outcome is not DROPPED:
                (finishing if choice.get("finish_reason") else kept).append(choice)
        for together in (kept, finishing):
            if together:
                whole = len(together) == len(choices)
                part = chunk if whole else {**chunk, "choices": together}
                self._leave(part, own if whole else None, together[0])

    def _choice(self, choice: Choice, position: int, beside: list[Choice]) -> Outcome:
        """Repair one choice and move its phase. What is left in it may leave."""
        steps, stream = self._steps, self._stream
        changed = False
        index = choice.get("index")
        if index != 0 or type(index) is not int or stream.request.choices > 1:
            changed = self._index(choice, position)
            index = choice.get("index")
        number = index if type(index) is int else position
        state = stream.choices.get(number) or stream.choice(number)
        if len(stream.choices) > 1:
            self._endings.release_others(state, beside)
        changed |= self._delta(choice, state) if self._is_chat else self._text(choice, state)
        if choice.get("finish_reason", MISSING) is not None:
            changed |= self._reason(choice, state)
        if choice.get("logprobs") is not None:
            changed |= run_on_choice(steps.logprobs, stream, choice, state)
        if self._is_chat and ("tool_calls" in choice["delta"] or "function_call" in choice["delta"]):
            changed |= self._call_machine().repair(choice, state)
        outcome = REPAIRED if changed else KEPT
        counts = stream.repairs
        for name, apply in steps.rest:
            result = apply(choice, state, stream)
            if result:
                counts[name] = counts.get(name, 0) + 1
                outcome = max(outcome, result)
        if self._is_chat:
            state.hear(choice["delta"])
        if state.phase is AWAITING_ROLE:
            self._endings.begin(state)
        settled = self._settle(choice, state)
        return settled if settled > outcome else outcome

    def _index(self, choice: Choice, position: int) -> bool:
        """Repair the index of a choice that stands at this position."""
        changed = False
        for name, apply in self._steps.index:
            if apply(choice, position, self._stream):
                self._stream.count(name)
                changed = True
                if choice.get("index") == 0 and self._stream.request.choices == 1:
                    break
        return changed

    def _delta(self, choice: Choice, state: ChoiceState) -> bool:
        """Repair what a choice of a chat says, and the role in which it says so."""
        steps, stream = self._steps, self._stream
        changed = False
        if stream.rough or state.halves:
            changed = run_on_choice(steps.text, stream, choice, state)
        for said in choice["delta"].values():
            if type(said) is not str and said is not None:
                changed |= run_on_choice(steps.choice_texts, stream, choice, state)
                break
        if steps.choice:
            changed |= run_on_choice(steps.choice, stream, choice, state)
        if state.phase is AWAITING_ROLE or "role" in choice["delta"]:
            changed |= run_on_choice(steps.role, stream, choice, state)
        return changed

    def _text(self, choice: Choice, state: ChoiceState) -> bool:
        """Repair what a choice of a completion says."""
        steps, stream = self._steps, self._stream
        changed = False
        if stream.rough or state.halves:
            changed = run_on_choice(steps.text, stream, choice, state)
        if type(choice.get("text")) is not str:
            changed |= run_on_choice(steps.choice_texts, stream, choice, state)
        return run_on_choice(steps.choice, stream, choice, state) or changed

    def _reason(self, choice: Choice, state: ChoiceState) -> bool:
        """Repair the finish reason, until it is null: then there is nothing left of it to repair."""
        steps, reason = self._steps, choice.get("finish_reason")
        is_known = type(reason) is str and reason in REASONS
        changed = False
        for name, apply in steps.reason if is_known else (*steps.reason_word, *steps.reason):
            if apply(choice, state, self._stream):
                self._stream.count(name)
                changed = True
                if choice.get("finish_reason", MISSING) is None:
                    break
        return changed

    def _call_machine(self) -> CallMachine:
        if self._calls is None:
            self._calls = CallMachine(self._stream, self._plan)
        return self._calls

    def _settle(self, choice: Choice, state: ChoiceState) -> Outcome:
        """Take the finish reason away where the choice says anything: then it is no last frame."""
        reason = choice.get("finish_reason")
        if not reason and state.finish is None and state.phase is not FINISHED:
            return KEPT
        says = says_something(choice)
        if state.phase is FINISHED:
            if says:
                raise UpstreamMalformed(
                    f"The upstream continued choice {state.index} after it had finished it."
                )
            self._stream.count("repeated-finish")
            return DROPPED
        if state.finish is not None and (says or reason):
            self._stream.count("early-finish" if says else "repeated-finish")
            self._stream.early_finishes += says
            state.finish = state.holder = None
        if not reason:
            return KEPT
        if state.early_finish is None or _weight(reason) >= _weight(state.early_finish):
            state.early_finish = reason
        state.finish = state.early_finish
        if not says:
            return KEPT
        if not state.finished_with_text:
            self._stream.count("early-finish")
            state.finished_with_text = True
        choice["finish_reason"] = None
        return REPAIRED


def _weight(reason: Any) -> int:
    """How much a reason says; where no repair may correct it, it can be anything."""
    return WEIGHT.get(reason, 0) if isinstance(reason, str) else 0

"""Chunks in, frames out: the repairs in their order, and a phase for each choice.

Frames of the proxy's own are born at two places only: in `endings`, where a choice
begins or ends, and in `rewriter`, where the stream does. Text never waits.
"""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire import right, saying, skeleton
from proxy.wire.call_machine import CallMachine
from proxy.wire.chunk import (
    AWAITING_ROLE,
    FINISHED,
    STREAMING,
    Choice,
    ChoiceState,
    Chunk,
    StreamState,
    says_something,
)
from proxy.wire.endings import Endings
from proxy.wire.frames import FrameWriter
from proxy.wire.plan import MISSING, Plan, run, run_on_choice, run_on_envelope, run_until
from proxy.wire.repairs.entry import DROPPED, KEPT, REPAIRED, Outcome

#: Stands for the usage of a chunk in which a choice has its own.
STRAY: Final = object()
#: Of two finish reasons of one choice the one that says more stays.
WEIGHT: Final = {"stop": 0, "tool_calls": 1, "function_call": 1, "length": 2, "content_filter": 3}


class ChunkMachine:
    """Turns the chunks of one stream into frames, which go to the writer.

    Attributes:
        glances: it is worth while to try `forward` first.
    """

    __slots__ = (
        "_calls",
        "_calls_allowed",
        "_endings",
        "_no_usage",
        "_plan",
        "_several",
        "_steps",
        "_stream",
        "_writer",
        "glances",
    )

    def __init__(self, stream: StreamState, plan: Plan, writer: FrameWriter, endings: Endings) -> None:
        request = stream.request
        self._stream = stream
        self._plan = plan
        self._steps = plan.steps[request.endpoint]
        self._several = request.choices > 1
        self._calls_allowed = request.tools is not None or request.functions
        self.glances = plan.watchful[request.endpoint] and not (self._several or self._calls_allowed)
        self._no_usage = None if request.include_usage else MISSING  # what a chunk with choices has
        self._writer = writer
        self._endings = endings
        self._calls: CallMachine | None = None  # before the first

    def forward(self, chunk: Chunk, data: bytes) -> bool:
        """Let a chunk leave as it came, if a glance tells that nothing is wrong in it.

        Returns:
            Whether it was so. If not, nothing of the chunk has been taken.
        """
        stream = self._stream
        if not right.is_right(chunk, stream, self._no_usage):
            self.glances = False  # who errs in one chunk errs in most
            return False
        choice, state = chunk["choices"][0], stream.choice(0)
        if choice["finish_reason"] is None:
            state.hear(choice["delta"])
            state.phase = STREAMING
            self._writer.chunk(chunk, data)
        else:
            self._settle(choice, state)
            self._endings.hold(chunk, data)
        return True

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
        if not skeleton.is_sound(chunk, stream.is_chat):
            changed |= skeleton.mend(chunk, steps, stream, stream.is_chat)
        choices = chunk["choices"]
        if not choices:
            self._endings.without_choices(chunk, None if changed else data)
            return
        stream.chunk_id = chunk.get("id")
        changed |= run_on_envelope(steps, stream, chunk)
        usage = chunk.get("usage", MISSING)
        for choice in choices:
            if "usage" in choice:
                usage = STRAY
        if usage is not self._no_usage or steps.usage:
            changed |= self._usage(chunk, usage)
        if len(choices) > 1:
            changed |= self._numbers(chunk)
            self._choices(chunk, None if changed else data)
            return
        if stream.whole:
            changed |= run(steps.numbers, stream, chunk)
        choice = choices[0]
        outcome = self._choice(choice, 0, choices)
        if outcome is not DROPPED:
            leave = self._endings.hold if choice.get("finish_reason") else self._writer.chunk
            leave(chunk, None if changed or outcome else data)

    def _usage(self, chunk: Chunk, usage: Any) -> bool:
        """Keep the usage that a chunk with choices reports, and clear it away."""
        steps, stream, right = self._steps, self._stream, self._no_usage
        changed = False
        if isinstance(usage, dict):
            stream.usage_on_chunks = True
            if self._endings.sends_usage:
                self._endings.take_usage(usage)
        elif usage is STRAY:
            for holder in (chunk, *chunk["choices"]):
                stream.usage_on_chunks |= isinstance(holder.get("usage"), dict)
                self._endings.take_usage(holder.get("usage"))
            changed = run(steps.usage_stray, stream, chunk)
            usage = chunk.get("usage", MISSING)
        if usage is not right:
            changed |= run_until(steps.usage_figures, stream, chunk, "usage", right)
        if steps.usage:
            changed |= run(steps.usage, stream, chunk)
        return changed

    def _choices(self, chunk: Chunk, own: bytes | None) -> None:
        """Repair several choices, and let them leave together as far as that is possible."""
        if run(self._steps.numbers, self._stream, chunk):
            own = None
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
                leave = self._endings.hold if together is finishing else self._writer.chunk
                leave(part, own if whole else None)

    def _numbers(self, chunk: Chunk) -> bool:
        """Repair the indices of several choices: of each by itself, then among each other.

        Their places tell them apart in this chunk only, and not all of them may leave together. So each
        gets a number, whatever is switched off.
        """
        changed = False
        for position, choice in enumerate(chunk["choices"]):
            changed |= self._index(choice, position)
            if type(choice.get("index")) is not int:
                choice["index"] = position
                changed = True
        return run(self._steps.numbers, self._stream, chunk) or changed

    def _choice(self, choice: Choice, position: int, beside: list[Choice]) -> Outcome:
        """Repair one choice and move its phase. What is left in it may leave."""
        stream = self._stream
        changed = False
        index: Any = choice.get("index")
        if len(beside) == 1 and (index != 0 or type(index) is not int or self._several):
            changed = self._index(choice, position)
            index = choice.get("index")
            if type(index) is not int:
                index = position
        state = stream.choices.get(index) or stream.choice(index)
        if len(stream.choices) > 1:
            self._endings.release_others(state, beside)
        outcome = self._delta(choice, state) if stream.is_chat else self._text(choice, state)
        if changed and not outcome:
            outcome = REPAIRED
        if state.phase is AWAITING_ROLE:
            self._endings.begin(state)
        if choice.get("finish_reason") or state.finish is not None or state.phase is FINISHED:
            settled = self._settle(choice, state)
            return settled if settled > outcome else outcome
        return outcome

    def _index(self, choice: Choice, position: int) -> bool:
        """Repair the index of a choice that stands at this position."""
        stream, counts = self._stream, self._stream.repairs
        changed = False
        for name, apply in self._steps.index:
            if apply(choice, position, stream):
                counts[name] = counts.get(name, 0) + 1
                if choice["index"] == 0 and not self._several:
                    return True
                changed = True
        return changed

    def _delta(self, choice: Choice, state: ChoiceState) -> Outcome:
        """Repair what a choice of a chat says, and in which role; drop it where it says nothing."""
        steps, stream, delta = self._steps, self._stream, choice["delta"]
        changed = False
        if stream.rough or state.halves:
            changed = run_on_choice(steps.text, stream, choice, state)
        for said in delta.values():
            if type(said) is not str and said is not None:
                changed |= run_on_choice(steps.choice_texts, stream, choice, state)
                break
        if steps.choice:
            changed |= run_on_choice(steps.choice, stream, choice, state)
        if state.phase is AWAITING_ROLE or "role" in delta:
            changed |= saying.repair_role(steps, stream, choice, state)
            delta = choice["delta"]
        if choice.get("finish_reason", MISSING) is not None:
            changed |= saying.repair_reason(steps, stream, choice, state, delta.get("content"))
        if "logprobs" in choice and choice["logprobs"] is not None:
            changed |= run_on_choice(steps.logprobs, stream, choice, state)
        if "tool_calls" in delta or "function_call" in delta:
            changed |= self._call_machine().repair(choice, state)
        if self._calls_allowed and delta.get("content"):
            changed |= run_on_choice(steps.rest_content, stream, choice, state)
        outcome = REPAIRED if changed else KEPT
        is_right = state.hear(delta) or bool(not delta and choice.get("finish_reason"))
        if not is_right or steps.rest:
            rest = saying.repair_rest(steps, stream, choice, state, is_right)
            return rest if rest > outcome else outcome
        return outcome

    def _text(self, choice: Choice, state: ChoiceState) -> Outcome:
        """Repair what a choice of a completion says."""
        steps, stream = self._steps, self._stream
        changed = False
        if stream.rough or state.halves:
            changed = run_on_choice(steps.text, stream, choice, state)
        if type(choice.get("text")) is not str:
            changed |= run_on_choice(steps.choice_texts, stream, choice, state)
        if steps.choice:
            changed |= run_on_choice(steps.choice, stream, choice, state)
        if choice.get("finish_reason", MISSING) is not None:
            changed |= saying.repair_reason(steps, stream, choice, state, choice.get("text"))
        if "logprobs" in choice and choice["logprobs"] is not None:
            changed |= run_on_choice(steps.logprobs, stream, choice, state)
        return REPAIRED if changed else KEPT

    def _call_machine(self) -> CallMachine:
        if self._calls is None:
            self._calls = CallMachine(self._stream, self._plan)
        return self._calls

    def _settle(self, choice: Choice, state: ChoiceState) -> Outcome:
        """Take the finish reason away where the choice says anything: then it is no last frame."""
        reason = choice.get("finish_reason")
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

"""How choices begin and end, and what is held back until they do.

A finish reason may come early, twice, or on every chunk, so the frame that
brings it waits until its choice is known to be over; usage waits for the end of
the stream. A frame that proves right leaves with its own bytes.
"""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire import codec
from proxy.wire.chunk import AWAITING_ROLE, FINISHED, STREAMING, Choice, ChoiceState, Chunk, Held, StreamState
from proxy.wire.frames import FrameWriter
from proxy.wire.plan import Plan, run_on_choice, run_on_envelope
from proxy.wire.repairs.usage import completed, has_counts, is_complete

#: Of these a call is the reason.
CALLED: Final = ("tool_calls", "function_call")


class Endings:
    """Holds the finish frames and the usage of one stream, and sends them in their time.

    Attributes:
        sends_usage: the usage that the upstream reports may leave.
    """

    __slots__ = (
        "_held",
        "_plan",
        "_steps",
        "_stream",
        "_trailer",
        "_trailer_early",
        "_writer",
        "sends_usage",
    )

    def __init__(self, stream: StreamState, plan: Plan, writer: FrameWriter) -> None:
        self._stream = stream
        self._plan = plan
        self._steps = plan.steps[stream.request.endpoint]
        self.sends_usage = stream.request.include_usage or "unasked-usage" not in plan.on
        self._writer = writer
        self._held: list[Held] = []
        self._trailer: Held | None = None
        self._trailer_early = False  # more than `[DONE]` came after it

    @property
    def all_finished(self) -> bool:
        """There was at least one choice, and the upstream has finished each."""
        choices = self._stream.choices
        for state in choices.values():
            if state.finish is None:
                return False
        return bool(choices)

    @property
    def only_begun(self) -> bool:
        """A choice was finished beside its role, and said nothing: some servers finish with every chunk."""
        return self._stream.is_chat and any(
            state.finished_with_text and not state.said and not state.made_calls
            for state in self._stream.choices.values()
        )

    @property
    def calls_open(self) -> bool:
        """The arguments of a call were begun and are no complete value."""
        states = self._stream.choices.values()
        called = [call.arguments for state in states for call in state.tool_calls]
        called += [state.function.arguments for state in states if state.function is not None]
        return any(arguments.begun and not arguments.complete for arguments in called)

    def begin(self, state: ChoiceState) -> None:
        """Begin a choice, with a role frame where its role has to leave on its own."""
        state.phase = STREAMING
        if state.owes_role:
            state.owes_role = False
            self._writer.choice({"index": state.index, "delta": {"role": "assistant"}, "finish_reason": None})

    def hold(self, chunk: Chunk, data: bytes | None) -> None:
        """Hold a chunk whose choices do nothing but finish.

        Args:
            chunk: the chunk, repaired.
            data: its own bytes, None where it must be written anew.
        """
        if self._trailer is not None:
            self._after_usage()
        held = Held(chunk, data)
        self._held.append(held)
        for choice in chunk["choices"]:
            self._state(choice).holder = held

    def release_others(self, state: ChoiceState, beside: list[Choice]) -> None:
        """Let go of the finish frames of other choices, while no finish has ever come early.

        A frame of one choice is no sign that another is over; but where each
        finish so far stood alone and was the last of its choice, this one is too.

        Args:
            state: the choice that goes on.
            beside: the choices of its chunk, whose finish frames must wait until that chunk has left.
        """
        if self._stream.early_finishes or not self._held:
            return
        waiting = [choice.get("index") for choice in beside]
        for held in [held for held in self._held if held is not state.holder]:
            if any(choice.get("index") in waiting for choice in held.chunk["choices"]):
                continue
            self._held.remove(held)
            self._release(held)

    def finish(self) -> None:
        """End every choice. What is left of the stream then is `report` and `[DONE]`.

        Raises:
            UpstreamMalformed: something that was begun cannot be ended, or that was held back not written.
        """
        choices = self._stream.choices
        if not choices:
            self._stream.choice(0)
        for held in self._held:
            self._release(held)
        self._held.clear()
        for state in choices.values():
            if state.phase is not FINISHED:
                self._finish_anew(state)

    def report(self) -> None:
        """Send the usage, where it was asked for.

        Raises:
            UpstreamMalformed: the chunk that brought it cannot be written anew.
        """
        if self._stream.request.include_usage or self._trailer is not None:
            self._send_usage()

    def _release(self, held: Held) -> None:
        """Send a held finish frame, for those of its choices that it still holds."""
        chunk, data = held.chunk, held.data
        choices = []
        for choice in chunk["choices"]:
            state = self._state(choice)
            if state.holder is not held:
                continue
            choices.append(choice)
            self._flush(state)
            if choice["finish_reason"] != state.finish:
                choice["finish_reason"] = state.finish
                data = None
            if self._repair_reason(choice, state):
                data = None
            state.phase = FINISHED
        if len(choices) < len(chunk["choices"]):
            chunk, data = {**chunk, "choices": choices}, None
        if choices:
            self._writer.chunk(chunk, data)

    def _repair_reason(self, choice: Choice, state: ChoiceState) -> bool:
        """Repair the reason of a choice that is over, in the light of all that it said."""
        steps, changed = self._steps, False
        if state.calls is not None or state.function is not None or choice["finish_reason"] in CALLED:
            changed = run_on_choice(steps.finish_called, self._stream, choice, state)
        if steps.finish:
            changed |= run_on_choice(steps.finish, self._stream, choice, state)
        return changed

    def _state(self, choice: Choice) -> ChoiceState:
        index = choice.get("index")
        number = index if type(index) is int else 0
        return self._stream.choices.get(number) or self._stream.choice(number)

    def _finish_anew(self, state: ChoiceState) -> None:
        """Make the finish frame that a choice never had, or had only with its last delta."""
        if state.phase is AWAITING_ROLE:
            if self._stream.is_chat and "missing-role" in self._plan.on:
                self._stream.count("missing-role")
                state.owes_role = True
            self.begin(state)
        self._flush(state)
        state.phase = FINISHED
        if state.finish is None:
            if "missing-finish" not in self._plan.on:
                return
            self._stream.count("missing-finish")
        choice: Choice = {"index": state.index, "delta": {}}
        if not self._stream.is_chat:
            choice = {"index": state.index, "text": "", "logprobs": None}
        choice["finish_reason"] = state.early_finish or "stop"
        self._repair_reason(choice, state)
        self._writer.choice(choice)

    def _flush(self, state: ChoiceState) -> None:
        """Send what waited for a second half, or for the last word on a call, and got none."""
        calls, function = state.calls, state.function
        if calls is None and function is None and not (state.halves or state.waiting):
            return
        if (calls is not None and calls.nameless) or (function is not None and function.nameless is not None):
            raise UpstreamMalformed("The upstream began a tool call and never named its function.")
        said: dict[str, Any] = {key: text for key, text in state.waiting.items() if text}
        for key in state.halves:
            said[key] = said.get(key, "") + codec.REPLACEMENT
        if "function_call" in said:
            said["function_call"] = {"arguments": said["function_call"]}
        state.halves.clear()
        state.waiting.clear()
        if said:
            choice: Choice = {"index": state.index}
            choice |= {"delta": said} if self._stream.is_chat else {**said, "logprobs": None}
            self._writer.choice(choice | {"finish_reason": None})
        for call in state.tool_calls:
            if call.arguments.half:
                call.arguments.half = ""
                rest = {"arguments": codec.REPLACEMENT}
                self._send_fragment(state, {"index": call.index, "function": rest})
        for name, arguments in state.previews.fold() if state.previews is not None else ():
            self._send_call(state, name, arguments)

    def _send_call(self, state: ChoiceState, name: str, arguments: str) -> None:
        call = self._stream.tracker(state).begin(name)
        wire: dict[str, Any] = {"index": call.index, "id": call.id, "type": "function"}
        wire["function"] = {"name": name, "arguments": arguments}
        self._send_fragment(state, wire)

    def _send_fragment(self, state: ChoiceState, wire: dict[str, Any]) -> None:
        choice: Choice = {"index": state.index, "delta": {"tool_calls": [wire]}, "finish_reason": None}
        run_on_choice(self._steps.after_calls, self._stream, choice, state)
        self._writer.choice(choice)

    def take_usage(self, usage: Any) -> None:
        """Remember what is said to be the usage; the last that is not all zero counts."""
        stream = self._stream
        if isinstance(usage, dict) and self.sends_usage and (stream.usage is None or has_counts(usage)):
            stream.usage = usage

    @property
    def awaits_usage(self) -> bool:
        """Usage was asked for, and none has come that tells anything."""
        usage = self._stream.usage
        told = self._trailer is not None or (usage is not None and has_counts(usage))
        return self._stream.request.include_usage and not told

    def take_late_usage(self, data: bytes) -> bool:
        """Take the usage that an event brings after the end; say whether there was any."""
        try:
            value, rough = codec.loads(data)
            value = codec.scrub(value) if rough else value
        except codec.NotJSON:
            return False
        usage = value.get("usage") if isinstance(value, dict) else None
        if not isinstance(usage, dict) or not has_counts(usage):
            return False
        self._stream.usage = usage
        # An error that comes after the end is none.
        rest = {key: item for key, item in value.items() if key != "error"}
        self._trailer = Held(rest | {"choices": []}, None)
        return True

    def without_choices(self, chunk: Chunk, data: bytes | None) -> None:
        """Keep the usage chunk for the end where it was asked for; nothing else has no choices."""
        self.take_usage(chunk.get("usage"))
        if chunk.get("usage") is None:
            self._stream.count("chunk-without-choices")
        elif not self._stream.request.include_usage and "unasked-usage" in self._plan.on:
            self._stream.count("unasked-usage")
        else:
            self._after_usage()
            self._trailer = Held(chunk, data)
            self._trailer_early = False

    def _after_usage(self) -> None:
        """Count a usage chunk after which a choice finished, or another usage chunk came."""
        if self._trailer is not None and not self._trailer_early and "early-usage" in self._plan.on:
            self._stream.count("early-usage")
            self._trailer_early = True

    def _send_usage(self) -> None:
        stream, trailer = self._stream, self._trailer
        usage = stream.usage or {}
        incomplete = "incomplete-usage" in self._plan.on and not is_complete(usage)
        if incomplete:
            stream.count("incomplete-usage")
            usage = completed(usage)
        if trailer is None:
            if "missing-usage" in self._plan.on:
                stream.count("missing-usage")
                self._writer.usage(usage)
            return
        chunk = trailer.chunk
        changed = run_on_envelope(self._steps, stream, chunk)
        if incomplete or changed or chunk["usage"] != usage:
            chunk["usage"] = usage
            trailer.data = None
        self._writer.chunk(chunk, trailer.data)

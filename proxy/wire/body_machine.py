"""One whole body, repaired in place: the same walk as a chunk's, with the rules of a body."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from proxy.errors import UpstreamMalformed
from proxy.wire import codec
from proxy.wire.chunk import Choice, ChoiceState, Chunk, StreamState, first_identity, in_order
from proxy.wire.plan import Plan, run, run_on_choice
from proxy.wire.repairs.usage import COUNTS, MOST_TOKENS, completed, has_counts
from proxy.wire.requests import Endpoint
from proxy.wire.vectors import Numbers, require_vector

OBJECTS: Final = {
    Endpoint.CHAT: "chat.completion",
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EDITS: "edit",
    Endpoint.EMBEDDINGS: "list",
    Endpoint.MODELS: "list",
}
LISTS: Final = frozenset({Endpoint.EMBEDDINGS, Endpoint.MODELS})

BODY_KEYS: Final = (
    "id",
    "object",
    "data",
    "created",
    "model",
    "owned_by",
    "choices",
    "usage",
    "service_tier",
    "system_fingerprint",
)
CHOICE_KEYS: Final = ("index", "message", "text", "logprobs", "finish_reason")
MESSAGE_KEYS: Final = ("role", "content", "tool_calls", "function_call", "refusal")
CALL_KEYS: Final = ("id", "type", "function")
ITEM_KEYS: Final = ("id", "object", "created", "owned_by", "index", "embedding")

#: Returns an object with its keys in OpenAI's order.
InOrder = Callable[[dict[str, Any]], dict[str, Any]]


class BodyMachine:
    """Applies a plan to one whole body."""

    __slots__ = ("_plan", "_steps", "_stream")

    def __init__(self, stream: StreamState, plan: Plan) -> None:
        self._stream = stream
        self._plan = plan
        self._steps = plan.bodies[stream.request.endpoint]

    def repair(self, body: Chunk) -> bool:
        """Repair a body that is a JSON object and no error; return whether anything was wrong.

        Raises:
            UpstreamError: it is no body of its endpoint, or means failure, or cannot be rewritten.
        """
        try:
            return self._repaired(body)
        except codec.NotJSON as error:
            raise unwritable(error) from None

    def _repaired(self, body: Chunk) -> bool:
        stream, steps = self._stream, self._steps
        endpoint = stream.request.endpoint
        if endpoint is Endpoint.MODELS and stream.request.model and "id" in body and "data" not in body:
            return self._model(body)
        changed = run(steps.shape, stream, body)
        if endpoint not in LISTS:
            _require_objects(body.get("choices"), "choices")
        changed |= run(steps.body, stream, body)
        stream.identity = first_identity(stream.request, stream.origin, body, OBJECTS[endpoint])
        borrowed_id = body.get("id")
        changed |= run(steps.envelope, stream, body)
        if endpoint is not Endpoint.MODELS:
            changed |= self._usage(body)
        return (self._items(body) if endpoint in LISTS else self._choices(body, borrowed_id)) or changed

    def _usage(self, body: Chunk) -> bool:
        """A whole body always reports its usage, in one place."""
        stream = self._stream
        has_choices = stream.request.endpoint not in LISTS
        choices = body["choices"] if has_choices else ()
        places = [body.get("usage"), *(choice.get("usage") for choice in choices)]
        given = [usage for usage in places if isinstance(usage, dict)]
        usage: dict[str, Any] = next(filter(has_counts, given), given[0] if given else {})
        changed = run(self._steps.usage, stream, body)
        counts = COUNTS if has_choices else (COUNTS[0], COUNTS[2])
        if not all(type(usage.get(key)) is int and 0 <= usage[key] < MOST_TOKENS for key in counts):
            name = "incomplete-usage" if usage else "missing-usage"
            if name not in self._plan.on:
                return changed
            stream.count(name)
            whole = completed(usage)
            usage = {key: value for key, value in whole.items() if key not in COUNTS or key in counts}
        if body.get("usage") is not usage:
            body["usage"] = usage
            changed = True
        return changed

    def _model(self, body: Chunk) -> bool:
        """A model on its own: it bears the name by which the client asked for it."""
        stream = self._stream
        changed = self._indexed(body, 0, self._steps.item)
        if stream.origin.mapped and stream.request.model and body["id"] != stream.request.model:
            stream.count("changing-model")
            body["id"] = stream.request.model
            changed = True
        return changed

    def _items(self, body: Chunk) -> bool:
        changed = False
        items = _require_objects(body.get("data"), "data", may_be_empty=True)
        inputs = self._stream.request.inputs
        if inputs is not None and len(items) < inputs:
            raise UpstreamMalformed(
                f"The upstream sent {len(items)} of the {inputs} embeddings that are due."
            )
        for position, item in enumerate(items):
            changed |= self._indexed(item, position, self._steps.item)
            if self._stream.request.endpoint is Endpoint.EMBEDDINGS:
                require_vector(item.get("embedding"))
        return run(self._steps.numbers, self._stream, body) or changed

    def _indexed(self, item: dict[str, Any], position: int, steps: Any) -> bool:
        changed = False
        for name, apply in steps:
            if apply(item, position, self._stream):
                self._stream.count(name)
                changed = True
        return changed

    def _choices(self, body: Chunk, borrowed_id: Any) -> bool:
        changed = False
        for position, choice in enumerate(body["choices"]):
            changed |= self._indexed(choice, position, self._steps.index)
        changed |= run(self._steps.numbers, self._stream, body)
        for position, choice in enumerate(body["choices"]):
            changed |= self._choice(choice, self._stream.choice(position), borrowed_id)
        return changed

    def _choice(self, choice: Choice, state: ChoiceState, borrowed_id: Any) -> bool:
        stream, steps = self._stream, self._steps
        is_chat = stream.request.endpoint is Endpoint.CHAT
        if is_chat:
            # The repairs of streams know a message by the name that it has there.
            choice["delta"] = choice.pop("message", None)
            if not isinstance(choice["delta"], dict):
                raise UpstreamMalformed("The upstream sent a choice without a message.")
        changed = run_on_choice(steps.choice, stream, choice, state)
        for key, text in state.waiting.items():  # nothing more comes that it could wait for
            choice["delta"][key] = (choice["delta"].get(key) or "") + text
        changed |= run_on_choice(steps.reason, stream, choice, state)
        changed |= run_on_choice(steps.logprobs, stream, choice, state)
        if is_chat:
            changed |= self._calls(choice, state, borrowed_id)
            choice["message"] = choice.pop("delta")
        changed |= run_on_choice(steps.message, stream, choice, state)
        return run_on_choice(steps.finish, stream, choice, state) or changed

    def _calls(self, choice: Choice, state: ChoiceState, borrowed_id: Any) -> bool:
        stream, steps, delta = self._stream, self._steps, choice["delta"]
        if "tool_calls" not in delta and "function_call" not in delta:
            return False
        changed = run_on_choice(steps.calls, stream, choice, state)
        wires = delta.get("tool_calls")
        for wire in _require_objects(wires, "tool_calls") if wires else ():
            changed |= run(steps.call, stream, stream.tracker(state).take(wire, borrowed_id))
        changed |= run_on_choice(steps.after_calls, stream, choice, state)
        if state.function is not None and state.function.nameless is not None:
            raise UpstreamMalformed("The upstream sent a function call that names no function.")
        return changed


def write(body: Chunk) -> bytes:
    """Write a body anew, its keys in OpenAI's order.

    Raises:
        UpstreamMalformed: it is nested too deeply to be written.
    """
    body = in_order(body, BODY_KEYS)
    _put_in_order(body, "choices", _choice_in_order)
    _put_in_order(body, "data", _item_in_order)
    try:
        return codec.dumps(body)
    except codec.NotJSON as error:
        raise unwritable(error) from None


def unwritable(error: codec.NotJSON) -> UpstreamMalformed:
    """Return the error that a body is which no encoder of ours writes."""
    return UpstreamMalformed(f"The upstream sent a body that cannot be rewritten: {error}.")


def _put_in_order(holder: dict[str, Any], key: str, in_its_order: InOrder) -> None:
    """Order the keys of each object in a list, if there is one: other endpoints' keys can be anything."""
    items = holder.get(key)
    if isinstance(items, list):
        holder[key] = [in_its_order(item) if isinstance(item, dict) else item for item in items]


def _choice_in_order(choice: Choice) -> Choice:
    choice = in_order(choice, CHOICE_KEYS)
    message = choice.get("message")
    if isinstance(message, dict):
        choice["message"] = message = in_order(message, MESSAGE_KEYS)
        _put_in_order(message, "tool_calls", _call_in_order)
    return choice


def _call_in_order(call: dict[str, Any]) -> dict[str, Any]:
    return in_order(call, CALL_KEYS)


def _item_in_order(item: dict[str, Any]) -> dict[str, Any]:
    item = in_order(item, ITEM_KEYS)
    vector = item.get("embedding")
    if isinstance(vector, Numbers):
        item["embedding"] = orjson.Fragment(vector.raw)
    return item


def _require_objects(items: Any, name: str, *, may_be_empty: bool = False) -> list[Any]:
    if isinstance(items, list) and (items or may_be_empty) and all(isinstance(item, dict) for item in items):
        return items
    raise UpstreamMalformed(f"The upstream sent a body whose '{name}' cannot be read.")

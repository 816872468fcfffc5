"""The vocabulary of the rewriter: what is known of a stream and of each of its choices.

A chunk is the JSON object in an event; it stays a plain dict, as orjson gives
it. What a stream remembers from chunk to chunk is here.
"""

import enum
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.errors import UpstreamReported
from proxy.wire.arguments import Arguments
from proxy.wire.call_ids import CallIds
from proxy.wire.calls import Call, CallTracker
from proxy.wire.moments import seconds
from proxy.wire.previews import Previews
from proxy.wire.requests import Endpoint, Request

Chunk = dict[str, Any]
Choice = dict[str, Any]

CHAT_CHUNK: Final = "chat.completion.chunk"
OBJECTS: Final = {Endpoint.CHAT: CHAT_CHUNK, Endpoint.COMPLETIONS: "text_completion"}
ID_PREFIXES: Final = {Endpoint.CHAT: "chatcmpl-", Endpoint.COMPLETIONS: "cmpl-"}
#: A model nobody named. Clients want a string that is not empty.
NAMELESS_MODEL: Final = "unknown"
#: Texts that a delta can carry besides its content.
REASONING: Final = ("reasoning_content", "reasoning")
TEXTS: Final = ("content", *REASONING, "refusal")

CHUNK_KEYS: Final = (
    "id",
    "object",
    "created",
    "model",
    "service_tier",
    "system_fingerprint",
    "choices",
    "usage",
)
CHAT_CHOICE_KEYS: Final = ("index", "delta", "logprobs", "finish_reason")


class Phase(enum.Enum):
    """Where a choice stands. Only the machine moves it, after the repairs."""

    AWAITING_ROLE = enum.auto()
    STREAMING = enum.auto()
    FINISHED = enum.auto()


#: The same by themselves: to look a member up in its class costs more than most repairs.
AWAITING_ROLE: Final = Phase.AWAITING_ROLE
STREAMING: Final = Phase.STREAMING
FINISHED: Final = Phase.FINISHED


@dataclass(slots=True)
class Origin:
    """What the pure floor cannot know by itself. Nobody changes it.

    Attributes:
        token: 24 or more random letters and digits, made for this answer.
        began: the second (Unix time) at which the answer began.
        mapped: the configuration mapped the model: the answer bears the client's name.
    """

    token: str
    began: int
    mapped: bool = False


@dataclass(slots=True)
class Identity:
    """What is the same in every chunk of a stream."""

    id: str
    object: str
    created: int
    model: str


@dataclass(slots=True)
class Held:
    """A chunk that does nothing but finish choices, until they are known to be over.

    Attributes:
        chunk: the chunk, repaired.
        data: its own bytes; None once it must be written anew.
    """

    chunk: Chunk
    data: bytes | None


@dataclass(slots=True)
class FunctionCall:
    """The one legacy function call that a choice can make.

    Attributes:
        name: the function's name, once it was seen.
        arguments: what has come of them.
        nameless: what of them came before the name; None where nothing waits for it.
    """

    name: str | None = None
    arguments: Arguments = field(default_factory=Arguments)
    nameless: str | None = None


@dataclass(slots=True, init=False)
class ChoiceState:
    """What is remembered of one choice.

    Attributes:
        index: its index as it leaves us.
        finish: the finish reason that is held back until the choice is over.
        early_finish: the weightiest reason so far, also if more deltas followed it.
        holder: the chunk that brought the reason and nothing else.
        finished_with_text: its finish reason came beside a delta, at least once.
        owes_role: the role must leave in a frame of its own before the next delta.
        said: the texts of a delta that have said anything so far, by their keys.
        text: its content so far, kept only where calls are possible and text may be repeated.
        halves: by the delta's key, the first half of a code point whose second is still to come;
            `function_call` stands for the arguments of a legacy call.
        waiting: by the delta's key, text that may still turn out to be markup.
        calls: tells its tool calls apart; None before the first.
        previews: calls that the upstream sends again and again while they grow; None while it sent none.
        function: its legacy function call; None before that began.
        scratch: what single repairs remember, under keys of their own.
    """

    index: int
    phase: Phase
    finish: str | None
    early_finish: str | None
    holder: Held | None
    finished_with_text: bool
    owes_role: bool
    said: tuple[str, ...]
    text: list[str]
    halves: dict[str, str]
    waiting: dict[str, str]
    calls: CallTracker | None
    previews: Previews | None
    function: FunctionCall | None
    scratch: dict[str, Any]

    def __init__(self, index: int) -> None:
        self.index = index
        self.phase = AWAITING_ROLE
        self.finish = self.early_finish = self.holder = None
        self.finished_with_text = self.owes_role = False
        self.said = ()
        self.text, self.halves, self.waiting, self.scratch = [], {}, {}, {}
        self.calls = self.previews = self.function = None

    @property
    def tool_calls(self) -> list[Call]:
        """Its tool calls so far."""
        return [] if self.calls is None else self.calls.calls

    def hear(self, delta: dict[str, Any]) -> bool:
        """Remember in which texts a delta of this choice says something; return whether it says anything."""
        says = False
        for key, value in delta.items():
            if value:
                says = True
                if key not in self.said and key in TEXTS:
                    self.said += (key,)
        return says

    @property
    def made_calls(self) -> bool:
        """The model called a tool or a function."""
        if self.calls is not None and self.calls.calls:
            return True
        return self.function is not None and self.function.name is not None


@dataclass(slots=True, init=False)
class StreamState:
    """What is remembered of one stream.

    Attributes:
        is_chat: its choices have deltas; those of completions have a text.
        chunk_id: the id of the chunk at hand as the upstream wrote it; some lend it to their calls.
        early_finishes: how often a choice went on after its finish reason.
        call_ids: gives its calls their ids; None before the first.
        usage: the last usage that was not all zero, else the last.
        usage_on_chunks: usage came beside choices, as LocalAI sent it up to v4.2.4.
        whole: a whole body came in the place of a stream.
        is_body: what leaves is a whole body, too.
        rough: the chunk at hand is JSON that only lenient parsers read.
        repairs: how often each repair acted.
    """

    request: Request
    origin: Origin
    identity: Identity | None
    is_chat: bool
    choices: dict[int, ChoiceState]
    chunk_id: Any
    early_finishes: int
    usage: dict[str, Any] | None
    usage_on_chunks: bool
    call_ids: CallIds | None
    rough: bool
    whole: bool
    is_body: bool
    repairs: dict[str, int]

    def __init__(
        self,
        request: Request,
        origin: Origin,
        *,
        is_body: bool = False,
        repairs: dict[str, int] | None = None,
    ) -> None:
        self.request, self.origin = request, origin
        self.is_chat = request.endpoint is Endpoint.CHAT
        self.whole = self.is_body = is_body
        self.rough = self.usage_on_chunks = False
        self.early_finishes = 0
        self.identity = self.chunk_id = self.usage = self.call_ids = None
        self.choices = {}
        self.repairs = {} if repairs is None else repairs

    def count(self, name: str, times: int = 1) -> None:
        """Count a repair under its name."""
        self.repairs[name] = self.repairs.get(name, 0) + times

    def counted(self, error: UpstreamReported, forms: list[str]) -> UpstreamReported:
        """Return an error that the upstream reported, with the forms of it counted."""
        for form in forms:
            self.count(form)
        return error

    def choice(self, index: int) -> ChoiceState:
        """Return the state of the choice with this index, made at its first sight."""
        state = self.choices.get(index)
        if state is None:
            state = self.choices[index] = ChoiceState(index)
        return state

    def tracker(self, state: ChoiceState) -> CallTracker:
        """Return what tells the tool calls of a choice apart, made for its first."""
        if state.calls is None:
            if self.call_ids is None:
                self.call_ids = CallIds(self.origin.token, self.identity.id if self.identity else "")
            state.calls = CallTracker(self.request.tools or frozenset(), self.call_ids.new)
        return state.calls

    def identify(self, chunk: Chunk) -> Identity:
        """Return the stream's identity; the first chunk that leaves decides what stays."""
        if self.identity is None:
            self.identity = first_identity(self.request, self.origin, chunk)
        return self.identity


def first_identity(request: Request, origin: Origin, chunk: Chunk, kind: str | None = None) -> Identity:
    """Take from the first chunk what is right in it, and make up the rest.

    `kind` is what `object` must say; None for the chunks of the endpoint's streams.
    """
    chunk_id, model = chunk.get("id"), chunk.get("model")
    if not chunk_id or not isinstance(chunk_id, str):
        chunk_id = ID_PREFIXES.get(request.endpoint, "") + origin.token
    if origin.mapped or not isinstance(model, str) or not model:
        model = request.model or NAMELESS_MODEL
    created = seconds(chunk.get("created"))
    return Identity(
        id=chunk_id,
        object=kind or OBJECTS[request.endpoint],
        created=origin.began if created is None else created,
        model=model,
    )


def says_something(choice: Choice) -> bool:
    """The choice carries more than its finish: a delta, text, or probabilities."""
    return bool(choice.get("delta") or choice.get("text") or choice.get("logprobs"))


def texts_of(choice: Choice, stream: StreamState) -> dict[str, Any]:
    """Return what holds the texts of a choice: its delta, or in a completion the choice itself."""
    return choice["delta"] if stream.is_chat else choice


def in_order(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return `value` with `keys` first, as OpenAI orders them, then whatever else it has."""
    ordered = {}
    for key in keys:
        if key in value:
            ordered[key] = value[key]
    return ordered if len(ordered) == len(value) else ordered | value

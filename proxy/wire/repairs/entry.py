"""How a repair is written: one function, and what there is to know about it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from proxy.wire.requests import Endpoint


class Outcome(enum.IntEnum):
    """What a repair did. Only KEPT is false."""

    KEPT = 0
    #: The fault was met and is counted; what stands beside it is right as it came.
    NOTED = 1
    REPAIRED = 2
    DROPPED = 3


KEPT: Final = Outcome.KEPT
NOTED: Final = Outcome.NOTED
REPAIRED: Final = Outcome.REPAIRED
DROPPED: Final = Outcome.DROPPED


class Scope(enum.Enum):
    """What a repair is given, and when it runs. The order here is the order of running."""

    FRAMING = "events"  # no function: the decoder and the machine do it at a fixed point
    SHAPE = "chunk shape"  # (chunk, stream)
    BODY = "body shape"  # (body, stream), whole bodies only
    ENVELOPE = "identity"  # (chunk, stream)
    USAGE = "usage"  # (chunk, stream)
    INDEX = "choice index"  # (choice, position, stream), only where it is not the 0 of a lone choice
    NUMBERS = "choice numbers"  # (body or chunk, stream), in streams for several choices, or a whole body
    ITEM = "items of a list"  # (item, position, stream), an embedding or a model
    TEXT = "text"  # (choice, state, stream), only where a code point is cut
    CHOICE = "choices"  # (choice, state, stream)
    ROLE = "roles"  # (choice, state, stream), only where there is a role, or ought to be
    REASON = "finish reason of a chunk"  # (choice, state, stream), only where it is not null
    LOGPROBS = "log probabilities"  # (choice, state, stream), only where there are any
    CALLS = "tool call array"  # (choice, state, stream), only where there are calls
    CALL = "tool calls"  # (fragment, stream), each fragment once it is identified
    AFTER_CALLS = "after tool calls"  # (choice, state, stream), only where there are calls
    REST = "what is left of the delta"  # (choice, state, stream), after all others
    MESSAGE = "messages"  # (choice, state, stream), whole bodies only, after all others
    FINISH = "finish reasons"  # (choice, state, stream), on the frame that ends the choice
    ENDING = "end of stream"  # no function: the machine does it at a fixed point
    ERROR = "errors"  # no function: every form of error becomes one


Watched = Literal[
    "choices",
    "message",
    "delta",
    "id",
    "object",
    "created",
    "model",
    "stray",
    "figures",
    "texts",
    "speaker",
    "later",
    "first",
    "word",
    "last",
    "content",
    "blank",
    "called",
]
#: What a repair can watch, and what makes it right. One question is asked for all who watch it.
RIGHT: Final = MappingProxyType[Watched, str](
    {
        "choices": "a list of objects, and there is no `error` beside it",
        "message": "in none of the choices",
        "delta": "an object in each of them; in completions a string, `text`",
        "id": "the stream's own",
        "object": "the stream's own",
        "created": "the stream's own",
        "model": "the stream's own",
        "stray": "`usage` is in no choice",
        "figures": "`usage` is null where the request asked for it, else absent",
        "texts": "strings, or null",
        "speaker": "`role` is absent, or the assistant's",
        "later": "`role` is absent from all deltas of a choice but its first",
        "first": "`role` is in a choice's first delta, with no content or reasoning beside it",
        "word": "`finish_reason` is null, or a word of OpenAI's",
        "last": "nothing is said beside a finish reason",
        "content": "there is none, or the request allows no calls",
        "blank": "the delta says something, or is an empty one that finishes its choice",
        "called": "the choice has called nothing, and its finish reason speaks of no call",
    }
)


class Basis(enum.Enum):
    """Why a repair is right: the published form is broken, or a client is."""

    FORM = "form"
    CLIENT = "client"


FORM: Final = Basis.FORM
CLIENT: Final = Basis.CLIENT

CHAT: Final = frozenset({Endpoint.CHAT})
COMPLETIONS: Final = frozenset({Endpoint.COMPLETIONS})
EDITS: Final = frozenset({Endpoint.EDITS})
EMBEDDINGS: Final = frozenset({Endpoint.EMBEDDINGS})
MODELS: Final = frozenset({Endpoint.MODELS})
STREAMS: Final = CHAT | COMPLETIONS


@dataclass(frozen=True, slots=True)
class Repair:
    """One entry of the catalogue.

    Attributes:
        name: kebab-case, the name of the fault: configuration key, metric label, fixture folder.
        scope: what the function is given, and when it runs.
        basis: why it is right.
        summary: what it does, one line.
        wrong: an example of the fault as it stands on the wire.
        right: what leaves instead.
        breaks: what the fault breaks, and for whom.
        sources: issues, commits or standards that know of it.
        eras: the LocalAI eras that have it, "" where none is known.
        endpoints: where it runs.
        watches: where this is right in a chunk (`RIGHT`), the repair has nothing to do, and is not asked.
            None: it is always asked. Within a scope those that watch something run first.
        default: whether it is on.
        apply: the function; None where the machine does it at a fixed point.
        fixed: it cannot be switched off, because without it no stream could be written.
    """

    name: str
    scope: Scope
    basis: Basis
    summary: str
    wrong: str
    right: str
    breaks: str
    sources: tuple[str, ...]
    eras: str
    endpoints: frozenset[Endpoint]
    watches: Watched | None
    default: bool
    apply: Callable[..., Outcome] | None
    fixed: bool

    @property
    def point(self) -> str:
        """The point of a chunk's walk at which it runs."""
        scope = self.scope.name.lower()
        return f"{scope}_{self.watches}" if self.watches else scope


def repair(
    name: str,
    *,
    scope: Scope,
    basis: Basis,
    wrong: str,
    right: str,
    breaks: str,
    sources: tuple[str, ...],
    eras: str = "",
    endpoints: frozenset[Endpoint] = STREAMS,
    watches: Watched | None = None,
    default: bool = True,
) -> Callable[[Callable[..., Outcome]], Repair]:
    """Make a function the repair called `name`. Its docstring's first line says what it does."""

    def enter(function: Callable[..., Outcome]) -> Repair:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        return Repair(
            name=name,
            scope=scope,
            basis=basis,
            summary=summary,
            wrong=wrong,
            right=right,
            breaks=breaks,
            sources=sources,
            eras=eras,
            endpoints=endpoints,
            watches=watches,
            default=default,
            apply=function,
            fixed=False,
        )

    return enter


def fixed(name: str, *, summary: str, scope: Scope, basis: Basis, **told: Any) -> Repair:
    """Enter a repair that the decoder or the machine does at a fixed point.

    With `fixed=False` among `told` it can be switched off all the same.
    """
    defaults: dict[str, Any] = {
        "eras": "",
        "endpoints": STREAMS,
        "watches": None,
        "default": True,
        "fixed": True,
    }
    return Repair(name=name, scope=scope, basis=basis, summary=summary, apply=None, **(defaults | told))

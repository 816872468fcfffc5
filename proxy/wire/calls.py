"""Which fragment belongs to which tool call.

Upstreams number their calls badly: no index, index 0 for all, a counter of
fragments; ids missing, empty, repeated, shared by several calls. A client joins
fragments by index alone, so before anything is rewritten it must be certain
which call a fragment means. `CallTracker.identify` decides that from id, index,
name and from what the call's arguments lack; where two answers are possible it
raises rather than merge two calls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire.arguments import Arguments
from proxy.wire.signs import Signs

#: What is told apart of a fragment; all else is the upstream's own.
_OWN_KEYS: Final = frozenset({"index", "id", "type", "function"})


@dataclass(slots=True)
class Call:
    """One tool call of one choice.

    Attributes:
        index: its index as it leaves us: the order in which calls began.
        id: its id as it leaves us.
        name: the function's name as far as it is known; "" until the upstream gives one.
        upstream_index: the index that the upstream gave it at first; None where it gave none.
        upstream_id: the id that the upstream gave it; None where it gave none of its own.
        arguments: what has come of them.
        opened: its first fragment has left: its name is known.
        kept: what else stood in the fragments that waited for the name.
        echoed: it was complete when an empty fragment named it again; what follows is another call's.
    """

    index: int
    id: str
    name: str
    upstream_index: int | None
    upstream_id: str | None
    arguments: Arguments = field(default_factory=Arguments)
    opened: bool = False
    kept: dict[str, Any] = field(default_factory=dict)
    echoed: bool = False

    def lacks(self, signs: Signs) -> bool:
        """A fragment of the same name brings the middle of arguments, and those of this call are cut short.

        What it brings begins no object or array, so it can be no call of its own.
        """
        begins = signs.arguments.lstrip()[:1] in ("", "{", "[")
        return signs.name == self.name and self.arguments.begun and not self.arguments.complete and not begins


@dataclass(slots=True)
class Fragment:
    """One fragment of a call, understood.

    Attributes:
        wire: the fragment itself.
        call: the call that it belongs to.
        name: the call's name up to this fragment; later ones may add to it.
        opening: it is the call's first fragment to leave.
    """

    wire: dict[str, Any]
    call: Call
    name: str
    opening: bool


class CallTracker:
    """Tells the calls of one choice apart.

    Args:
        tools: the names that the request allows; empty where it named none.
        new_id: makes a call's id, unique in the stream, from the upstream's id or from None.

    Attributes:
        calls: the calls so far, in the order in which they began.
        repeats: how many fragments were left out because they repeat a whole call.
    """

    __slots__ = ("_batch", "_new_id", "_tools", "calls", "repeats")

    def __init__(self, tools: frozenset[str], new_id: Callable[[str | None], str]) -> None:
        self.calls: list[Call] = []
        self.repeats = 0
        self._tools = tools
        self._new_id = new_id
        self._batch = 0  # how many calls the last array that opened any opened

    @property
    def nameless(self) -> bool:
        """A call was begun whose function is still unknown."""
        return any(not call.opened for call in self.calls)

    def identify(
        self, wires: list[dict[str, Any]], borrowed_id: str | None, *, fold: bool = True
    ) -> list[Fragment]:
        """Return the fragments of one `tool_calls` array that can leave, each with its call.

        What opens a call without naming it waits for the name.

        Args:
            wires: the fragments as they came.
            borrowed_id: the completion's id, which some upstreams give to each call.
            fold: leave a call out that is repeated whole.

        Raises:
            UpstreamMalformed: a fragment could belong to two calls, or to none.
        """
        fragments = []
        first_new = len(self.calls)
        for position, wire in enumerate(wires):
            signs = Signs.of(wire, borrowed_id)
            if fold and self._is_repeat(signs):
                self.repeats += 1
                continue
            call = self._known(signs, position, len(wires), first_new)
            if call is None:
                call = self._begin(signs)
            fragment = self._advance(call, signs, wire)
            if fragment is not None:
                fragments.append(fragment)
        if len(self.calls) > first_new:
            self._batch = len(self.calls) - first_new
        return fragments

    def take(self, wire: dict[str, Any], borrowed_id: str | None) -> Fragment:
        """Take a call that came whole: in a body each entry of the array is a call of its own.

        Raises:
            UpstreamMalformed: it names no function.
        """
        signs = Signs.of(wire, borrowed_id)
        if signs.name is None:
            raise UpstreamMalformed("The upstream sent a tool call that names no function.")
        call = Call(len(self.calls), self._new_id(signs.id), signs.name, signs.index, signs.id, opened=True)
        call.arguments.feed(signs.arguments)
        self.calls.append(call)
        return Fragment(wire, call, call.name, opening=True)

    def begin(self, name: str) -> Call:
        """Open a call whose fragments were never forwarded."""
        call = self._begin(Signs(None, None, name, ""))
        call.name, call.opened = name, True
        return call

    def _begin(self, signs: Signs) -> Call:
        call = Call(len(self.calls), self._new_id(signs.id), "", signs.index, signs.id)
        if signs.name is None and self.calls and self.calls[-1].echoed:
            call.name = self.calls[-1].name
        self.calls.append(call)
        return call

    def _advance(self, call: Call, signs: Signs, wire: dict[str, Any]) -> Fragment | None:
        waited = "" if call.opened else call.arguments.text
        if signs.name and signs.name != call.name:
            call.name += signs.name
        if signs.name or signs.arguments.strip():
            call.echoed = call.opened and call.arguments.complete and not signs.arguments.strip()
        call.arguments.feed(signs.arguments)
        if call.opened:
            return Fragment(wire, call, call.name, opening=False)
        if not self._is_whole_name(call):
            call.kept |= {key: value for key, value in wire.items() if key not in _OWN_KEYS}
            return None
        if any(not earlier.opened for earlier in self.calls[: call.index]):
            raise _ambiguous("it names a call, and one that was begun before it has no name yet")
        call.opened = True
        wire |= {key: value for key, value in call.kept.items() if key not in wire}
        if waited:
            if "custom" in wire:
                raise _ambiguous("it is of another kind than the call that it names")
            wire["function"] = (wire.get("function") or {}) | {"arguments": waited + signs.arguments}
        return Fragment(wire, call, call.name, opening=True)

    def _is_whole_name(self, call: Call) -> bool:
        """The name is known, and no longer one is due: names can come in pieces, before the arguments."""
        name = call.name
        return bool(name) and (
            name in self._tools
            or call.arguments.begun
            or not any(tool.startswith(name) for tool in self._tools)
        )

    def _is_repeat(self, signs: Signs) -> bool:
        """The very call, whole, under its own id, once more."""
        return signs.id is not None and any(
            call.upstream_id == signs.id
            and call.upstream_index == signs.index
            and call.name == signs.name
            and call.arguments.complete
            and call.arguments.text == signs.arguments
            for call in self.calls
        )

    def _known(self, signs: Signs, position: int, size: int, first_new: int) -> Call | None:
        """Return the call that the fragment continues, None where it opens a new one."""
        if signs.id is not None:
            call = self._by_id(signs)
            beside = call is not None and signs.index is None and call.index >= first_new
            return None if call is None or (beside and self._names_another(call, signs)) else call
        if signs.name is not None and len(self.calls) > first_new:
            return None  # named, beside a call that the same array began
        if signs.index is not None:
            return self._by_index(signs)
        if signs.name is not None:
            return self._continued(self.calls[-1], signs) if self.calls else None
        if size > 1 and size == self._batch:
            return self.calls[-size:][position]
        return self._only_open(self.calls, signs)

    def _by_id(self, signs: Signs) -> Call | None:
        same = [call for call in self.calls if call.upstream_id == signs.id]
        exact = [call for call in same if signs.index in (None, call.upstream_index)]
        if exact or same:
            return self._continued((exact or same)[-1], signs)
        at_index = [call for call in self.calls if call.upstream_index == signs.index]
        if signs.index is None or not at_index:
            return None
        call = at_index[-1]
        if signs.name is not None and call.upstream_id is not None and not call.lacks(signs):
            return None  # a new id with a name is a new call, though its index is used
        if signs.name is None and call.arguments.complete and signs.arguments.strip():
            raise _ambiguous("its id is new, and it names no function")
        return self._continued(call, signs)

    def _by_index(self, signs: Signs) -> Call | None:
        at_index = [call for call in self.calls if call.upstream_index == signs.index]
        if at_index and signs.name is not None:
            return self._continued(at_index[-1], signs)
        if at_index:
            return self._only_open(at_index, signs)
        if signs.name is not None:
            return None
        if signs.arguments.strip() and all(call.arguments.complete for call in self.calls):
            return None  # a piece of none of them: a call whose name is still to come
        return self._only_open(self.calls, signs)

    def _continued(self, call: Call, signs: Signs) -> Call | None:
        """`call` is the one the fragment would continue: does its name speak for a new one?"""
        if call.echoed and signs.name is None and signs.arguments.strip():
            return None
        if signs.name is None or not call.name:
            return call
        if call.arguments.complete:
            return call if signs.name == call.name and not signs.arguments.strip() else None
        if signs.name == call.name:
            return call
        if call.arguments.begun:
            return None  # a call cut short, then another
        if not self._names_another(call, signs):
            return call
        if call.name in self._tools and signs.name in self._tools:
            return None  # two whole names are two calls, whatever their ids
        if signs.id is not None and signs.id == call.upstream_id and signs.index == call.upstream_index:
            return call  # its own id and index: the name comes in pieces
        if call.name in self._tools or signs.name in self._tools:
            return None
        raise _ambiguous("it names another function, without an id, before the call had arguments")

    def _names_another(self, call: Call, signs: Signs) -> bool:
        """The fragment's name is neither the call's nor, as far as the tools are known, a piece of it."""
        if signs.name is None or not call.name or signs.name == call.name:
            return False
        return not any(tool.startswith(call.name + signs.name) for tool in self._tools)

    def _only_open(self, calls: list[Call], signs: Signs) -> Call | None:
        """The one call among `calls` that a nameless fragment can continue; None begins a new one."""
        if len(calls) == 1 and not (calls[0].echoed and signs.arguments.strip()):
            return calls[0]
        incomplete = [call for call in calls if not call.arguments.complete]
        if len(incomplete) > 1:
            raise _ambiguous("it has neither id nor name, and several calls are open")
        if incomplete:
            return incomplete[0]
        if not calls:
            return None
        if signs.arguments.strip():
            if calls[-1].echoed:
                return None
            raise _ambiguous("it has neither id nor name, and the calls before it are complete")
        return calls[-1]


def _ambiguous(why: str) -> UpstreamMalformed:
    return UpstreamMalformed(f"The upstream sent a piece of a tool call that cannot be placed: {why}.")

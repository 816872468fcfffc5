"""Calls that are sent whole, again and again, while they grow (LocalAI v3.10 to v4.1).

Each token after a call became readable sends it once more at the next index,
with its arguments so far healed into JSON, under the completion's id; at the
end the call comes again at index 0, name and arguments in a frame each. What a
client would join to nonsense is held back here until the last word is known.
"""

from typing import Any

from proxy.wire.codec import NotJSON, loads


class Previews:
    """The calls of one choice that are held back: name and arguments, in order."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._held)

    def sift(self, wires: list[dict[str, Any]], borrowed_id: str | None) -> list[dict[str, Any]]:
        """Keep back what may be a preview, and return the rest of the fragments.

        A call that begins without arguments is no preview: it and its like are
        the last word, and what was held back is forgotten.
        """
        rest = []
        for wire in wires:
            function = wire.get("function") or {}
            name, arguments = function.get("name"), function.get("arguments")
            if name and arguments and borrowed_id and wire.get("id") == borrowed_id:
                self._held.append((name, arguments))
                continue
            if name:
                self._held.clear()
            rest.append(wire)
        return rest

    def fold(self) -> list[tuple[str, str]]:
        """Return the calls held back, each once, in its last form; nothing is held any more."""
        folded: list[tuple[str, str]] = []
        for name, arguments in self._held:
            if folded and folded[-1][0] == name and _grew(folded[-1][1], arguments):
                folded[-1] = (name, arguments)
            else:
                folded.append((name, arguments))
        self._held.clear()
        return folded


def _grew(before: str, after: str) -> bool:
    """`after` is `before` with more of it said."""
    try:
        return _extends(loads(before.encode())[0], loads(after.encode())[0])
    except (NotJSON, UnicodeEncodeError):
        return after.startswith(before)


def _extends(before: Any, after: Any) -> bool:
    if isinstance(before, dict) and isinstance(after, dict):
        return all(key in after and _extends(value, after[key]) for key, value in before.items())
    if isinstance(before, list) and isinstance(after, list):
        return len(before) <= len(after) and all(map(_extends, before, after))
    if isinstance(before, str) and isinstance(after, str):
        return after.startswith(before)
    return bool(before == after)

"""What a fragment of a tool call says of itself."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Signs:
    """What a fragment says of itself; None where it says nothing that can be used."""

    index: int | None
    id: str | None
    name: str | None
    arguments: str

    @classmethod
    def of(cls, wire: dict[str, Any], borrowed_id: str | None) -> "Signs":
        """Read the signs. An id that is the completion's own is nobody's (LocalAI, all eras)."""
        index, call_id = wire.get("index"), wire.get("id")
        function = wire.get("function") or wire.get("custom")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(call_id, int) and not isinstance(call_id, bool):
            call_id = str(call_id)
        counted = isinstance(index, int) and not isinstance(index, bool) and index >= 0
        return cls(
            index=index if counted else None,
            id=call_id if isinstance(call_id, str) and call_id and call_id != borrowed_id else None,
            name=name if isinstance(name, str) and name else None,
            arguments=arguments if isinstance(arguments, str) else "",
        )

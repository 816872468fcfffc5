"""Who may come in: the clients' keys."""

from collections.abc import Mapping, Sequence
from typing import Final

from proxy.config.schema import ClientKey
from proxy.errors import Unauthenticated

_SCHEME: Final = "bearer"
_MISSING: Final = "No API key was given. Send yours as 'Authorization: Bearer KEY'."
_WRONG: Final = "The API key is not one of this server's. Use a key that its operator has given you."


class Keys:
    """The keys of the configuration.

    Args:
        entries: any of them opens; without one, everybody may come in.
    """

    def __init__(self, entries: Sequence[ClientKey]):
        self._entries = tuple(entries)

    @property
    def wanted(self) -> bool:
        """A key is needed; then `Authorization` is between the client and us."""
        return bool(self._entries)

    def check(self, headers: Mapping[str, str]) -> str | None:
        """Return the name that the configuration gives to the client's key; None: it gives none.

        Args:
            headers: of the client's request.

        Raises:
            Unauthenticated: there is no key, or it is not one of ours. The message does not repeat it.
        """
        if not self._entries:
            return None
        scheme, _, presented = headers.get("Authorization", "").strip().partition(" ")
        presented = presented.strip()
        if scheme.lower() != _SCHEME or not presented:
            raise Unauthenticated(_MISSING)
        # All are compared: the time shall not tell which of them matched.
        matching = [entry for entry in self._entries if entry.key.matches(presented)]
        if not matching:
            raise Unauthenticated(_WRONG)
        return matching[0].name

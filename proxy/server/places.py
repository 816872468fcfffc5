"""The places for requests, of which `limits.streams` allows so many."""


class Places:
    """Counts the requests that are being served.

    Attributes:
        taken: how many there are.
    """

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> None:
        """Count a request that comes in."""
        self.taken += 1

    def leave(self) -> None:
        """Count it no more."""
        self.taken -= 1

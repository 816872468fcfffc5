"""What became of a stream."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class StreamReport:
    """What became of a stream.

    Attributes:
        outcome: `complete`, or what the failure is called in logs and metrics; `open` until then.
        repairs: how often each repair acted.
        events_in: events of the upstream's that said something; keep-alives do not count.
        events_out: frames that were returned.
    """

    outcome: str
    events_in: int
    events_out: int
    repairs: dict[str, int] = field(default_factory=dict)

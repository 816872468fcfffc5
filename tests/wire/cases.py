"""The fixtures of streams, and how one is played to the rewriter.

A case is three files: the bytes as the upstream sends them, the bytes as the
client must get them, and a YAML file with the request, the switches, the counts
of repairs, how the upstream ends, and where the bytes come from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import orjson
import yaml

from proxy.errors import UpstreamTimeout, UpstreamTruncated
from proxy.wire.chunk import Origin
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.report import StreamReport
from proxy.wire.requests import Endpoint, Request, read_request
from proxy.wire.rewriter import StreamRewriter

FIXTURES = Path(__file__).parents[2] / "fixtures"
TOKEN = "0123456789abcdefghijklmn"
BEGAN = 1684665888


@cache
def _plan(switches: frozenset[tuple[str, bool]], missing_finish: Literal["error", "stop"]) -> Plan:
    return compile_plan(dict(switches), missing_finish=missing_finish)


@dataclass(frozen=True)
class Case:
    """One fixture of a stream."""

    name: str
    upstream: bytes
    expected: bytes
    facts: dict[str, Any]

    @cached_property
    def request(self) -> Request:
        """The request that the stream answers."""
        told = self.facts["request"]
        endpoint = Endpoint.COMPLETIONS if "chat" not in told["path"] else Endpoint.CHAT
        return read_request(endpoint, orjson.dumps(told["body"]))

    @property
    def plan(self) -> Plan:
        """The repairs as the case switches them."""
        switches = frozenset(self.facts.get("switches", {}).items())
        return _plan(switches, self.facts.get("on_missing_finish", "error"))

    def rewriter(self) -> StreamRewriter:
        """A new rewriter with the case's switches."""
        origin = Origin(TOKEN, BEGAN, mapped=self.facts.get("mapped", False))
        return StreamRewriter(
            self.request, origin, self.plan, event_limit=self.facts.get("event_limit", 1 << 20)
        )

    def play(self, pieces: Iterable[bytes]) -> tuple[bytes, StreamReport]:
        """Feed the pieces, end as the case says, and return what left."""
        rewriter = self.rewriter()
        frames = [frame for piece in pieces for frame in rewriter.receive_data(piece)]
        match self.facts.get("ends", "cleanly"):
            case "cleanly":
                frames += rewriter.receive_eof()
            case "broken":
                frames += rewriter.receive_failure(UpstreamTruncated("The upstream closed the connection."))
            case "silent":
                frames += rewriter.receive_failure(UpstreamTimeout("The upstream sent nothing for 120 s."))
        return b"".join(frames), rewriter.report


def load(upstream: Path) -> Case:
    """Read the case whose upstream bytes are in this file."""
    stem = upstream.name.removesuffix(".upstream.sse")
    expected = upstream.with_name(f"{stem}.expected.sse")
    facts = yaml.safe_load(upstream.with_name(f"{stem}.yaml").read_text("utf-8"))
    return Case(f"{upstream.parent.name}/{stem}", upstream.read_bytes(), expected.read_bytes(), facts)


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case that has an expected stream, in the order of their names."""
    found = sorted(FIXTURES.glob("*/*.upstream.sse"))
    return tuple(
        load(path) for path in found if path.with_name(path.name.replace("upstream", "expected")).exists()
    )

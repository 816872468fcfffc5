"""The fixtures of whole bodies, and how one is played.

A case is three files, as for streams: `.upstream.body` (or `.upstream.sse`, a
stream that answers a request for a body), `.expected.body`, and a YAML file with
the request, the upstream's `status` where it is none of success, the `leaves`
status where an error leaves, the counts of repairs, and the bytes' source.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import yaml

from proxy.errors import UpstreamError, error_body
from proxy.wire.bodies import reported_error, rewrite_body
from proxy.wire.chunk import Origin
from proxy.wire.convert import StreamFolder
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.requests import Endpoint, Request, read_request
from tests.wire.cases import BEGAN, FIXTURES, TOKEN

ENDPOINTS = {
    "chat/completions": Endpoint.CHAT,
    "completions": Endpoint.COMPLETIONS,
    "edits": Endpoint.EDITS,
    "embeddings": Endpoint.EMBEDDINGS,
    "models": Endpoint.MODELS,
}


@dataclass(frozen=True)
class BodyCase:
    """One fixture of a whole body."""

    name: str
    upstream: bytes
    expected: bytes
    facts: dict[str, Any]
    is_stream: bool = False

    @property
    def request(self) -> Request:
        """The request that the body answers."""
        told = self.facts["request"]
        path = told["path"].removeprefix("/v1/")
        if path.startswith("models"):
            return Request(Endpoint.MODELS, model=path.removeprefix("models").strip("/") or None)
        return read_request(ENDPOINTS[path], orjson.dumps(told["body"]))

    @property
    def plan(self) -> Plan:
        """The plan with the case's switches."""
        return compile_plan(self.facts.get("switches", {}))

    @property
    def origin(self) -> Origin:
        """The token and the time of all fixtures."""
        return Origin(TOKEN, BEGAN, mapped=self.facts.get("mapped", False))

    @property
    def is_error(self) -> bool:
        """What leaves is an error."""
        return "leaves" in self.facts

    def play(self, pieces: Iterable[bytes]) -> tuple[bytes, int, dict[str, int]]:
        """Return what leaves for the pieces, its status, and the counts of repairs."""
        status = self.facts.get("status", 200)
        if status >= 400:
            content_type = self.facts.get("content_type", "application/json")
            error, counts = reported_error(status, content_type, b"".join(pieces))
            return orjson.dumps(error_body(error)), error.status, counts
        try:
            return self._answer(pieces)
        except UpstreamError as failure:
            return orjson.dumps(error_body(failure)), failure.status, dict(failure.repairs)

    def _answer(self, pieces: Iterable[bytes]) -> tuple[bytes, int, dict[str, int]]:
        if not self.is_stream:
            content_type = self.facts.get("content_type", "")
            out, counts = rewrite_body(b"".join(pieces), self.request, self.origin, self.plan, content_type)
            return out, 200, counts
        folder = StreamFolder(self.request, self.origin, self.plan)
        for piece in pieces:
            folder.receive_data(piece)
        out = folder.receive_eof()
        return out, 200, folder.repairs


def load(expected: Path) -> BodyCase:
    """Read the case whose expected body is in this file."""
    stem = expected.name.removesuffix(".expected.body")
    stream = expected.with_name(f"{stem}.upstream.sse")
    upstream = stream if stream.exists() else expected.with_name(f"{stem}.upstream.body")
    facts = yaml.safe_load(expected.with_name(f"{stem}.yaml").read_text("utf-8"))
    name = f"{expected.parent.name}/{stem}"
    return BodyCase(name, upstream.read_bytes(), expected.read_bytes(), facts, is_stream=upstream == stream)


@cache
def all_bodies() -> tuple[BodyCase, ...]:
    """Every case that has an expected body, in the order of their names."""
    return tuple(load(path) for path in sorted(FIXTURES.glob("*/*.expected.body")))

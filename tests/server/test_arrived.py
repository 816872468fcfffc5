"""Answers that come whole in one read: what becomes of them is what becomes of those that come bit by bit.

The first answer of each kind is one of these, for its head is not known yet.
"""

from typing import Any

import pytest

from proxy.server.upstreams.direct_answer import ArrivedAnswer
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, chunk
from tests.server.operating import logging
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, TWO, WHOLE, event, serves

IDENTITY = b'"id":"1","created":1684665888,"model":"m",'
ERROR = b'data: {"error":{"message":"Out of memory.","type":"server_error","code":null}}\n\n'
LIMIT = 1000
STREAMS = {
    "whole": WHOLE,
    "without-done": WHOLE[:-1],
    "in-one-chunk": [b"".join(WHOLE)],
    "without-a-finish": [ROLE, ONE],
    "of-nothing": [],
    "of-blanks": [b"\n\n"],
    "an-error": [ERROR],
    "an-error-in-the-middle": [ROLE, ONE, ERROR, TWO],
    "more-after-the-end": [*WHOLE, ONE],
    "half-an-event": [ROLE, ONE, TWO[:-9]],
    "too-much": [ROLE, event("x" * LIMIT), STOP, DONE],
    "no-events": [b"{%b" % IDENTITY + b'"choices":[{"message":{"content":"Hi."},"finish_reason":"stop"}]}'],
    "to-be-repaired": [
        b"event: data\n\ndata: {%b" % IDENTITY + b'"choices":[{"delta":{"content":"1"}}]}\n\n\n',
        DONE,
    ],
}
ANSWERS = {name: STREAM_HEAD + b"".join(map(chunk, stream)) + LAST_CHUNK for name, stream in STREAMS.items()}
ANSWERS |= {
    "a-status": STREAM_HEAD.replace(b"200 OK", b"503 Busy") + chunk(b'{"error":"Busy."}') + LAST_CHUNK,
    "elsewhere": STREAM_HEAD.replace(b"200 OK", b"307 Later") + chunk(b"There.") + LAST_CHUNK,
    "more-than-a-body": ANSWERS["whole"] + b"HTTP/1.1 200 OK\r\n",
    "trailers": ANSWERS["whole"].removesuffix(b"\r\n") + b"A: b\r\n\r\n",
}
ASKS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "stream": ("POST", PATH, QUESTION),
    "whole": ("POST", PATH, QUESTION | {"stream": False}),
    "passed": ("GET", "/v1/responses/1", None),
}


async def read(client: PlainClient) -> tuple[int, list[tuple[str, str]], object]:
    """Return status, fields and body of a response, but for what is another each time."""
    head = await client.head()
    body = await client.body(head) if "content-length" in head.headers else await client.chunks()
    return head.status, [field for field in head.fields if field[0] not in ("date", "x-request-id")], body


def told(line: dict[str, Any]) -> dict[str, Any]:
    """Return what the log tells of a request, but for what is another each time."""
    another = {"timestamp", "request_id", "seconds", "first_event_seconds"}
    assert ("first_event_seconds" in line) == bool(line.get("events_in"))
    return {key: value for key, value in line.items() if key not in another}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_it_becomes_what_becomes_of_others(answer, ask, monkeypatch):
    arrived: list[bytes] = []
    begin = ArrivedAnswer.__init__

    def noting(self: ArrivedAnswer, *arguments: Any) -> None:
        begin(self, *arguments)
        arrived.append(self.arrived)

    monkeypatch.setattr(ArrivedAnswer, "__init__", noting)
    async with logging(serves(answer), limits={"event": LIMIT}) as (log, _, client):
        responses = []
        for _ in range(3):
            await client.request(*ASKS[ask])
            responses.append(await read(client))

    assert len(arrived) == 2
    assert responses[0] == responses[1] == responses[2]
    first, *others = map(told, log.lines("request"))
    assert others == [first, first]

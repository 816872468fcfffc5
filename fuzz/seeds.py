"""What a search begins with: the fixtures, before which stand the facts that their targets read."""

from pathlib import Path
from typing import Final

from fuzz.targets import TARGETS
from proxy.wire.requests import Endpoint

ROOT: Final = Path(__file__).parents[1]
FIXTURES: Final = ROOT / "fixtures"
#: Inputs that broke a promise once, by target.
FOUND: Final = ROOT / "fuzz" / "found"
#: A stream of more bytes takes long to change, and says no more.
_LONGEST: Final = 4096


def seeds(target: str) -> list[bytes]:
    """Return the first inputs of a target, the ones that have been found last."""
    begun = {
        "parser": [b"\2\3\11" + stream for stream in _streams()],
        "rewriter": [b"\0\1\0\2\3\11" + stream for stream in _streams()],
        "folder": [b"\0\1\0\2\3\11" + stream for stream in _streams()],
        "bodies": [
            bytes([0, 1, place]) + body
            for place in range(len(Endpoint))  # what is right at one may be anything at another
            for body in _files("*.upstream.body")
        ],
        "chunks": [b"\2\1\4" + chunks for chunks in _CHUNKS],
        "requests": [b"\0" + request for request in _REQUESTS],
        "configuration": [(ROOT / "config.example.yaml").read_bytes(), *_CONFIGURATIONS],
        "paths": [b"v1/chat/completions", b"v1/%2e%2e/x", b"..;a/..%5c", b"a/./../b?../.."],
    }
    return begun[target] + [file.read_bytes() for file in sorted(FOUND.glob(f"{target}-*"))]


def _streams() -> list[bytes]:
    return _files("*.upstream.sse")


def _files(pattern: str) -> list[bytes]:
    return [file.read_bytes()[:_LONGEST] for file in sorted(FIXTURES.rglob(pattern))]


_CHUNKS: Final = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;a=b\r\nhello\r\n00\r\nX: y\r\n\r\n",
    b"A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
]
_REQUESTS: Final = [
    b'{"model":"gpt-4","stream":true,"messages":[{"role":"user","content":"Hi"}]}',
    b'{"mod\\u0065l":"a","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto"}',
    b'{"messages":[{"role":"developer","content":[{"type":"text","text":"a"}]}],"max_completion_tokens":5}',
    b'{"model":"e","input":["a",["b"]],"encoding_format":"base64"}',
]
_CONFIGURATIONS: Final = [
    b"upstreams: {a: {url: http://x, timeouts: {idle: 2m}}}\nmodels: {'*': {upstream: a}}\n",
    b"upstreams: &x {a: *x}\nlimits: {event: 1MiB}\nclients: {api_keys: [a, ${A}, {name: b, key: c}]}\n",
]

if set(TARGETS) != {"parser", "rewriter", "folder", "bodies", "chunks", "requests", "configuration", "paths"}:
    raise RuntimeError("a target has no seeds")

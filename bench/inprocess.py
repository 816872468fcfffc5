"""What is done before any socket costs: the parser, the rewriter on both of its roads, a whole short stream,
one stream's memory, and another model's name in a request with images.

    python -m bench.inprocess [--json FILE] [--rounds N]

Each figure is processor time of this process, in µs a frame, a stream or a megabyte: the median of the
rounds, and the least. The rounds of all rows alternate, so that whatever else runs on the machine falls on
each of them.
"""

import argparse
import json
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import orjson

from proxy.wire.chunk import Origin
from proxy.wire.chunked import ChunkedDecoder
from proxy.wire.model_name import rename_model
from proxy.wire.plan import compile_plan
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from proxy.wire.wrapping import QuickDecoder

FRAMES = 6000
SHORT = 600
MANY = 100
STREAMS = 500
PLAN = compile_plan()
CHAT = Request(Endpoint.CHAT, model="ggml-gpt4all-j", stream=True)
ORIGIN = Origin("0123456789abcdefghijklmn", 1684665888, mapped=False)
WORDS = [" one", " two", ",", " wire", "\\n", " straight", " é", " it", " adds", " nothing", ".", " 12"]

#: A frame as OpenAI writes it, and as LocalAI wrote it in May 2023: all in one read, with its empty event.
COMPLIANT = (
    'data: {"id":"chatcmpl-0123456789abcdefghijklmn","object":"chat.completion.chunk","created":1684665888,'
    '"model":"ggml-gpt4all-j","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
)
LOCALAI = (
    'event: data\n\ndata: {"object":"chat.completion.chunk","model":"ggml-gpt4all-j",'
    '"choices":[{"delta":{"role":"assistant","content":"%s"}}],'
    '"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\n\n'
)

#: How the streams of both end.
LAST = {
    COMPLIANT: (COMPLIANT % "").replace('"content":""', "").replace("null}]", '"stop"}]')
    + "data: [DONE]\n\n",
    LOCALAI: 'event: data\n\ndata: {"model":"ggml-gpt4all-j","choices":[{"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\n',
}

#: A request with images in base64, of so many megabytes, under a name that the upstream does not know.
MEGABYTES = 20

Measure = Callable[[], float]


def stream_of(form: str, count: int = FRAMES) -> list[bytes]:
    """The frames of one stream: a role first where the form has none of its own."""
    frames = [(form % word).encode() for word in islice(cycle(WORDS), count)]
    role = (COMPLIANT % "").replace('"content":""', '"role":"assistant"').encode()
    return [role, *frames] if form is COMPLIANT else frames


def together(frames: list[bytes], count: int) -> list[bytes]:
    """The same bytes, `count` frames a read."""
    return [b"".join(frames[place : place + count]) for place in range(0, len(frames), count)]


def feeding(make: Callable[[], Callable[[bytes], object]], reads: list[bytes]) -> Measure:
    """Measure what all reads cost a fresh consumer, in µs a frame."""

    def measure() -> float:
        take = make()
        began = time.process_time_ns()
        for data in reads:
            take(data)
        return (time.process_time_ns() - began) / FRAMES / 1000

    return measure


def decoding() -> Callable[[bytes], object]:
    return QuickDecoder(1 << 20).feed


def rewriting(*, splice: bool) -> Callable[[], Callable[[bytes], object]]:
    return lambda: StreamRewriter(CHAT, ORIGIN, PLAN, splice=splice).receive_data


def passing_on() -> Callable[[bytes], bytes]:
    """The road of a frame from the upstream's HTTP chunk to the client's, where one read brings one."""
    rewriter, chunks = StreamRewriter(CHAT, ORIGIN, PLAN), ChunkedDecoder()

    def take(read: bytes) -> bytes:
        shortcut = rewriter.shortcut()
        taken = None if shortcut is None else shortcut.take(read)
        return taken or b"".join(map(as_chunk, rewriter.receive_data(chunks.feed(read))))

    return take


def as_chunk(data: bytes) -> bytes:
    """These bytes as an HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def one_word(form: str) -> bytes:
    """A whole stream that says one word."""
    return b"".join(stream_of(form, 1)) + LAST[form].encode()


def answering(form: str) -> Measure:
    """Measure what a whole answer of one word costs, all in one read, in µs a stream."""
    read = one_word(form)

    def measure() -> float:
        began = time.process_time_ns()
        for _ in range(SHORT):
            rewriter = StreamRewriter(CHAT, ORIGIN, PLAN)
            rewriter.receive_data(read)
            if not rewriter.ended:
                rewriter.receive_eof()
            _ = rewriter.report
        return (time.process_time_ns() - began) / SHORT / 1000

    return measure


def streams() -> dict[str, Measure]:
    """Every row of the table of whole streams, by its name."""
    return {f"a stream of one word, {name}": answering(form) for name, form in FORMS.items()}


def rows() -> dict[str, Measure]:
    """Every row of the table, by its name."""
    plain, localai = stream_of(COMPLIANT), stream_of(LOCALAI)
    data = [frame[6:-2] for frame in plain]
    found: dict[str, Measure] = {"orjson.loads": feeding(lambda: orjson.loads, data)}
    for name, frames in {"compliant": plain, "LocalAI 2023": localai}.items():
        for count in (1, MANY):
            reads = together(frames, count)
            found[f"parser, {name}, {count} a read"] = feeding(decoding, reads)
            found[f"rewriter, {name}, {count} a read"] = feeding(rewriting(splice=False), reads)
            found[f"with splice, {name}, {count} a read"] = feeding(rewriting(splice=True), reads)
        found[f"from chunk to chunk, {name}, 1 a read"] = feeding(passing_on, list(map(as_chunk, frames)))
    return dict(sorted(found.items(), key=lambda row: row[0].split(",")[0] != "orjson.loads"))


def request_with_images() -> bytes:
    """A chat whose message holds images; the model's name stands last, as in some clients."""
    url = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAEA" * 35_715
    images = [{"type": "image_url", "image_url": {"url": url}} for _ in range(MEGABYTES)]
    asked = {"messages": [{"role": "user", "content": images}], "stream": True, "model": "gpt-4"}
    return json.dumps(asked).encode()


def renaming(rename: Callable[[bytes], object]) -> Measure:
    """Measure what another model's name costs, in µs a megabyte."""
    body = request_with_images()

    def measure() -> float:
        began = time.process_time_ns()
        rename(body)
        return (time.process_time_ns() - began) / (len(body) / 1e6) / 1000

    return measure


def written_anew(body: bytes) -> bytes:
    """What a gateway does that parses a request and writes it again."""
    asked = orjson.loads(body)
    asked["model"] = "ggml"
    return orjson.dumps(asked)


def requests() -> dict[str, Measure]:
    """Every row of the table of requests, by its name."""
    return {
        "model renamed in its bytes": renaming(lambda body: rename_model(body, "ggml")),
        "parsed and written anew, orjson": renaming(written_anew),
        "parsed and written anew, json": renaming(lambda body: json.dumps(json.loads(body)).encode()),
    }


def memory(form: str) -> float:
    """KiB that one open stream's rewriter holds after a few frames."""
    frames = stream_of(form)[:20]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    rewriters = [StreamRewriter(CHAT, ORIGIN, PLAN) for _ in range(STREAMS)]
    for rewriter in rewriters:
        for frame in frames:
            rewriter.receive_data(frame)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / STREAMS / 1024


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--rounds", type=int, default=7, help="rounds for each row (7)")
    given = parser.parse_args()

    measures = rows() | streams() | requests()
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(given.rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    held = {f"memory, {name}": memory(form) for name, form in FORMS.items()}

    print(f"Python {platform.python_version()}, {FRAMES} frames, {given.rounds} rounds")
    print(f"{'µs of processor time a frame':44}{'median':>8}{'least':>8}")
    titles = {next(iter(streams())): "µs a stream", next(iter(requests())): "µs a megabyte of a request"}
    for name, times in taken.items():
        if name in titles:
            print(f"{titles[name]:44}{'median':>8}{'least':>8}")
        print(f"{name:44}{statistics.median(times):8.2f}{min(times):8.2f}")
    for name, kib in held.items():
        print(f"{name + ', KiB a stream':44}{kib:8.2f}")
    if given.json:
        figures = {name: {"median": statistics.median(t), "least": min(t)} for name, t in taken.items()}
        given.json.write_text(json.dumps({"python": platform.python_version(), "us": figures, "kib": held}))


FORMS = {"compliant": COMPLIANT, "LocalAI 2023": LOCALAI}

if __name__ == "__main__":
    main()

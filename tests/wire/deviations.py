"""Streams that deviate: a compliant answer, and any subset of the deviations that servers are known for.

`deviant` draws a stream together with what it means. Each deviation leaves the meaning decidable; where
two of them together would not, `settle` takes one away.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

from proxy.wire.requests import Endpoint, Request

FUNCTIONS = ["get_weather", "search", "add"]
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

#: What can be wrong, and how. At most one of each row.
DEVIATIONS = {
    "id": ["missing", "null", "empty", "number", "changing"],
    "object": ["missing", "null", "wrong", "whole"],
    "created": ["missing", "null", "zero", "float", "string", "milliseconds", "changing"],
    "model": ["missing", "null", "empty", "changing"],
    "choices": ["object", "null entry"],
    "index": ["missing", "null", "counter", "string", "float"],
    "role": ["everywhere", "missing", "null", "empty", "foreign", "beside"],
    "delta": ["string", "message", "message beside", "text", "parts"],
    "last delta": ["null", "missing", "empty content", "null content"],
    "blank": ["null content", "empty content", "empty"],
    "open finish": ["missing", "empty", "null word", "everywhere"],
    "finish": ["foreign", "beside", "absent", "repeated", "stop", "without calls"],
    "usage": ["zeros", "growing", "in choice", "absent", "unasked", "partial", "null"],
    "call id": ["missing", "null", "empty", "number", "repeated", "shared", "completion's"],
    "call index": ["missing", "null", "zero", "one-based"],
    "call name": ["repeated", "empty", "null"],
    "call type": ["missing", "repeated"],
    "arguments": ["object", "null", "missing"],
    "calls": ["together", "object", "unwrapped", "null", "empty"],
    "line end": ["CRLF", "CR"],
    "blank lines": ["missing", "surplus"],
    "data": ["no space", "many lines"],
    "noise": ["event: data", "event: message", "comment", "id", "retry", "empty data", "ping", "foreign"],
    "start": ["BOM", "blank line"],
    "end": ["no blank line", "no line end"],
    "done": ["missing", "twice", "bare", "lower case", "followed"],
    "body": ["NDJSON"],
}
ALL = [(kind, form) for kind, forms in DEVIATIONS.items() for form in forms]
FOREIGN_REASONS = {
    "stop": "eos_token",
    "length": "MAX_TOKENS",
    "tool_calls": "tool_use",
    "content_filter": "SAFETY",
}
LINE_ENDS = {"CRLF": b"\r\n", "CR": b"\r"}
NOISE = {
    "event: data": b"event: data\n\n",
    "event: message": b"event: message\n",
    "comment": b": PROCESSING\n\n",
    "id": b"id: 7\n",
    "retry": b"retry: 3000\n",
    "empty data": b"data:\n\n",
    "ping": b"data: ping\n\n",
    "foreign": b'data: {"type":"ping"}\n\n',
}


@dataclass
class Meant:
    """What one choice means to say."""

    texts: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: str = "stop"


@dataclass
class Mark:
    """What the upstream has said once `end` bytes of its stream have come."""

    end: int
    finished: list[int]
    done: bool


@dataclass
class Deviant:
    """A stream that deviates, and what it means."""

    request: Request
    wrong: dict[str, str]
    stream: bytes
    choices: dict[int, Meant]
    usage: dict[str, int]
    marks: list[Mark]

    def __repr__(self) -> str:
        return f"Deviant({self.wrong}, {self.request},\n{self.stream!r})"


@dataclass
class Step:
    """One chunk to be: what it says of one choice."""

    index: int
    delta: dict[str, Any]
    finish: str | None = None


texts = st.text(min_size=1, max_size=6) | st.sampled_from(
    ["data: [DONE]\n\n", "\u2028", "{", '"', "é😀", "\\", "\r\n"]
)
arguments = st.dictionaries(
    st.text(max_size=3),
    st.integers(-9, 99) | st.text(max_size=3) | st.lists(st.none(), max_size=2),
    max_size=3,
)


@st.composite
def deviant(draw: st.DrawFn, *, compliant: bool = False) -> Deviant:
    """Draw a stream with any subset of the deviations, or with none."""
    wrong = {} if compliant else dict(draw(st.lists(st.sampled_from(ALL), max_size=10)))
    n = draw(st.sampled_from([1, 1, 2, 3]))
    request = Request(
        endpoint=Endpoint.CHAT,
        model=draw(st.sampled_from(["gpt-4", None])),
        stream=True,
        include_usage=draw(st.booleans()),
        choices=n,
        tools=draw(st.sampled_from([None, frozenset(FUNCTIONS)])),
    )
    chooser = draw(st.randoms(use_true_random=False))
    settle(wrong, request)
    choices: dict[int, Meant] = {}
    queues = []
    for index in range(n):
        meant, steps = draw(one_choice(index, request, wrong))
        choices[index] = meant
        queues.append(steps)
    steps = list(interleaved(queues, chooser))
    chunks = [
        dressed(step, place, len(steps), request=request, wrong=wrong, chooser=chooser)
        for place, step in enumerate(steps)
    ]
    finishes = [[step.index] if step.finish else [] for step in steps]
    usage = trailer(chunks, request, wrong)
    finishes += [[]] * (len(chunks) - len(finishes))
    stream, marks = framed(chunks, finishes, wrong, chooser)
    return Deviant(request, wrong, stream, choices, usage, marks)


def settle(wrong: dict[str, str], request: Request) -> None:
    """Take away what would leave the meaning open."""
    if request.choices > 1:
        settle_between_choices(wrong)
    if wrong.get("finish") == "absent" and wrong.get("done") == "missing":
        del wrong["done"]  # nothing would say that the answer is whole
    if wrong.get("open finish") == "everywhere" and wrong.get("finish") == "absent":
        del wrong["finish"]
    if wrong.get("body") == "NDJSON":
        for kind in ("line end", "blank lines", "data", "noise", "start"):
            wrong.pop(kind, None)
    if wrong.get("data") == "many lines" and (wrong.get("blank lines") == "missing" or "end" in wrong):
        del wrong["data"]  # where does an event end?
    if wrong.get("call id") == "completion's" and wrong.get("usage") in ("zeros", "growing"):
        # So speaks LocalAI where it sends a call again and again; then a name beside arguments is a call.
        for kind in ("call name", "calls"):
            wrong.pop(kind, None)
    if wrong.get("call id") == "completion's" and wrong.get("id") in ("missing", "null", "empty", "number"):
        del wrong["call id"]


def settle_between_choices(wrong: dict[str, str]) -> None:
    """Take away what would leave open which of several choices is meant."""
    if wrong.get("index") in ("missing", "null", "counter"):
        del wrong["index"]  # which choice is meant?
    if wrong.get("finish") == "repeated":
        del wrong["finish"]  # it might be another choice's
    if wrong.get("open finish") == "everywhere":
        del wrong["open finish"]  # whether a choice is over then only shows at the end
    if wrong.get("choices") == "object":
        del wrong["choices"]


@st.composite
def one_choice(
    draw: st.DrawFn, index: int, request: Request, wrong: dict[str, str]
) -> tuple[Meant, list[Step]]:
    """Draw what a choice says, and the chunks in which it says it."""
    meant = Meant()
    steps = [Step(index, {"role": "assistant", "content": ""})]
    reasoning = draw(st.sampled_from(["reasoning", "reasoning_content"]))
    for key, pieces in (
        (reasoning, draw(st.lists(texts, max_size=2))),
        ("content", draw(st.lists(texts, max_size=3))),
        ("refusal", draw(st.lists(texts, max_size=1))),
    ):
        for piece in pieces:
            meant.texts[key] = meant.texts.get(key, "") + piece
            steps.append(Step(index, {key: piece}))
    if request.tools is not None:
        calls = draw(st.lists(st.tuples(st.sampled_from(FUNCTIONS), arguments), max_size=3))
        for name, value in calls:
            written = json.dumps(value, ensure_ascii=draw(st.booleans()))
            if wrong.get("arguments") == "object":
                written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            meant.calls.append((name, written))
        if not wrong:  # what a model writes as arguments need not be JSON
            calls = draw(
                st.lists(st.tuples(st.sampled_from(FUNCTIONS), st.text('{}[]"\\ ,1', max_size=8)), max_size=3)
            )
            meant.calls += calls
        steps += call_steps(index, meant.calls, wrong, draw(st.randoms(use_true_random=False)))
    meant.finish = (
        "tool_calls" if meant.calls else draw(st.sampled_from(["stop", "length", "content_filter"]))
    )
    if wrong.get("finish") in ("absent", "without calls", "stop") and not meant.calls:
        meant.finish = "stop"
    steps.append(Step(index, {}, finish=meant.finish))
    return meant, [step for step in with_roles(steps, wrong) if step is not None]


def call_steps(
    index: int, calls: list[tuple[str, str]], wrong: dict[str, str], chooser: Random
) -> Iterator[Step]:
    """The fragments of all calls, one call after the other."""
    whole = wrong.get("calls") == "together" or wrong.get("arguments") == "object"
    wires: list[list[dict[str, Any]]] = []
    for place, (name, written) in enumerate(calls):
        if whole:
            pieces = [written]
        else:
            at = sorted(chooser.choices(range(len(written) + 1), k=chooser.choice([0, 1, 2, 4])))
            pieces = [written[start:end] for start, end in zip([0, *at], [*at, len(written)], strict=True)]
            if wrong.get("call id") == "completion's" or chooser.random() < 0.5:
                pieces.insert(0, "")
        if not whole and wrong.get("arguments") in ("null", "missing"):
            pieces.insert(0, "")
        wires.append(
            [
                call_wire(index, place, name, piece, opening=part == 0, wrong=wrong)
                for part, piece in enumerate(pieces)
            ]
        )
    if wrong.get("calls") == "together":
        if wires:
            yield Step(index, {"tool_calls": [wire for call in wires for wire in call]})
        return
    for call in wires:
        for wire in call:
            yield Step(index, {"tool_calls": wire if wrong.get("calls") == "object" else [wire]})


def call_wire(
    index: int, place: int, name: str, piece: str, *, opening: bool, wrong: dict[str, str]
) -> dict[str, Any]:
    """One fragment of a call, with what is wrong about it."""
    wire: dict[str, Any] = {"index": place}
    put(wire, "index", wrong.get("call index"), {"null": None, "zero": 0, "one-based": place + 1})
    form = wrong.get("call id")
    if form in ("null", "empty"):
        wire["id"] = {"null": None, "empty": ""}[form]
    elif form == "completion's":
        wire["id"] = "completion's"  # filled in where the chunk's id is known
    elif form != "missing" and (opening or form in ("repeated", "shared")):
        number = 100 * index + (0 if form == "shared" else place)
        wire["id"] = number if form == "number" else f"call_{number}"
    if (opening and wrong.get("call type") != "missing") or wrong.get("call type") == "repeated":
        wire["type"] = "function"
    function: dict[str, Any] = {"name": name} if opening or wrong.get("call name") == "repeated" else {}
    if not opening and wrong.get("call name") in ("empty", "null"):
        function["name"] = "" if wrong["call name"] == "empty" else None
    match wrong.get("arguments"):
        case "object":
            function["arguments"] = json.loads(piece)
        case "null" if not piece:
            function["arguments"] = None
        case "missing" if not piece:
            pass
        case _:
            function["arguments"] = piece
    return wire | function if wrong.get("calls") == "unwrapped" else {**wire, "function": function}


def with_roles(steps: list[Step], wrong: dict[str, str]) -> Iterator[Step]:
    first, *rest = steps
    match wrong.get("role"):
        case "missing":
            first.delta.pop("role")
        case "foreign":
            first.delta["role"] = "model"
        case "beside" if rest[0].delta:
            rest[0].delta["role"] = "assistant"
            yield from rest
            return
        case "everywhere" | "null" | "empty" as form:
            role = {"everywhere": "assistant", "null": None, "empty": ""}[form]
            for step in rest:
                step.delta["role"] = role
            if form != "everywhere":
                first.delta["role"] = role
    blank = {"null content": {"content": None}, "empty content": {"content": ""}, "empty": {}}
    yield first
    for step in rest:
        if "blank" in wrong:
            yield Step(step.index, dict(blank[wrong["blank"]]))
        if step.finish and wrong.get("finish") == "absent":
            return
        if not step.finish and wrong.get("finish") == "beside" and step is rest[-2]:
            step.finish = rest[-1].finish
            yield step
            return
        yield step
    if wrong.get("finish") == "repeated":
        yield Step(first.index, {}, finish=rest[-1].finish)


def interleaved(queues: list[list[Step]], chooser: Random) -> Iterator[Step]:
    while any(queues):
        queue = chooser.choice([queue for queue in queues if queue])
        yield queue.pop(0)


def dressed(
    step: Step, place: int, size: int, *, request: Request, wrong: dict[str, str], chooser: Random
) -> dict[str, Any]:
    """Make the chunk of a step, with what is wrong about it."""
    chunk: dict[str, Any] = {
        "id": "chatcmpl-AbCdEf",
        "object": "chat.completion.chunk",
        "created": 1684665888,
        "model": "ggml-gpt4all-j",
        "choices": [],
    }
    envelope(chunk, place, wrong, chooser)
    choice: dict[str, Any] = {"index": step.index, "delta": step.delta, "finish_reason": step.finish}
    for call in calls_of(step.delta):
        if call.get("id") == "completion's":
            call["id"] = chunk["id"]
    finish(choice, step, wrong)
    delta(choice, step, wrong)
    indices = {"null": None, "counter": place, "string": str(step.index), "float": float(step.index)}
    put(choice, "index", wrong.get("index"), indices)
    match wrong.get("choices"):
        case "object":
            chunk["choices"] = choice
        case "null entry":
            chunk["choices"] = [choice, None]
        case _:
            chunk["choices"] = [choice]
    if request.include_usage or wrong.get("usage") == "null":
        chunk["usage"] = None
    match wrong.get("usage"):
        case "zeros":
            chunk["usage"] = ZEROS
        case "growing":
            part = place + 1 if place + 1 < size else USAGE["completion_tokens"]
            chunk["usage"] = {"prompt_tokens": 9, "completion_tokens": part, "total_tokens": 9 + part}
        case "in choice" if place + 1 == size:
            choice["usage"] = USAGE
        case "absent":
            chunk.pop("usage", None)
    return chunk


def calls_of(delta: dict[str, Any]) -> list[dict[str, Any]]:
    calls = delta.get("tool_calls") or []
    return [calls] if isinstance(calls, dict) else calls


def put(value: dict[str, Any], key: str, form: str | None, forms: dict[str, Any]) -> None:
    """Put the wrong form of a key in the place of the right one, or take the key away."""
    if form == "missing":
        del value[key]
    elif form is not None:
        value[key] = forms[form]


def envelope(chunk: dict[str, Any], place: int, wrong: dict[str, str], chooser: Random) -> None:
    forms: dict[str, dict[str, Any]] = {
        "id": {"null": None, "empty": "", "number": 7, "changing": f"chatcmpl-{place}"},
        "object": {"null": None, "wrong": "chat.completions.chunk", "whole": "chat.completion"},
        "created": {
            "null": None,
            "zero": 0,
            "float": 1684665888.25,
            "string": "1684665888",
            "milliseconds": 1684665888123,
            "changing": 1684665888 + place,
        },
        "model": {"null": None, "empty": "", "changing": f"model-{place}"},
    }
    sometimes = chooser.random() < 0.5
    for key, values in forms.items():
        form = wrong.get(key)
        if form is None or (sometimes and chooser.random() < 0.5):
            continue
        put(chunk, key, form, values)


def finish(choice: dict[str, Any], step: Step, wrong: dict[str, str]) -> None:
    if step.finish:
        match wrong.get("finish"):
            case "foreign":
                choice["finish_reason"] = FOREIGN_REASONS[step.finish]
            case "stop" if step.finish == "tool_calls":
                choice["finish_reason"] = "stop"
            case "without calls" if step.finish == "stop":
                choice["finish_reason"] = "tool_calls"
        return
    match wrong.get("open finish"):
        case "missing":
            del choice["finish_reason"]
        case "empty":
            choice["finish_reason"] = ""
        case "null word":
            choice["finish_reason"] = "null"
        case "everywhere":
            choice["finish_reason"] = "stop"


def delta(choice: dict[str, Any], step: Step, wrong: dict[str, str]) -> None:
    only_text = step.delta.keys() == {"content"} and isinstance(step.delta["content"], str)
    if wrong.get("calls") in ("null", "empty") and "tool_calls" not in step.delta and not only_text:
        step.delta["tool_calls"] = None if wrong["calls"] == "null" else []
    match wrong.get("delta"):
        case "string" if only_text:
            choice["delta"] = step.delta["content"]
        case "text" if only_text:
            choice["text"] = choice.pop("delta")["content"]
        case "parts" if only_text:
            choice["delta"] = {"content": [{"type": "text", "text": step.delta["content"]}]}
        case "message":
            choice["message"] = choice.pop("delta")
        case "message beside":
            choice["message"] = dict(step.delta)
    if step.finish and not step.delta:
        match wrong.get("last delta"):
            case "null":
                choice["delta"] = None
            case "missing":
                choice.pop("delta", None)
            case "empty content":
                choice["delta"] = {"content": ""}
            case "null content":
                choice["delta"] = {"content": None}


def trailer(chunks: list[dict[str, Any]], request: Request, wrong: dict[str, str]) -> dict[str, int]:
    """Add the usage chunk where it is due, or is not, and return the usage that is meant."""
    form = wrong.get("usage")
    if form in ("growing", "in choice"):
        return USAGE
    if form == "absent" or not (request.include_usage or form == "unasked"):
        return ZEROS
    usage = {key: USAGE[key] for key in ("prompt_tokens", "total_tokens")} if form == "partial" else USAGE
    chunks.append({**chunks[-1], "choices": [], "usage": usage})
    return USAGE


def framed(
    chunks: list[dict[str, Any]], finishes: list[list[int]], wrong: dict[str, str], chooser: Random
) -> tuple[bytes, list[Mark]]:
    """Write the stream, and note where it has said what."""
    stream = bytearray()
    marks = []
    line_end = LINE_ENDS.get(wrong.get("line end", ""), b"\n")
    field = b"data:" if wrong.get("data") == "no space" else b"data: "
    bare = wrong.get("body") == "NDJSON"
    blank = {"missing": 0, "surplus": 3}.get(wrong.get("blank lines", ""), 1)
    stream += {"BOM": b"\xef\xbb\xbf", "blank line": b"\n"}.get(wrong.get("start", ""), b"")

    def write(data: bytes, finished: list[int], done: bool = False, *, field: bytes = field) -> None:
        if "noise" in wrong and chooser.random() < 0.5:
            stream.extend(NOISE[wrong["noise"]].replace(b"\n", line_end))
        lines = data.split(b"\n")
        stream.extend(b"" if bare else line_end.join(field + line for line in lines))
        stream.extend(data if bare else b"")
        marks.append(Mark(len(stream), finished, done))
        stream.extend(b"\n" if bare else line_end * (1 + blank))

    for chunk, finished in zip(chunks, finishes, strict=True):
        indent = 1 if wrong.get("data") == "many lines" else None
        write(json.dumps(chunk, ensure_ascii=chooser.random() < 0.5, indent=indent).encode(), finished)
    match wrong.get("done"):
        case "missing":
            pass
        case "twice":
            write(b"[DONE]", [], True)
            write(b"[DONE]", [], True)
        case "bare":
            write(b"[DONE]", [], True, field=b"")
        case "lower case" if not bare:
            write(b"[done]", [], True)
        case "followed":
            write(b"[DONE]", [], True)
            write(json.dumps(chunks[0]).encode(), [])
        case _:
            write(b"[DONE]", [], True)
    match wrong.get("end"):
        case "no line end":
            del stream[marks[-1].end :]
        case "no blank line":
            del stream[marks[-1].end + len(line_end) :]
    return bytes(stream), marks

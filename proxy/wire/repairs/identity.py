"""id, object, created, model: present, right, and the same in every chunk.

They run only on a chunk that does not bear the stream's identity already.
"""

from typing import Any

from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.moments import seconds
from proxy.wire.repairs.entry import FORM, KEPT, REPAIRED, Outcome, Scope, repair


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


@repair(
    "missing-id",
    scope=Scope.ENVELOPE,
    watches="id",
    basis=FORM,
    wrong='data: {"object":"chat.completion.chunk","choices":[…]}',
    right='data: {"id":"chatcmpl-…","object":"chat.completion.chunk",…}',
    breaks="async-openai, openai-api-rs, Zed: missing field `id`; ChatDev: KeyError",
    sources=("LocalAI#340", "LocalAI#1103", "openai-api-rs#20"),
    eras="A-E",
)
def missing_id(chunk: Chunk, stream: StreamState) -> Outcome:
    """Give a chunk without an id (absent, null, empty, no string) the stream's."""
    given = chunk.get("id")
    if given and isinstance(given, str):
        return KEPT
    chunk["id"] = (stream.identity or stream.identify(chunk)).id
    return REPAIRED


@repair(
    "changing-id",
    scope=Scope.ENVELOPE,
    watches="id",
    basis=FORM,
    wrong='data: {"id":"chatcmpl-1",…} … data: {"id":"chatcmpl-2",…}',
    right='data: {"id":"chatcmpl-1",…} … data: {"id":"chatcmpl-1",…}',
    breaks="clients that group chunks by id (.NET, LangChain)",
    sources=("llama.cpp#5876", "twinny#72", "Foundry Local#144"),
    eras="J-Q",
)
def changing_id(chunk: Chunk, stream: StreamState) -> Outcome:
    """Keep the first id of the stream for all of its chunks."""
    chunk_id = chunk.get("id")
    if not _is_name(chunk_id) or chunk_id == stream.identify(chunk).id:
        return KEPT
    chunk["id"] = (stream.identity or stream.identify(chunk)).id
    return REPAIRED


@repair(
    "missing-object",
    scope=Scope.ENVELOPE,
    watches="object",
    basis=FORM,
    wrong='data: {"model":"ggml-gpt4all-j","choices":[{"finish_reason":"stop"}]}',
    right='data: {…,"object":"chat.completion.chunk",…}',
    breaks="async-openai; home-llm: KeyError; openai-python's .stream(): AssertionError",
    sources=("LocalAI#340", "home-llm#350", "async-openai#165"),
    eras="A-B, P",
)
def missing_object(chunk: Chunk, stream: StreamState) -> Outcome:
    """Name the kind of object of the endpoint."""
    given = chunk.get("object")
    if given and isinstance(given, str):
        return KEPT
    chunk["object"] = (stream.identity or stream.identify(chunk)).object
    return REPAIRED


@repair(
    "wrong-object",
    scope=Scope.ENVELOPE,
    watches="object",
    basis=FORM,
    wrong='data: {"object":"chat.completions.chunk",…}',
    right='data: {"object":"chat.completion.chunk",…}',
    breaks="openai-python's .stream(): AssertionError",
    sources=("org-ai#95", "TGI#1648", "mini-sglang#51"),
    eras="S-T (usage trailer of completions)",
)
def wrong_object(chunk: Chunk, stream: StreamState) -> Outcome:
    """Correct an `object` that is not the endpoint's."""
    if not _is_name(chunk.get("object")) or chunk["object"] == stream.identify(chunk).object:
        return KEPT
    chunk["object"] = (stream.identity or stream.identify(chunk)).object
    return REPAIRED


@repair(
    "missing-created",
    scope=Scope.ENVELOPE,
    watches="created",
    basis=FORM,
    wrong='data: {"id":"…","object":"chat.completion.chunk","choices":[…]}',
    right='data: {…,"created":1684665888,…}',
    breaks="async-openai, openai-php, openai-kotlin: missing field; ChatDev: KeyError",
    sources=("LocalAI#340", "LocalAI#1103", "async-openai#165"),
    eras="A-E",
)
def missing_created(chunk: Chunk, stream: StreamState) -> Outcome:
    """Fill in the second at which the stream began where `created` tells no time."""
    if seconds(chunk.get("created")) is not None:
        return KEPT
    chunk["created"] = (stream.identity or stream.identify(chunk)).created
    return REPAIRED


@repair(
    "malformed-created",
    scope=Scope.ENVELOPE,
    watches="created",
    basis=FORM,
    wrong='"created":1706937715819 · "created":"1700000000.56" · "created":"2024-02-03T05:21:55Z"',
    right='"created":1706937715 · "created":1700000000 · "created":1706937715',
    breaks="Go, Rust and Java decoders of integers; .NET's DateTimeOffset: out of range",
    sources=("ai-gateway#962", "web-llm#829", "mistral.rs#1805", "AnythingLLM#2920"),
)
def malformed_created(chunk: Chunk, stream: StreamState) -> Outcome:
    """Bring floats, numeric strings, dates and finer units to whole seconds."""
    created = chunk.get("created")
    whole = seconds(created)
    if whole is None or (type(created) is int and created == whole):
        return KEPT
    chunk["created"] = whole
    return REPAIRED


@repair(
    "changing-created",
    scope=Scope.ENVELOPE,
    watches="created",
    basis=FORM,
    wrong='data: {"created":1708097828,…} … data: {"created":1708097829,…}',
    right='data: {"created":1708097828,…} … data: {"created":1708097828,…}',
    breaks="clients that compare chunks; OpenAI promises one timestamp a stream",
    sources=("llama.cpp#5876", "ollama#17485"),
    eras="J-Q; completions v3.7.0-HEAD",
)
def changing_created(chunk: Chunk, stream: StreamState) -> Outcome:
    """Keep the first timestamp of the stream for all of its chunks."""
    created = chunk.get("created")
    if type(created) is not int or created == stream.identify(chunk).created:
        return KEPT
    chunk["created"] = (stream.identity or stream.identify(chunk)).created
    return REPAIRED


@repair(
    "missing-model",
    scope=Scope.ENVELOPE,
    watches="model",
    basis=FORM,
    wrong='data: {"id":"…","model":"",…}',
    right='data: {"id":"…","model":"gpt-4",…}',
    breaks="typed decoders: a required string",
    sources=("FastChat#873", "mattermost-plugin-agents#143", "Foundry Local#144"),
    eras="A-L, where the request has no model",
)
def missing_model(chunk: Chunk, stream: StreamState) -> Outcome:
    """Name the model that the client asked for where the upstream names none."""
    given = chunk.get("model")
    if given and isinstance(given, str):
        return KEPT
    chunk["model"] = (stream.identity or stream.identify(chunk)).model
    return REPAIRED


@repair(
    "changing-model",
    scope=Scope.ENVELOPE,
    watches="model",
    basis=FORM,
    wrong='data: {"model":"gpt-4",…} … data: {"model":"ggml-gpt4all-j",…}',
    right='data: {"model":"gpt-4",…} … data: {"model":"gpt-4",…}',
    breaks="clients that group or bill by model; allow-lists of names",
    sources=("OpenAI's chunk: one model a stream",),
)
def changing_model(chunk: Chunk, stream: StreamState) -> Outcome:
    """Keep one name of the model: the first, or the client's own where it was mapped."""
    model = chunk.get("model")
    if not _is_name(model) or model == stream.identify(chunk).model:
        return KEPT
    chunk["model"] = (stream.identity or stream.identify(chunk)).model
    return REPAIRED


REPAIRS = (
    missing_id,
    changing_id,
    missing_object,
    wrong_object,
    missing_created,
    malformed_created,
    changing_created,
    missing_model,
    changing_model,
)

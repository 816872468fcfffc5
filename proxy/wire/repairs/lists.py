"""Lists: embeddings, and the models of an upstream."""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Chunk, StreamState, seconds
from proxy.wire.repairs.entry import (
    EMBEDDINGS,
    FORM,
    KEPT,
    MODELS,
    REPAIRED,
    Outcome,
    Scope,
    fixed,
    repair,
)
from proxy.wire.vectors import Numbers, to_base64

#: `created` of a model whose upstream does not tell: the same at each call, and no decoder refuses it.
UNKNOWN_CREATED: Final = 1
UNKNOWN_OWNER: Final = "upstream"
#: Where other servers keep their vectors (Ollama, llama.cpp). An empty list in their place would be a lie.
VECTOR_KEYS: Final = frozenset({"embedding", "embeddings", "results"})


BARE_LIST = fixed(
    "bare-list",
    summary="Put a list that is the whole body under `data`.",
    scope=Scope.FRAMING,
    basis=FORM,
    endpoints=EMBEDDINGS | MODELS,
    wrong='[{"id":"m"}]',
    right='{"object":"list","data":[{"id":"m",…}]}',
    breaks="openai-python: AttributeError: 'list' object has no attribute 'data'",
    sources=("exo#590", "langroid#920"),
)


@repair(
    "missing-data",
    scope=Scope.BODY,
    basis=FORM,
    endpoints=EMBEDDINGS | MODELS,
    wrong='{"models":[…]} · {"object":"list"} · "data":["m"]',
    right='{"object":"list","data":[{"id":"m",…}]}',
    breaks="every `for model in list.data`",
    sources=("LocalAI (no `data` where there is nothing to list)", "OpenAI's ListModelsResponse"),
    eras="A-T, where nothing is listed",
)
def missing_data(body: Chunk, stream: StreamState) -> Outcome:
    """Find the list under another name, or give an empty one."""
    outcome = KEPT
    foreign = isinstance(body.get("data"), dict) or not VECTOR_KEYS.isdisjoint(body)
    if stream.request.endpoint in EMBEDDINGS and foreign and not isinstance(body.get("data"), list):
        raise UpstreamMalformed("The upstream's embeddings are no list under 'data'.")
    if not isinstance(body.get("data"), list):
        body["data"] = body.pop("models", None) or []
        outcome = REPAIRED
    if isinstance(body["data"], list) and any(isinstance(item, str) for item in body["data"]):
        body["data"] = [{"id": item} if isinstance(item, str) else item for item in body["data"]]
        outcome = REPAIRED
    return outcome


@repair(
    "surplus-usage",
    scope=Scope.BODY,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"usage":{"prompt_tokens":8,"completion_tokens":0,"total_tokens":8}',
    right='"usage":{"prompt_tokens":8,"total_tokens":8}',
    breaks="decoders that allow no further keys; an embedding completes nothing",
    sources=("OpenAI's CreateEmbeddingResponse", "LocalAI v1.6.0-v4.2.4"),
    eras="A-R",
)
def surplus_usage(body: Chunk, stream: StreamState) -> Outcome:
    """Remove `completion_tokens` from the usage of embeddings."""
    usage = body.get("usage")
    if not isinstance(usage, dict) or "completion_tokens" not in usage:
        return KEPT
    del usage["completion_tokens"]
    return REPAIRED


@repair(
    "nested-embedding",
    scope=Scope.ITEM,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"embedding":[[0.1,-0.2]]',
    right='"embedding":[0.1,-0.2]',
    breaks="vector stores refuse it: a vector of length 1",
    sources=("llama-cpp-python#1588", "langroid#920"),
)
def nested_embedding(item: dict[str, Any], position: int, stream: StreamState) -> Outcome:
    """Unwrap a vector that is the only row of a matrix; of several rows none can be chosen."""
    vector = item.get("embedding")
    if not isinstance(vector, list) or not vector or not isinstance(vector[0], list | Numbers):
        return KEPT
    if len(vector) > 1:
        raise UpstreamMalformed(
            f"The upstream answered input {position} with {len(vector)} vectors, one for each token. "
            "Set up pooling for its model."
        )
    item["embedding"] = vector[0]
    return REPAIRED


@repair(
    "ignored-base64",
    scope=Scope.ITEM,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"embedding":[0.1,-0.2] to a request with "encoding_format":"base64"',
    right='"embedding":"zczMPc3MTL4="',
    breaks=".NET throws; openai-node reads a quarter of the dimensions",
    sources=("openai-dotnet#51", "openai-node#2150", "TEI#288", "infinity#349", "SGLang#28803"),
    eras="A-Q",
)
def ignored_base64(item: dict[str, Any], position: int, stream: StreamState) -> Outcome:
    """Write the vector as base64 of little-endian 32-bit floats where the request asks for that."""
    vector = item.get("embedding")
    if not stream.request.base64 or not isinstance(vector, list | Numbers):
        return KEPT
    item["embedding"] = to_base64(vector)
    return REPAIRED


@repair(
    "incomplete-embedding",
    scope=Scope.ITEM,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"data":[{"embedding":[…]}]',
    right='"data":[{"object":"embedding","index":0,"embedding":[…]}]',
    breaks="typed decoders: required keys",
    sources=("OpenAI's Embedding",),
)
def incomplete_embedding(item: dict[str, Any], position: int, stream: StreamState) -> Outcome:
    """Say what an embedding is, and which input it belongs to."""
    index = item.get("index")
    if item.get("object") == "embedding" and type(index) is int and index >= 0:
        return KEPT
    item["object"] = "embedding"
    if type(index) is not int or index < 0:
        item["index"] = position
    return REPAIRED


@repair(
    "incomplete-model",
    scope=Scope.ITEM,
    basis=FORM,
    endpoints=MODELS,
    wrong='{"id":"ggml-gpt4all-j","object":"model"}',
    right='{"id":"ggml-gpt4all-j","object":"model","created":1,"owned_by":"upstream"}',
    breaks="openai-php, openai-kotlin, liter-llm: a required key; openai-python gives None",
    sources=("any-llm#1085", "openai-kotlin#332", "liter-llm#149", "openai-php#598"),
    eras="A-T",
)
def incomplete_model(item: dict[str, Any], position: int, stream: StreamState) -> Outcome:
    """Fill in what a model's entry lacks."""
    outcome = KEPT
    if not _is_name(item.get("id")):
        item["id"] = next((item[key] for key in ("model", "name") if _is_name(item.get(key))), None)
        outcome = REPAIRED
    if item["id"] is None:
        raise UpstreamMalformed(f"The upstream lists a model without a name, as number {position + 1}.")
    created = item.get("created")
    if type(created) is not int or created < 0:
        moment = seconds(created) or seconds(item.get("created_at"))
        item["created"] = UNKNOWN_CREATED if moment is None else moment
        outcome = REPAIRED
    if item.get("object") != "model":
        item["object"] = "model"
        outcome = REPAIRED
    if not _is_name(item.get("owned_by")):
        item["owned_by"] = UNKNOWN_OWNER
        outcome = REPAIRED
    return outcome


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


REPAIRS = (
    BARE_LIST,
    missing_data,
    surplus_usage,
    nested_embedding,
    ignored_base64,
    incomplete_embedding,
    incomplete_model,
)

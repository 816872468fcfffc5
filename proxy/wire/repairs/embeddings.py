"""Embeddings: vectors as they were asked for, each beside the number of its input."""

from typing import Any

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.repairs.entry import CLIENT, EMBEDDINGS, FORM, KEPT, REPAIRED, Outcome, Scope, repair
from proxy.wire.vectors import Numbers, from_base64, to_base64


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
    "unasked-base64",
    scope=Scope.ITEM,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"embedding":"zczMPc3MTL4=" to a request without "encoding_format":"base64"',
    right='"embedding":[0.10000000149011612,-0.20000000298023224]',
    breaks="every client that asked for numbers, or for nothing: a string in the place of a vector",
    sources=("OpenAI's CreateEmbeddingRequest: encoding_format is float by default",),
)
def unasked_base64(item: dict[str, Any], position: int, stream: StreamState) -> Outcome:
    """Write the numbers of a vector in base64 that the request did not ask for."""
    vector = item.get("embedding")
    if stream.request.base64 or not isinstance(vector, str):
        return KEPT
    item["embedding"] = from_base64(vector)
    return REPAIRED


@repair(
    "incomplete-embedding",
    scope=Scope.BODY,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"data":[{"embedding":[…]}]',
    right='"data":[{"object":"embedding","index":0,"embedding":[…]}]',
    breaks="typed decoders: required keys",
    sources=("OpenAI's Embedding",),
)
def incomplete_embedding(body: Chunk, stream: StreamState) -> Outcome:
    """Say what an embedding is, and which input it belongs to; where that cannot be told it is an error."""
    data = body.get("data")
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    missing = [place for place, item in enumerate(items) if not _is_index(item.get("index"))]
    told = {item["index"] for item in items if _is_index(item.get("index"))}
    free = [number for number in range(len(items)) if number not in told]
    if len(missing) > 1 and free != missing:
        raise UpstreamMalformed("The upstream numbered some of its embeddings, but not all of them.")
    for place, number in zip(missing, free, strict=False):
        items[place]["index"] = number
    outcome = REPAIRED if missing else KEPT
    for item in items:
        if item.get("object") != "embedding":
            item["object"] = "embedding"
            outcome = REPAIRED
    return outcome


def _is_index(value: Any) -> bool:
    return type(value) is int and value >= 0


@repair(
    "wrong-embedding-index",
    scope=Scope.NUMBERS,
    basis=FORM,
    endpoints=EMBEDDINGS,
    wrong='"data":[{"index":0,…},{"index":0,…}] · "data":[{"index":1,…},{"index":2,…}]',
    right='"data":[{"index":0,…},{"index":1,…}]',
    breaks="clients that keep vectors by index lose all but one, or look for one that is not there",
    sources=("OpenAI's Embedding",),
)
def wrong_embedding_index(body: Chunk, stream: StreamState) -> Outcome:
    """Number embeddings from 0: in the order of their numbers, or of their places where two share one."""
    items = body["data"]
    numbers = [item["index"] for item in items if _is_index(item.get("index"))]
    if len(numbers) < len(items) or sorted(numbers) == list(range(len(items))):
        return KEPT
    apart = len(set(numbers)) == len(items)
    ranked = sorted(items, key=lambda item: item["index"]) if apart else items
    for number, item in enumerate(ranked):
        item["index"] = number
    return REPAIRED


@repair(
    "unsorted-embeddings",
    scope=Scope.NUMBERS,
    basis=CLIENT,
    endpoints=EMBEDDINGS,
    wrong='"data":[{"index":1,…},{"index":0,…}]',
    right='"data":[{"index":0,…},{"index":1,…}]',
    breaks="LangChain, and all who take vectors by their place: each text gets another's vector, unnoticed",
    sources=("OpenAI's servers answer in the order of the inputs",),
)
def unsorted_embeddings(body: Chunk, stream: StreamState) -> Outcome:
    """Bring embeddings into the order of their inputs."""
    items = body["data"]
    numbers = [item["index"] for item in items if _is_index(item.get("index"))]
    if len(numbers) < len(items) or numbers == sorted(numbers):
        return KEPT
    body["data"] = sorted(items, key=lambda item: item["index"])
    return REPAIRED


REPAIRS = (
    surplus_usage,
    nested_embedding,
    ignored_base64,
    unasked_base64,
    incomplete_embedding,
    wrong_embedding_index,
    unsorted_embeddings,
)

"""What `/v1/embeddings` and `/v1/models` share: a list, under `data`."""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.repairs.entry import EMBEDDINGS, FORM, KEPT, MODELS, REPAIRED, Outcome, Scope, fixed, repair
from proxy.wire.repairs.models import named

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
    wrong='{"models":[…]} · {"object":"list"} · "data":null · "data":["m"] · "data":{"m":{…}} · {"id":"m"}',
    right='{"object":"list","data":[{"id":"m",…}]}',
    breaks="every `for model in list.data`",
    sources=("LocalAI (no `data` where there is nothing to list)", "OpenAI's ListModelsResponse"),
    eras="A-T, where nothing is listed",
)
def missing_data(body: Chunk, stream: StreamState) -> Outcome:
    """Find the list under another name or in another form; a list that says it is one may be empty."""
    outcome = KEPT
    if not isinstance(body.get("data"), list):
        found = _embeddings(body) if stream.request.endpoint in EMBEDDINGS else _models(body)
        body.pop("models", None)
        body["data"] = found
        outcome = REPAIRED
    if any(isinstance(item, str) for item in body["data"]):
        body["data"] = [{"id": item} if isinstance(item, str) else item for item in body["data"]]
        outcome = REPAIRED
    return outcome


def _embeddings(body: Chunk) -> list[Any]:
    """The embeddings of a body that has no list of them: one without its list, or none at all."""
    data = body.get("data")
    if isinstance(data, dict) and "embedding" in data:
        return [data]
    if data is None and VECTOR_KEYS.isdisjoint(body) and "choices" not in body:
        return []
    raise UpstreamMalformed("The upstream's embeddings are no list under 'data'.")


def _models(body: Chunk) -> list[Any]:
    """The models of a body that has no list of them under `data`."""
    for held in (body.get("data"), body.get("models")):
        if isinstance(held, list):
            return held
        if isinstance(held, dict) and named(held) is not None:
            return [held]
        if isinstance(held, dict) and held and all(isinstance(item, dict) for item in held.values()):
            return [{"id": name} | model for name, model in held.items()]
    if named(body) is not None:
        model = dict(body)
        body.clear()
        return [model]
    says_list = body.get("object") == "list" or "data" in body or "models" in body
    if says_list and body.get("data") is None and body.get("models") is None:
        return []
    raise UpstreamMalformed("The upstream's list of models is none: it has no models under 'data'.")


REPAIRS = (BARE_LIST, missing_data)

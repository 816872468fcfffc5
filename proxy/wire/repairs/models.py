"""The models of an upstream."""

from typing import Any, Final

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.moments import seconds
from proxy.wire.repairs.entry import FORM, KEPT, MODELS, REPAIRED, Outcome, Scope, repair

#: `created` of a model whose upstream does not tell: the same at each call, and no decoder refuses it.
UNKNOWN_CREATED: Final = 1
UNKNOWN_OWNER: Final = "upstream"


def named(item: dict[str, Any]) -> str | None:
    """The name by which a model's entry calls it."""
    return next((item[key] for key in ("id", "model", "name") if _is_name(item.get(key))), None)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


@repair(
    "unreadable-model",
    scope=Scope.BODY,
    basis=FORM,
    endpoints=MODELS,
    wrong='"data":[{"id":"m"},{"owned_by":"me"},null]',
    right='"data":[{"id":"m",…}]',
    breaks="every client: a list that is refused for one entry hides all the others",
    sources=("inferred: entries without a name",),
)
def unreadable_model(body: Chunk, stream: StreamState) -> Outcome:
    """Leave entries out that name no model; where none names one, the list is an error."""
    items = body.get("data")
    if not isinstance(items, list):
        return KEPT
    readable = [item for item in items if isinstance(item, dict) and named(item) is not None]
    if len(readable) == len(items):
        return KEPT
    if not readable:
        raise UpstreamMalformed("The upstream's list of models has no entry with a name.")
    body["data"] = readable
    return REPAIRED


@repair(
    "incomplete-model",
    scope=Scope.ITEM,
    basis=FORM,
    endpoints=MODELS,
    wrong='{"id":"ggml-gpt4all-j","object":"model"} · "created":1706937715819',
    right='{"id":"ggml-gpt4all-j","object":"model","created":1,"owned_by":"upstream"}',
    breaks="openai-php, openai-kotlin, liter-llm: a required key; openai-python gives None",
    sources=("any-llm#1085", "openai-kotlin#332", "liter-llm#149", "openai-php#598"),
    eras="A-T",
)
def incomplete_model(item: dict[str, Any], position: int, stream: StreamState) -> Outcome:
    """Fill in what a model's entry lacks."""
    outcome = KEPT
    if not _is_name(item.get("id")):
        item["id"] = named(item)
        outcome = REPAIRED
    if item["id"] is None:
        raise UpstreamMalformed("The upstream showed a model without a name.")
    created = item.get("created")
    if type(created) is not int or created != seconds(created):
        told = (seconds(item.get(key)) for key in ("created", "created_at", "modified_at"))
        item["created"] = next(filter(None, told), UNKNOWN_CREATED)
        outcome = REPAIRED
    if item.get("object") != "model":
        item["object"] = "model"
        outcome = REPAIRED
    if not _is_name(item.get("owned_by")):
        item["owned_by"] = UNKNOWN_OWNER
        outcome = REPAIRED
    return outcome


REPAIRS = (unreadable_model, incomplete_model)

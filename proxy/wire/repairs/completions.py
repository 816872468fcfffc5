"""The text of a completion's choices."""

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Chunk, StreamState
from proxy.wire.repairs.entry import COMPLETIONS, FORM, KEPT, REPAIRED, Outcome, Scope, repair
from proxy.wire.repairs.shape import choices_of


@repair(
    "delta-instead-of-text",
    scope=Scope.SHAPE,
    watches="delta",
    basis=FORM,
    endpoints=COMPLETIONS,
    wrong='"choices":[{"index":0,"delta":{"content":" two"}}] · "delta":" two"',
    right='"choices":[{"index":0,"text":" two"}]',
    breaks="every completions client: the text is not seen",
    sources=("inferred: a chat answer behind the completions path",),
)
def delta_instead_of_text(chunk: Chunk, stream: StreamState) -> Outcome:
    """Put what a completion says in `delta` or `message` into `text`."""
    outcome = KEPT
    for choice in choices_of(chunk):
        for key in ("delta", "message"):
            said = choice.get(key)
            if choice.get("text") is None and isinstance(said, dict | str):
                choice["text"] = said if isinstance(said, str) else said.get("content") or ""
                del choice[key]
                outcome = REPAIRED
    return outcome


@repair(
    "missing-text",
    scope=Scope.SHAPE,
    watches="delta",
    basis=FORM,
    endpoints=COMPLETIONS,
    wrong='"choices":[{"index":0,"finish_reason":"stop"}]',
    right='"choices":[{"index":0,"text":"","finish_reason":"stop"}]',
    breaks="LangChain, langchain.js, openai-python's callers that join texts: TypeError",
    sources=("LocalAI#648", "litellm#11158"),
    eras="B-T",
)
def missing_text(chunk: Chunk, stream: StreamState) -> Outcome:
    """Give a completion's choice without text an empty one, unless it is a body's and says nothing else."""
    outcome = KEPT
    for choice in choices_of(chunk):
        if choice.get("text") is None:
            if stream.is_body and stream.request.endpoint in COMPLETIONS and not choice.get("finish_reason"):
                raise UpstreamMalformed("The upstream sent a choice with nothing in it.")
            choice["text"] = ""
            outcome = REPAIRED
    return outcome


REPAIRS = (
    delta_instead_of_text,
    missing_text,
)

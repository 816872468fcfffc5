"""What leaves: every body and every frame as LocalAI wrote them at ed5df1e (21 May 2023).

From api/openai.go of that time: the structs `OpenAIResponse`, `Choice`, `Message`, `Item`,
`OpenAIUsage` and `ErrorResponse` with the order of their fields and their `omitempty`, and what each endpoint
put into them. Nothing was counted or identified: no `id`, no `created`, `index` and `finish_reason` left out
where they are zero, and a usage of zeros in every body, frames included. `model` is what the client's body
said, so that without one there was none in the answer either. Frames as their authors recorded them stand
in LocalAI#340, bodies of /v1/completions in LocalAI#465.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from proxy.demo import go_json
from proxy.demo.go_json import Value

_USAGE: Final = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

#: What a loader of that spring tried on a file, each in vain (pkg/model/initializers.go, `GreedyLoader`).
_BACKENDS_TRIED: Final = 12


def tokens(text: str) -> list[str]:
    """Cut a text into what a model would emit: words, each with the space before it.

    >>> tokens("1 2 three")
    ['1', ' 2', ' three']
    """
    return re.findall(r"\s*\S+|\s+", text)


def frame(model: str, token: str | None) -> bytes:
    r"""Return what one flush put into a chat stream: a token, or with None the end.

    LocalAI#340 quotes such a stream; this is one turn of the loop that wrote it. A named event without data
    goes before each chunk. The chunk of a token came from `json.Encoder`, which ends it with a line feed, and
    two more follow; the last came from `json.Marshal`, which adds none. No `data: [DONE]` follows::

        event: data

        data: {"object":"chat.completion.chunk","model":"ggml-gpt4all-j","choices":[{"delta":…}],"usage":…}


        event: data

        data: {"model":"ggml-gpt4all-j","choices":[{"finish_reason":"stop"}],"usage":…}
    """
    if token is None:
        chunk, ending = _response("", model, choices=[{"finish_reason": "stop"}]), "\n\n"
    else:
        choice = {"delta": _message(token)}
        chunk, ending = _response("chat.completion.chunk", model, choices=[choice]), "\n\n\n"
    return f"event: data\n\ndata: {chunk}{ending}".encode()


def chat(model: str, texts: Iterable[str]) -> bytes:
    """Return the body of a chat completion, a choice for each text."""
    return _response(
        "chat.completion", model, choices=[{"message": _message(text)} for text in texts]
    ).encode()


def completion(model: str, texts: Iterable[str]) -> bytes:
    """Return the body of a text completion, a choice for each text."""
    return _texts("text_completion", model, texts)


def edit(model: str, texts: Iterable[str]) -> bytes:
    """Return the body of an edit, a choice for each text."""
    return _texts("edit", model, texts)


def embeddings(model: str, texts: Iterable[str], token_lists: Iterable[Sequence[float]]) -> bytes:
    """Return the body of embeddings: of lists of tokens first, then of texts, each kind counted from 0."""
    items: list[Value] = [
        {"embedding": vector, "index": index, "object": "embedding"}
        for kind in (
            [_vector(" ".join(map(str, token_list))) for token_list in token_lists],
            [_vector(text) for text in texts],
        )
        for index, vector in enumerate(kind)
    ]
    return _response("list", model, data=items).encode()


def models(names: Iterable[str]) -> bytes:
    """Return the body of a list of models, which never said more than their names."""
    data: list[Value] = [{"id": name, "object": "model"} for name in names]
    return go_json.encode({"object": "list", "data": data}).encode()


def error(status: int, message: str) -> bytes:
    """Return the body of an error: `code` is the HTTP status, `type` is empty, `param` never appears."""
    return go_json.encode({"error": {"code": status, "message": message, "type": ""}}).encode()


def could_not_load() -> str:
    """Return the message for a model that is not there: the complaint of every backend, joined.

    The form is that of hashicorp/go-multierror. The number grew and shrank with the backends.
    """
    complaints = "\n\t".join(["* failed loading model"] * _BACKENDS_TRIED)
    return (
        "could not load model - all backends returned error:"
        f" {_BACKENDS_TRIED} errors occurred:\n\t{complaints}\n\n"
    )


def _response(kind: str, model: str, *, choices: Sequence[Value] = (), data: Sequence[Value] = ()) -> str:
    fields = {"object": kind, "model": model, "choices": choices, "data": data}
    return go_json.encode(go_json.omit_empty(fields) | {"usage": _USAGE})


def _message(text: str) -> dict[str, Value]:
    return go_json.omit_empty({"role": "assistant", "content": text})


def _texts(kind: str, model: str, texts: Iterable[str]) -> bytes:
    choices = [go_json.omit_empty({"text": text}) for text in texts]
    return _response(kind, model, choices=choices).encode()


def _vector(text: str) -> list[float]:
    """Return four tenths between -0.9 and 0.9, none zero: LocalAI cut zeros off a vector's end."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return [(byte % 9 + 1) * (1 if byte < 128 else -1) / 10 for byte in digest[:4]]

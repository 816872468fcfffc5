"""Errors: whatever an upstream calls an error leaves in OpenAI's one form.

`reported.py` shapes them; the entries here name what it meets.
"""

from typing import Any, Final

from proxy.errors import UpstreamReported
from proxy.wire.chunk import Choice, ChoiceState, StreamState, texts_of
from proxy.wire.repairs.entry import CLIENT, FORM, KEPT, Outcome, Repair, Scope, fixed, repair

_RIGHT = '{"error":{"message":"…","type":"…","param":null,"code":null}}'


def _error(name: str, summary: str, **told: Any) -> Repair:
    return fixed(name, summary=summary, scope=Scope.ERROR, basis=FORM, **({"right": _RIGHT} | told))


#: With it LocalAI begins the last text of an answer whose generation failed.
TEXT_ERROR: Final = "Internal error: "


@repair(
    "error-as-text",
    scope=Scope.REASON,
    watches="last",
    basis=CLIENT,
    wrong='"delta":{"content":"Internal error: rpc error: …"},"finish_reason":"stop"',
    right='{"error":{"message":"Internal error: rpc error: …","type":"server_error",…}}',
    breaks="clients that show a failed answer as a finished one; a model that ends with just these words "
    "in one last chunk is taken for a failure",
    sources=("LocalAI v3.5.0-v4.0.0, completions to HEAD (ad99399c6, 2c0b9c634)",),
    eras="N-Q; completions O-T",
)
def error_as_text(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Take a last chunk whose whole text begins with `Internal error: ` for the error it is."""
    texts = texts_of(choice, stream)
    text = texts.get("text" if texts is choice else "content")
    if choice.get("finish_reason") != "stop" or not isinstance(text, str) or not text.startswith(TEXT_ERROR):
        return KEPT
    stream.count("error-as-text")
    raise UpstreamReported(text, status=500)


REPAIRS = (
    error_as_text,
    _error(
        "error-string",
        "Put an error that is only a string into the error object.",
        wrong='{"error":"model not loaded"}',
        breaks="openai-python: the message is lost; Ruby: String does not have dig",
        sources=("arboris-novel#23 (LM Studio)", "TGI#1896", "aia#117"),
    ),
    _error(
        "error-flat",
        "Nest an error whose fields stand at the top.",
        wrong='{"object":"error","message":"…","code":400} · {"message":"Invalid API key"}',
        breaks="openai-node, chat-ui: no message",
        sources=("vllm#12886", "vllm#22099", "SGLang#32808"),
        eras="F-J",
    ),
    _error(
        "error-detail",
        "Take the message from FastAPI's `detail`, a list joined.",
        wrong='{"detail":[{"loc":["body","model"],"msg":"Field required"}]}',
        breaks="openai-python: 'Error code: 404' without a text",
        sources=("ray#64833", "asqav#205"),
    ),
    _error(
        "error-array",
        "Unwrap an error that stands in a list.",
        wrong='[{"error":{"code":400,"message":"…"}}]',
        breaks="openai-python shows no text; 'list has no get'",
        sources=("langroid#988 (Gemini)",),
    ),
    _error(
        "error-page",
        "Say the title of an HTML page instead of the page; the status stays.",
        wrong="<html><head><title>502 Bad Gateway</title>…",
        breaks="JSON parsers: Unexpected token <",
        sources=("picoclaw#1075", "pi#9418", "utsuwa#67"),
        eras="L-N",
    ),
    _error(
        "error-text",
        "Put an error that is plain text into the error object.",
        wrong="Internal Server Error · data: Internal error: rpc error: …",
        breaks="JSON parsers, in the stream and out of it",
        sources=("Starlette's and uvicorn's default", "LocalAI v3.5.0-v3.7.0"),
        eras="J, N",
    ),
    _error(
        "error-broken-json",
        "Take the message from an error that is not quite JSON.",
        wrong='{"error":{"message":"invalid byte \\x1b","type":"…"}}',
        breaks="JSON parsers: the stream dies without its reason",
        sources=("LocalAI v4.3.2-HEAD (message in Go quoting)",),
        eras="T",
    ),
    _error(
        "error-field",
        "Read llama.cpp's `error:` line as an event.",
        wrong='error: {"code":500,"message":"…"}',
        breaks="openai-python: no chunk and no exception; openai-go: unexpected end of JSON input",
        sources=("llama.cpp#16104", "llama.cpp#16109"),
    ),
    _error(
        "error-event",
        "Take what an event named `error` carries for an error, and drop its name.",
        wrong='event: error\ndata: {"message":"…"}',
        breaks="clients that look at the data alone: an empty success",
        sources=("octos#13",),
    ),
    _error(
        "error-in-chunk",
        "Send the error of a chunk that has both, an error and choices, or the one in a choice, alone.",
        wrong='{"choices":[{"delta":{},"finish_reason":"error"}],"error":{"code":502,"message":"…"}}',
        breaks="parsers that look at the choices alone: a false success",
        sources=("local-operator#223", "OmniRoute#8210", "bifrost#5425"),
    ),
    _error(
        "numeric-error-code",
        "Write the error's code as a string.",
        wrong='"code":400',
        breaks="openai-java throws on access; typed Go clients",
        sources=("SGLang#32808", "envoyproxy/ai-gateway#2151", "weaviate#3551"),
        eras="A-T",
    ),
    _error(
        "incomplete-error",
        "Fill in the error's missing keys: the type by the status, null for the rest.",
        wrong='{"error":{"code":500,"message":"…","type":""}}',
        breaks="typed decoders: all four keys are required",
        sources=("OpenAI's Error schema", "llama.cpp", "LocalAI, all releases"),
        eras="A-T",
    ),
    _error(
        "error-prefix",
        "Take off what a web framework wrote before the message.",
        wrong='"message":"code=400, message=unknown model"',
        breaks="people who read it: the message begins with the words of a web framework",
        sources=("LocalAI v3.8.0-HEAD",),
        eras="O-T",
    ),
)

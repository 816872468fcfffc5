"""Messages and parameters for which a server has an older word, or none."""

from proxy.wire.translations.entry import Body, messages, text_alone, translation


@translation(
    "no-content-parts",
    before='{"messages":[{"role":"user","content":[{"type":"text","text":"Count "},'
    '{"type":"text","text":"to 3."}]}]}',
    after='{"messages":[{"role":"user","content":"Count to 3."}]}',
    why='LocalAI before v2.0.0 answers 500, "cannot unmarshal array into Go struct field '
    'Message.messages.content of type string"; some of v2 keep the last text part alone',
    sources=("LocalAI#1383", "LocalAI#1254", "LocalAI 12fe0932c", "LocalAI 03f802ea7"),
)
def no_content_parts(request: Body) -> int:
    """Join content parts to a string, where all of them are text. Parts with images stay."""
    acted = 0
    for message in messages(request):
        text = text_alone(message.get("content"))
        if text is not None:
            message["content"] = text
            acted += 1
    return acted


@translation(
    "no-developer-role",
    before='{"messages":[{"role":"developer","content":"Answer briefly."}]}',
    after='{"messages":[{"role":"system","content":"Answer briefly."}]}',
    why="prompt templates know `system` alone: the instructions lose their role, are left out, "
    "or the template refuses them",
    sources=("LocalAI#4608", "earendil-works/pi#140", "vllm#42407"),
)
def no_developer_role(request: Body) -> int:
    """Call the role `developer` what it was called before: `system`."""
    acted = 0
    for message in messages(request):
        if message.get("role") == "developer":
            message["role"] = "system"
            acted += 1
    return acted


@translation(
    "no-max-completion-tokens",
    before='{"max_completion_tokens":100}',
    after='{"max_tokens":100}',
    why="the limit is ignored: the answer runs to the end of the context",
    sources=("ollama#7125", "llama.cpp#13700", "llama-cpp-python#1907", "LocalAI 00fcf6936"),
)
def no_max_completion_tokens(request: Body) -> int:
    """Call `max_completion_tokens` by its older name, `max_tokens`; it wins where both are given."""
    limit = request.get("max_completion_tokens")
    if limit is None:
        return 0
    del request["max_completion_tokens"]
    request["max_tokens"] = limit
    return 1


@translation(
    "no-response-format",
    before='{"response_format":{"type":"json_object"},"stream":true}',
    after='{"stream":true}',
    why='500, "cannot unmarshal object into Go struct field OpenAIRequest.response_format of type '
    'string". The prompt alone must then ask for JSON',
    sources=("LocalAI#1289", "LocalAI 12fe0932c"),
)
def no_response_format(request: Body) -> int:
    """Leave out a `response_format` that is an object. A string, as image requests have it, stays."""
    if not isinstance(request.get("response_format"), dict):
        return 0
    del request["response_format"]
    return 1


@translation(
    "no-json-schema",
    before='{"response_format":{"type":"json_schema","json_schema":{"name":"city","schema":{"type":"object"}}}}',
    after='{"response_format":{"type":"json_object"}}',
    why="the whole of `response_format` is ignored, and the answer need not be JSON",
    sources=("LocalAI#3193",),
)
def no_json_schema(request: Body) -> int:
    """Ask for any JSON object where a schema would be ignored."""
    wanted = request.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return 0
    request["response_format"] = {"type": "json_object"}
    return 1


ENTRIES = (
    no_content_parts,
    no_developer_role,
    no_max_completion_tokens,
    no_response_format,
    no_json_schema,
)

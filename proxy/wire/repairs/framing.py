"""The event stream itself: what is not `data: …` and one blank line.

These have no function of their own. The decoder reads past each of them (see
`sse.py`, `framing.py`), the machine writes frames anew, and both count.
"""

from typing import Any

from proxy.wire.repairs.entry import CLIENT, FORM, Repair, Scope, fixed

_HTML = "WHATWG HTML, 9.2"


def _framing(name: str, **told: Any) -> Repair:
    defaults: dict[str, Any] = {"right": "data: {…}", "basis": FORM, "sources": (_HTML,)}
    return fixed(name, scope=Scope.FRAMING, **(defaults | told))


def _ending(name: str, **told: Any) -> Repair:
    return fixed(name, scope=Scope.ENDING, basis=FORM, **told)


REPAIRS = (
    _framing(
        "event-line",
        summary="Drop `event:` lines, and the events that consist of nothing else.",
        wrong="event: data\n\ndata: {…}",
        breaks="openai-python, openai-node: JSONDecodeError at the first frame",
        sources=("LocalAI#340", "OmniRoute#1146", _HTML),
        eras="A",
        basis=CLIENT,
    ),
    _framing(
        "comment",
        summary="Drop comment lines; a keep-alive of our own can be configured.",
        wrong=": OPENROUTER PROCESSING",
        right="nothing",
        breaks="openai-go: unexpected end of JSON input; openai-python once an `id:` was seen",
        sources=("openai-go#227", "openai-python#2722", "llama.cpp#24013"),
        basis=CLIENT,
    ),
    _framing(
        "id-line",
        summary="Drop `id:` lines: nobody resumes such a stream.",
        wrong="id: 7\ndata: {…}",
        breaks="arms openai-python's fault with comments",
        sources=("llmgateway#2334", "openai-python#2722"),
        basis=CLIENT,
    ),
    _framing(
        "retry-line",
        summary="Drop `retry:` lines.",
        wrong="retry: 3000",
        right="nothing",
        breaks="openai-python: JSONDecodeError",
        sources=("openai-python#2721",),
        basis=CLIENT,
    ),
    _framing(
        "ignored-line",
        summary="Drop lines that are no field of the event stream.",
        wrong="hello",
        right="nothing",
        breaks="line-based clients",
    ),
    _framing(
        "empty-data",
        summary="Drop events whose data is empty.",
        wrong="data: ",
        right="nothing",
        breaks="openai-python: JSONDecodeError; AI SDK: AI_JSONParseError",
        sources=("copilot-api#88", "coddy-agent#106"),
        basis=CLIENT,
    ),
    _framing(
        "comment-as-data",
        summary="Drop keep-alives that were sent as data.",
        wrong="data: : OPENROUTER PROCESSING · data: ping · data: [KEEPALIVE]",
        right="nothing",
        breaks="openai-node, openai-python: a parse error at the first keep-alive",
        sources=("mnfst/llm-gateway#2053",),
        basis=CLIENT,
    ),
    _framing(
        "data-in-data",
        summary="Take a `data:` that is written twice for one.",
        wrong='data: data: {"choices":[…]}',
        right='data: {"choices":[…]}',
        breaks="every client: a parse error at the first event",
        sources=("openclaw#96497",),
        basis=CLIENT,
    ),
    _framing(
        "missing-space",
        summary="Write the space after `data:`.",
        wrong="data:{…}",
        breaks="org-ai, langchain_dart and all who search for `data: `: the stream is silently empty",
        sources=("langchain_dart#778", "openai-python#498", "TGI#1648", "freellmapi#1087"),
        basis=CLIENT,
    ),
    _framing(
        "surplus-blank-line",
        summary="Write one blank line after an event, none elsewhere.",
        wrong="data: {…}, then two blank lines",
        breaks="clients that split at blank lines: an empty event",
        sources=("LocalAI#340",),
        eras="A",
    ),
    _framing(
        "carriage-return",
        summary="End lines with LF alone.",
        wrong="data: {…}\\r\\n\\r\\n",
        breaks="org-ai: `[DONE]` with a CR is not `[DONE]`; clients that split at two LFs",
        sources=("dify#4120", "ruby-openai#332"),
        basis=CLIENT,
    ),
    _framing(
        "byte-order-mark",
        summary="Drop a byte order mark at the start.",
        wrong="U+FEFF before the first data:",
        breaks="openai-python loses the first frame, and with it the role",
    ),
    _framing(
        "multi-line-data",
        summary="Put an event's data on one line.",
        wrong='data: {\ndata:  "id":…}',
        breaks="all line-based clients",
        sources=("term-llm#454", "term-llm#456"),
        basis=CLIENT,
    ),
    _framing(
        "missing-blank-line",
        summary="Begin a new event where a complete one is followed by another `data:`.",
        wrong="data: {…}\ndata: {…}",
        breaks="openai-python: Extra data; AI SDK",
        sources=("opencode#27365", "eventsource-parser#31"),
    ),
    _framing(
        "unterminated-event",
        fixed=False,
        summary="Accept a complete last event that has no blank line.",
        wrong="data: {…} and the end of the body",
        breaks="conforming parsers drop the last event",
        eras="A",
    ),
    _framing(
        "concatenated-json",
        summary="Split objects that share one event.",
        wrong="data: {…}{…}",
        breaks="JSON parsers: Extra data",
        sources=("ollama#13026",),
    ),
    _framing(
        "bare-json",
        summary="Make events of JSON that comes without `data:`: lines of it, or one whole body.",
        wrong="{…}\n{…}",
        breaks="openai-python and openai-node: no chunk, silently",
        sources=("hackclub/ai#17", "opik#5149", "KoboldCpp#2480"),
        eras="D-F (a whole body)",
    ),
    _framing(
        "rough-json",
        summary="Write JSON anew that only lenient parsers read: NaN, lone surrogates, control characters.",
        wrong='"logprob":-Infinity',
        right='"logprob":-9999.0',
        breaks="JSON.parse, serde_json, Postgres",
        sources=("sonar#183", "SGLang#5984", "vllm#19661", "RFC 8259"),
    ),
    _framing(
        "foreign-event",
        summary="Drop JSON that is neither chunk nor error.",
        wrong='data: {"name":"search","result":"…","type":"mcp_tool_result"}',
        right="nothing",
        breaks="`chunk.choices[0]`: TypeError; async-openai, Zed: no variant matches",
        sources=("LocalAI v4.0.0-HEAD (8818452d8)", "copilot-api#88"),
        eras="Q-T",
    ),
    _framing(
        "chunk-without-choices",
        summary="Drop a chunk whose `choices` are empty and that reports no usage.",
        wrong='data: {"id":"","choices":[],"prompt_filter_results":[…]}',
        right="nothing",
        breaks="naive `choices[0]` loops: IndexError",
        sources=("mentat#429", "ChatGPT-in-Slack#49 (Azure)"),
        basis=CLIENT,
    ),
    _ending(
        "bare-done",
        summary="Read `[DONE]` without `data:`, or not quite so spelt.",
        wrong="[DONE]",
        right="data: [DONE]",
        breaks="clients that wait for data: [DONE]",
        sources=("Portkey gateway#55",),
    ),
    _ending(
        "missing-done",
        fixed=False,
        summary="End a stream whose choices have all finished with `[DONE]`.",
        wrong="the finish frame, and the end of the body",
        right="data: [DONE]",
        breaks="org-ai never ends; Azure's .NET client hangs",
        sources=("LocalAI#340", "ik_llama.cpp#467", "TGI#1896", "OmniRoute#6777"),
        eras="A; errors in completions O-T",
    ),
    _ending(
        "repeated-done",
        summary="Send `[DONE]` once.",
        wrong="data: [DONE]\n\ndata: [DONE]",
        right="data: [DONE]",
        breaks="callbacks fire twice",
        sources=("ray#62246", "one-api#1628"),
    ),
    _ending(
        "data-after-done",
        summary="Drop what follows `[DONE]`.",
        wrong="data: [DONE]\n\ndata: {…}",
        right="data: [DONE]",
        breaks="line-based clients show it",
        sources=("OpenAI's stream: [DONE] is the last event",),
    ),
    _ending(
        "usage-after-done",
        fixed=False,
        summary="Hold `[DONE]` for usage that was asked for and has not come, for a second at most.",
        wrong='data: [DONE]\n\ndata: {…,"choices":[],"usage":{…}}',
        right='data: {…,"choices":[],"usage":{…}}\n\ndata: [DONE]',
        breaks="clients stop reading at [DONE]: the tokens are never counted",
        sources=("inferred: OpenAI's ChatCompletionStreamOptions puts usage before [DONE]",),
    ),
    _ending(
        "broken-after-finish",
        summary="End a stream well that broke only after every choice had finished.",
        wrong="the finish frame, then a reset",
        right="data: [DONE]",
        breaks="clients that discard a whole answer",
        sources=("OpenAI's stream: an answer is whole once its choices have finished",),
    ),
)

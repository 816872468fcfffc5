"""Tool calls: each fragment bears what a client needs to join it, and no more.

The tracker has said which call each fragment means; these rewrite it accordingly.
"""

from typing import Any

from proxy.wire.calls import Fragment
from proxy.wire.chunk import StreamState
from proxy.wire.repairs.entry import CHAT, CLIENT, FORM, KEPT, REPAIRED, Outcome, Scope, repair
from proxy.wire.repairs.text import without_half


@repair(
    "missing-call-index",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='"tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{}"}}]',
    right='"tool_calls":[{"index":0,"id":"call_1",…}]',
    breaks="openai-python's .stream(): TypeError; Open WebUI never runs the tool; Go merges calls",
    sources=("ollama#7881", "mistral.rs#1507", "openai-python#2806", "ai#15879"),
)
def missing_call_index(fragment: Fragment, stream: StreamState) -> Outcome:
    """Number a fragment without a usable index with its call's."""
    index = fragment.wire.get("index")
    if type(index) is int and index >= 0:
        return KEPT
    fragment.wire["index"] = fragment.call.index
    return REPAIRED


@repair(
    "wrong-call-index",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='two calls with different ids, both "index":0 · the first call at "index":1',
    right='"index":0 … "index":1',
    breaks="openai-python joins the calls: id 'call_1call_2', arguments '{…}{…}'",
    sources=("gcli2api#406", "new-api#2701", "litellm#11558", "AstrBot#9593", "dynamo#4723"),
    eras="P-R",
)
def wrong_call_index(fragment: Fragment, stream: StreamState) -> Outcome:
    """Number calls from 0 in the order in which they begin."""
    index = fragment.wire.get("index")
    if type(index) is not int or index < 0 or index == fragment.call.index:
        return KEPT
    fragment.wire["index"] = fragment.call.index
    return REPAIRED


@repair(
    "missing-call-id",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='the first fragment of a call has no "id", or null, or ""',
    right='"id":"call_…"',
    breaks="AI SDK: \"Expected 'id' to be a string.\"; the next turn is refused by the server",
    sources=("opencode#25925", "SGLang#7048", "vllm#18412", "aionrs#99", "litellm#33223"),
)
def missing_call_id(fragment: Fragment, stream: StreamState) -> Outcome:
    """Give a call without an id one of its own."""
    if not fragment.opening or fragment.wire.get("id"):
        return KEPT
    fragment.wire["id"] = fragment.call.id
    return REPAIRED


@repair(
    "shared-call-id",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='two calls with one "id"; the completion\'s id as the id of each call',
    right='"id":"call_…", unique in the stream',
    breaks="clients that keep calls by id; results that are sent back for the wrong call",
    sources=("LocalAI#9722", "gcli2api#406"),
    eras="G-P; JSON path to T",
)
def shared_call_id(fragment: Fragment, stream: StreamState) -> Outcome:
    """Give a call an id of its own where the upstream's is no string, or another's."""
    call_id = fragment.wire.get("id")
    if not fragment.opening or not call_id or call_id == fragment.call.id:
        return KEPT
    fragment.wire["id"] = fragment.call.id
    return REPAIRED


@repair(
    "repeated-call-id",
    scope=Scope.CALL,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"id":"call_1" in each fragment · "id":"" or null in later ones',
    right='"id" in the first fragment only',
    breaks="openai-python triples the id; LangChain overwrites it; agents SDK, SillyTavern, koog",
    sources=("SillyTavern#5948", "koog#2052", "langchain4j#4528", "opencode#40969", "LangChain#39335"),
    eras="G-T",
)
def repeated_call_id(fragment: Fragment, stream: StreamState) -> Outcome:
    """Remove the id from every fragment of a call after its first."""
    if fragment.opening or "id" not in fragment.wire:
        return KEPT
    del fragment.wire["id"]
    return REPAIRED


def _function(fragment: Fragment) -> dict[str, Any]:
    function = fragment.wire.get("function")
    return function if isinstance(function, dict) else {}


@repair(
    "missing-call-name",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='"name":"get_" … "name":"weather" · a second call of one function does not name it again',
    right='"function":{"name":"get_weather",…} in the first fragment',
    breaks="every client: a call of nothing, or of half a name",
    sources=("continue#5849", "OpenAI's ChatCompletionMessageToolCallChunk"),
)
def missing_call_name(fragment: Fragment, stream: StreamState) -> Outcome:
    """Name the function, whole, in a call's first fragment."""
    function = _function(fragment)
    if not fragment.opening or "custom" in fragment.wire or function.get("name") == fragment.name:
        return KEPT
    fragment.wire["function"] = function | {"name": fragment.name}
    return REPAIRED


@repair(
    "repeated-call-name",
    scope=Scope.CALL,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"name":"get_weather" in each fragment · "name":"" or null in later ones',
    right='"name" in the first fragment only',
    breaks="openai-python: 'get_weatherget_weather'; Open WebUI, Hermes: tool not found",
    sources=("hermes#11984", "open-webui#22177", "opencode#37841"),
    eras="P-R",
)
def repeated_call_name(fragment: Fragment, stream: StreamState) -> Outcome:
    """Remove the name from later fragments, where it repeats the whole, is empty, or no string."""
    function = _function(fragment)
    name = function.get("name", fragment)
    if fragment.opening or name is fragment or (isinstance(name, str) and name and name != fragment.name):
        return KEPT
    del function["name"]
    return REPAIRED


@repair(
    "missing-call-type",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='"tool_calls":[{"index":0,"id":"call_1","function":{…}}]',
    right='"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{…}}]',
    breaks="AI SDK: \"Expected 'function' type.\"; .NET",
    sources=("ai#12901",),
)
def missing_call_type(fragment: Fragment, stream: StreamState) -> Outcome:
    """Say `"type":"function"` in a call's first fragment, or `"custom"` where it is one of those."""
    kind = "function" if _function(fragment) else "custom"
    named = isinstance(fragment.wire.get(kind), dict)
    if not (fragment.opening and named) or fragment.wire.get("type") == kind:
        return KEPT
    fragment.wire["type"] = kind
    return REPAIRED


@repair(
    "repeated-call-type",
    scope=Scope.CALL,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"type":"function" in each fragment',
    right='"type" in the first fragment only',
    breaks="accumulators that join strings: 'functionfunction'",
    sources=("opencode#37841 (DashScope)",),
    eras="G-T",
)
def repeated_call_type(fragment: Fragment, stream: StreamState) -> Outcome:
    """Remove the type from every fragment of a call after its first."""
    if fragment.opening or "type" not in fragment.wire:
        return KEPT
    del fragment.wire["type"]
    return REPAIRED


@repair(
    "missing-arguments",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='"function":{"name":"f"} · "arguments":null · {"index":0} alone',
    right='"function":{"name":"f","arguments":""}',
    breaks=".NET: ArgumentNullException; Spring AI: function.arguments Field required",
    sources=("openai-dotnet#256", "vllm#18412", "spring-ai#5116", "agno#6303"),
)
def missing_arguments(fragment: Fragment, stream: StreamState) -> Outcome:
    """Make absent arguments an empty string; of a call that came whole, an empty object."""
    if "custom" in fragment.wire:
        return KEPT
    function = fragment.wire.get("function")
    if function is None:
        function = fragment.wire["function"] = {}
    if not isinstance(function, dict) or function.get("arguments") is not None:
        return KEPT
    function["arguments"] = "{}" if stream.is_body or stream.whole else ""
    return REPAIRED


@repair(
    "split-code-point-in-arguments",
    scope=Scope.CALL,
    basis=FORM,
    endpoints=CHAT,
    wrong='"arguments":"{\\"x\\":\\"\\ud83d" … "arguments":"\\ude00\\"}"',
    right='"arguments":"{\\"x\\":\\"" … "arguments":"😀\\"}"',
    breaks="tools that are called with a replacement character in the place of the letter",
    sources=("RFC 8259, 8.2; byte-level tokens as in split-code-point",),
)
def split_code_point_in_arguments(fragment: Fragment, stream: StreamState) -> Outcome:
    """Join a code point that two fragments of a call share."""
    function, seen = _function(fragment), fragment.call.arguments
    text = function.get("arguments")
    if not isinstance(text, str) or not (seen.half or stream.rough):
        return KEPT
    function["arguments"], seen.half = without_half(seen.half + text)
    return KEPT if function["arguments"] == text else REPAIRED


REPAIRS = (
    missing_call_index,
    wrong_call_index,
    missing_call_id,
    shared_call_id,
    repeated_call_id,
    missing_call_name,
    repeated_call_name,
    missing_call_type,
    repeated_call_type,
    missing_arguments,
    split_code_point_in_arguments,
)

"""The array of calls: its form before each fragment is looked at, and after.

Legacy function calls, in both directions, are here too.
"""

from typing import Any

from proxy.errors import UpstreamMalformed
from proxy.wire.chunk import Choice, ChoiceState, FunctionCall, StreamState, in_order
from proxy.wire.codec import dumps
from proxy.wire.repairs.entry import (
    CHAT,
    CLIENT,
    FORM,
    KEPT,
    REPAIRED,
    Outcome,
    Scope,
    fixed,
    repair,
)


def _listed(delta: dict[str, Any]) -> list[Any]:
    """The calls of a delta, if they are a list: what else stands there the machine refuses."""
    calls = delta.get("tool_calls")
    return calls if isinstance(calls, list) else []


@repair(
    "function-call-for-tools",
    scope=Scope.CALLS,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"delta":{"function_call":{"name":"f","arguments":"{}"}} to a request with `tools`',
    right='"delta":{"tool_calls":[{"index":0,"id":"call_…","type":"function","function":{…}}]}',
    breaks="clients of `tools` see no call, or run it twice where both forms came",
    sources=("functionary#156", "LocalAI v1.21.0-v2.8.2"),
    eras="D-F",
)
def function_call_for_tools(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Turn a legacy function call into a tool call where the request has `tools`."""
    delta = choice["delta"]
    if "function_call" not in delta or stream.request.tools is None:
        return KEPT
    call = delta.pop("function_call")
    if not delta.get("tool_calls") and isinstance(call, dict):
        call = in_order(call, ("name", "arguments"))
        wrapped = {"function": {key: item for key, item in call.items() if key != "function"}}
        delta["tool_calls"] = [wrapped if stream.is_body else {"index": 0, **wrapped}]
    return REPAIRED


@repair(
    "empty-tool-calls",
    scope=Scope.CALLS,
    basis=FORM,
    endpoints=CHAT,
    wrong='"delta":{"content":"Hi","tool_calls":null} · "tool_calls":[] · "function_call":null',
    right='"delta":{"content":"Hi"}',
    breaks="AI SDK: a type error; Codex cuts the answer to its first token",
    sources=("ai#1865", "ai#20203", "9router#3236", "SGLang#3912"),
)
def empty_tool_calls(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Remove `tool_calls` and `function_call` that hold no call."""
    delta = choice["delta"]
    outcome = KEPT
    for key in ("tool_calls", "function_call"):
        if key in delta and not delta[key]:
            del delta[key]
            outcome = REPAIRED
    return outcome


@repair(
    "tool-calls-not-a-list",
    scope=Scope.CALLS,
    basis=FORM,
    endpoints=CHAT,
    wrong='"tool_calls":{"index":0,"function":{…}}',
    right='"tool_calls":[{"index":0,"function":{…}}]',
    breaks="all typed clients; openai-python: KeyError",
    sources=("TGI#2794",),
)
def tool_calls_not_a_list(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Make `tool_calls` a list of objects, none of them null or empty."""
    delta = choice["delta"]
    calls = delta.get("tool_calls")
    if isinstance(calls, dict) and calls:
        delta["tool_calls"] = [calls]
    elif isinstance(calls, list) and not all(calls):
        delta["tool_calls"] = [call for call in calls if call]
    else:
        return KEPT
    return REPAIRED


@repair(
    "unwrapped-tool-call",
    scope=Scope.CALLS,
    basis=FORM,
    endpoints=CHAT,
    wrong='"tool_calls":[{"name":"f","arguments":{…}}]',
    right='"tool_calls":[{"index":0,"id":"call_…","type":"function","function":{"name":"f","arguments":"…"}}]',
    breaks="all clients",
    sources=("home-llm#348",),
)
def unwrapped_tool_call(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Put a bare name and its arguments into `function`."""
    outcome = KEPT
    for call in _listed(choice["delta"]):
        if isinstance(call, dict) and "function" not in call and ("name" in call or "arguments" in call):
            call["function"] = {key: call.pop(key) for key in ("name", "arguments") if key in call}
            outcome = REPAIRED
    return outcome


@repair(
    "arguments-not-a-string",
    scope=Scope.CALLS,
    basis=FORM,
    endpoints=CHAT,
    wrong='"arguments":{"city":"Rome"}',
    right='"arguments":"{\\"city\\":\\"Rome\\"}"',
    breaks="openai-python's helper returns a dict; Go: unmarshal errors; a call run with {}",
    sources=("llama.cpp#20198", "picoclaw#1292", "claudette#238"),
)
def arguments_not_a_string(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Write arguments that came as JSON values as the string that the form asks for."""
    delta = choice["delta"]
    functions = [call.get("function") for call in _listed(delta) if isinstance(call, dict)]
    outcome = KEPT
    for function in [*functions, delta.get("function_call")]:
        if isinstance(function, dict) and not isinstance(function.get("arguments"), str | None):
            function["arguments"] = dumps(function["arguments"]).decode()
            outcome = REPAIRED
    return outcome


@repair(
    "split-call-fragment",
    scope=Scope.AFTER_CALLS,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"tool_calls":[{"index":0,…"arguments":"{"},{"index":0,…"arguments":"}"}]',
    right='"tool_calls":[{"index":0,…"arguments":"{}"}]',
    breaks="openai-python before #3425 loses the second fragment",
    sources=("openai-python#3201", "openai-python#3425"),
)
def split_call_fragment(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Join fragments of one call that came in one array."""
    calls = choice["delta"].get("tool_calls") or []
    joined: dict[Any, dict[str, Any]] = {}
    for place, call in enumerate(calls):
        index = call.get("index")
        key = index if type(index) is int and _is_plain(call.get("function")) else (place,)
        if key in joined:
            _join(joined[key], call)
        else:
            joined[key] = call
    if len(joined) == len(calls):
        return KEPT
    choice["delta"]["tool_calls"] = list(joined.values())
    return REPAIRED


def _is_plain(function: Any) -> bool:
    """Name and arguments, if there, are strings: a switch may have left others as they came."""
    return isinstance(function, dict) and all(
        isinstance(function.get(key), str | None) for key in ("name", "arguments")
    )


def _join(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Add to a call's fragment what a later one says; keys that it lacks come with it."""
    ours, theirs = first["function"], second["function"]
    for key in ("name", "arguments"):
        if theirs.get(key):
            ours[key] = (ours.get(key) or "") + theirs[key]
    for whole, piece in ((ours, theirs), (first, second)):
        whole |= {key: value for key, value in piece.items() if key not in whole}


@repair(
    "tool-calls-for-functions",
    scope=Scope.AFTER_CALLS,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"delta":{"tool_calls":[{"index":0,…}]} to a request with the legacy `functions`',
    right='"delta":{"function_call":{"name":"f","arguments":"{}"}}',
    breaks="clients of `functions` see no call",
    sources=("LocalAI v2.9.0-HEAD (c72808f18)",),
    eras="G-T",
)
def tool_calls_for_functions(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Turn tool calls into the legacy function call where the request has `functions` alone."""
    delta = choice["delta"]
    if not delta.get("tool_calls") or not stream.request.functions or stream.request.tools is not None:
        return KEPT
    calls = delta.pop("tool_calls")
    if any(call.get("index") for call in calls) or (stream.is_body and len(calls) > 1):
        raise UpstreamMalformed(
            "The upstream made several calls; the request's legacy `functions` allow one. Use `tools`."
        )
    if delta.get("function_call"):
        return REPAIRED  # both forms came: the one that is due is there already
    function = delta["function_call"] = {}
    for call in calls:
        called = call.get("function") or {}
        if called.get("name"):
            function["name"] = called["name"]
        before, arguments = function.get("arguments", ""), called.get("arguments") or ""
        joinable = isinstance(before, str) and isinstance(arguments, str)
        function["arguments"] = before + arguments if joinable else arguments
    return REPAIRED


@repair(
    "malformed-function-call",
    scope=Scope.AFTER_CALLS,
    basis=FORM,
    endpoints=CHAT,
    wrong='"function_call":{"arguments":"{}","function":"f","name":"f"} · the name in each frame',
    right='"function_call":{"name":"f","arguments":"{}"}',
    breaks="openai-python's .stream() joins names: 'ff'; typed decoders want string arguments",
    sources=("LocalAI v1.21.0-v2.8.2 (f09ddd298)",),
    eras="D-F",
)
def malformed_function_call(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Bring a legacy function call into form: one name, in its first frame, and string arguments."""
    delta = choice["delta"]
    call = delta.get("function_call")
    if call is None:
        return KEPT
    if not isinstance(call, dict):
        raise UpstreamMalformed("The upstream sent a function call that is no object.")
    name, arguments = call.get("name"), call.get("arguments") or ""
    if not isinstance(arguments, str):
        return KEPT
    function = state.function = state.function or FunctionCall()
    if not isinstance(name, str) or name == function.name:
        name = ""
    if name and function.name is not None:
        raise UpstreamMalformed("The upstream sent two function calls, where there is room for one.")
    function.arguments.feed(arguments)
    if not name and function.name is None:
        function.nameless = (function.nameless or "") + arguments
        del delta["function_call"]
        return REPAIRED
    proper = {"name": name} if name else {}
    proper["arguments"] = (function.nameless or "") + arguments
    proper |= {key: value for key, value in call.items() if key not in ("name", "arguments", "function")}
    function.name = name or function.name
    function.nameless = None
    if proper == call:
        return KEPT
    delta["function_call"] = proper
    return REPAIRED


REEMITTED_CALL = fixed(
    "reemitted-call",
    fixed=False,
    summary="Hold back a call that is sent whole again at a growing index while it grows; send it once.",
    scope=Scope.ENDING,
    basis=CLIENT,
    endpoints=CHAT,
    wrong='{"index":0,…"{}"} {"index":1,…"{\\"city\\":\\"Ro\\"}"} {"index":2,…"{\\"city\\":\\"Rome\\"}"}',
    right='{"index":0,"id":"call_…","type":"function","function":{"name":"f","arguments":"{\\"city\\":\\"Rome\\"}"}}',
    breaks="clients run one call many times, with arguments cut short",
    sources=("LocalAI#9722 (v3.10.0-v4.1.3)",),
    eras="P-R",
)

BEFORE = (
    tool_calls_not_a_list,
    empty_tool_calls,
    function_call_for_tools,
    unwrapped_tool_call,
    arguments_not_a_string,
)
AFTER = (
    split_call_fragment,
    tool_calls_for_functions,
    malformed_function_call,
    REEMITTED_CALL,
)

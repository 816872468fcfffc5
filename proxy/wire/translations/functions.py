"""Tools in the words of before November 2023: functions, one call in each message."""

from collections import deque
from typing import Any

from proxy.errors import InvalidRequest
from proxy.wire.translations.entry import Body, function_name, text_alone, translation

Message = dict[str, Any]

_NEEDS = "The upstream knows only the legacy `functions`"


@translation(
    "no-tools",
    before='{"tools":[{"type":"function","function":{"name":"clock","strict":true}}],"tool_choice":"auto",'
    '"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",'
    '"function":{"name":"clock","arguments":"{}"}}]},'
    '{"role":"tool","tool_call_id":"call_1","content":"12:30"}]}',
    after='{"functions":[{"name":"clock"}],"function_call":"auto",'
    '"messages":[{"role":"assistant","content":null,"function_call":{"name":"clock","arguments":"{}"}},'
    '{"role":"function","name":"clock","content":"12:30"}]}',
    why="`tools` is ignored: the model never calls one. With it on, the answer's function call reaches the "
    "client as a tool call (repair `function-call-for-tools`). One call an answer is all that such a server "
    "makes, of several functions it cannot be told that one is required, and before v1.21.0 it has none",
    sources=("LocalAI#1712", "LocalAI#1715", "LocalAI#726"),
)
def no_tools(request: Body) -> int:
    """Say `functions` and `function_call` for `tools` and `tool_choice`, in the messages too."""
    acted = _declare(request)
    told = request.get("messages")
    if isinstance(told, list):
        retold, changes = _Retelling(told).run()
        request["messages"] = retold
        acted += changes
    return acted


def _declare(request: Body) -> int:
    tools = request.get("tools")
    if not isinstance(tools, list) or not tools:
        return 0
    functions = [_function(tool, place) for place, tool in enumerate(tools)]
    legacy = request.get("functions")
    # Their flags (`strict`, `parallel_tool_calls`) are as unknown as the tools themselves.
    for key in ("tools", "parallel_tool_calls"):
        request.pop(key, None)
    request["functions"] = [*(legacy if isinstance(legacy, list) else ()), *functions]
    call = _function_call(request.pop("tool_choice", None), functions)
    if call is not None:
        request["function_call"] = call
    return 1


def _function(tool: Any, place: int) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or function_name(tool) is None:
        raise InvalidRequest(f"{_NEEDS}; this tool is not a function.", param=f"tools[{place}]")
    return {key: value for key, value in function.items() if key != "strict"}


def _function_call(choice: Any, functions: list[dict[str, Any]]) -> Any:
    if choice is None or choice in ("auto", "none"):
        return choice
    if choice == "required":
        return {"name": functions[0]["name"]} if len(functions) == 1 else None
    name = function_name(choice) if isinstance(choice, dict) else None
    if name is None:
        raise InvalidRequest(
            f"{_NEEDS}; choose 'auto', 'none', 'required' or one function by its name.", param="tool_choice"
        )
    return {"name": name}


class _Retelling:
    """Tells a conversation with tool calls as one with function calls.

    A message makes one function call, so the calls of one message become several
    messages, each followed by its own result: a result has no id to be told by.
    """

    def __init__(self, messages: list[Any]) -> None:
        self._messages = messages
        self._retold: list[Any] = []
        self._names: dict[str, str] = {}  # of the functions that were called, by the call's id
        self._changes = 0

    def run(self) -> tuple[list[Any], int]:
        """Return the messages, and how many of them had to be told anew."""
        place = 0
        while place < len(self._messages):
            message = self._messages[place]
            after = place + 1
            if isinstance(message, dict) and message.get("role") == "tool":
                self._stray(place)
            elif isinstance(message, dict) and message.get("tool_calls"):
                while after < len(self._messages) and self._is_result(after):
                    after += 1
                self._calls(message, place, after)
            else:
                self._retold.append(message)
            place = after
        return self._retold, self._changes

    def _is_result(self, place: int) -> bool:
        message = self._messages[place]
        return isinstance(message, dict) and message.get("role") == "tool"

    def _calls(self, message: Message, place: int, after: int) -> None:
        """Tell the calls of the message at `place`, with the results from there up to `after`."""
        results: dict[str | None, deque[int]] = {}
        for result in range(place + 1, after):
            results.setdefault(_id(self._messages[result], "tool_call_id"), deque()).append(result)
        calls = message.pop("tool_calls")
        if not isinstance(calls, list):
            raise InvalidRequest("`tool_calls` must be a list.", param=f"messages[{place}].tool_calls")
        self._changes += 1
        for number, call in enumerate(calls):
            name = self._call(message, call, f"messages[{place}].tool_calls[{number}]")
            message = {"role": "assistant", "content": None}
            # Some servers give one id to all calls; then results answer in the order of the calls.
            answers = results.get(_id(call, "id"))
            if answers:
                self._result(answers.popleft(), name)
        for left in sorted(left for answers in results.values() for left in answers):
            self._stray(left)

    def _call(self, message: Message, call: Any, where: str) -> str:
        name = function_name(call) if isinstance(call, dict) else None
        if name is None:
            raise InvalidRequest(f"{_NEEDS}; this call is not one of a function.", param=where)
        call_id = _id(call, "id")
        if call_id is not None:
            self._names[call_id] = name
        function = call.get("function")
        arguments = (function if isinstance(function, dict) else call).get("arguments")
        made = {"name": name, "arguments": "" if arguments is None else arguments}
        self._retold.append({"content": None, **message, "function_call": made})
        return name

    def _stray(self, place: int) -> None:
        """Tell a result that does not stand behind its call."""
        message = self._messages[place]
        name = self._names.get(_id(message, "tool_call_id") or "", message.get("name"))
        if not isinstance(name, str):
            raise InvalidRequest(
                f"{_NEEDS}; this result has no name of a function, and answers no call of a message "
                "before it. Send the message with the call, too.",
                param=f"messages[{place}].tool_call_id",
            )
        self._result(place, name)

    def _result(self, place: int, name: str) -> None:
        content = self._messages[place].get("content")
        text = text_alone(content)
        self._changes += 1
        self._retold.append({"role": "function", "name": name, "content": content if text is None else text})


def _id(message: Message, key: str) -> str | None:
    given = message.get(key)
    return given if isinstance(given, str) else None


ENTRIES = (no_tools,)

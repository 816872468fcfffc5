"""What `tool_choice` says, for servers that know `tools` but not all of its choices."""

from proxy.wire.translations.entry import Body, function_name, tools, translation

_CLOCK = '{"type":"function","function":{"name":"clock"}}'
_WEATHER = '{"type":"function","function":{"name":"weather"}}'


@translation(
    "no-tool-choice-none",
    before=f'{{"tools":[{_CLOCK}],"tool_choice":"none"}}',
    after="{}",
    why="`none` is ignored: the model calls a tool that the client has forbidden",
    sources=("LocalAI#9859 (LocalAI#9508)", "ollama#8421"),
)
def no_tool_choice_none(request: Body) -> int:
    """Leave out the tools where none may be called."""
    if request.get("tool_choice") != "none" or "tools" not in request:
        return 0
    for key in ("tools", "tool_choice", "parallel_tool_calls"):
        request.pop(key, None)
    return 1


@translation(
    "no-named-tool-choice",
    before=f'{{"tools":[{_CLOCK},{_WEATHER}],"tool_choice":{_WEATHER}}}',
    after=f'{{"tools":[{_WEATHER}],"tool_choice":"required"}}',
    why="a choice that is an object is ignored, refused with 400, or (LocalAI 03bea4bfb) ends in a panic",
    sources=(
        "llama.cpp#26535",
        "llama.cpp#28806",
        "ollama#8421",
        "TradingAgents#1057 (LM Studio)",
        "LocalAI 03bea4bfb",
    ),
)
def no_named_tool_choice(request: Body) -> int:
    """Leave only the tool that must be called, and require a call."""
    choice = request.get("tool_choice")
    name = function_name(choice) if isinstance(choice, dict) else None
    chosen = [tool for tool in tools(request) if name is not None and function_name(tool) == name]
    if not chosen:
        return 0
    request["tools"] = chosen
    request["tool_choice"] = "required"
    return 1


@translation(
    "no-required-tool-choice",
    before=f'{{"tools":[{_CLOCK}],"tool_choice":"required"}}',
    after=f'{{"tools":[{_CLOCK}],"tool_choice":{_CLOCK}}}',
    why="`required` is ignored, as if it were `auto`, while a tool that is named is called. "
    "Where there are several tools nothing can be done",
    sources=("LocalAI#9859 (LocalAI#9508)",),
)
def no_required_tool_choice(request: Body) -> int:
    """Name the only tool where a call is required."""
    given = request.get("tools")
    if request.get("tool_choice") != "required" or not isinstance(given, list) or len(given) != 1:
        return 0
    name = function_name(given[0]) if isinstance(given[0], dict) else None
    if name is None:
        return 0
    request["tool_choice"] = {"type": "function", "function": {"name": name}}
    return 1


ENTRIES = (no_tool_choice_none, no_named_tool_choice, no_required_tool_choice)

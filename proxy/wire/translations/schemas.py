"""JSON Schemas in tools, for servers that know less of JSON Schema."""

from collections.abc import Iterator
from typing import Any, Final

from proxy.wire.translations.entry import Body, tools, translation

Schema = dict[str, Any]

_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

#: Under which keys schemas stand: one, several by name, or several in a row. What stands under
#: others (`enum`, `default`, …) is data, and may look like a schema without being one.
_ONE: Final = (
    *("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_NAMED: Final = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_ROW: Final = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_WITH_SCHEMAS: Final = frozenset({*_ONE, *_NAMED, *_ROW})
#: Those of them that mean one type only.
_INSIDE: Final = {
    "array": ("contains", "items", "prefixItems", "unevaluatedItems"),
    "object": (
        *("additionalProperties", "dependentSchemas", "patternProperties", "properties"),
        *("propertyNames", "unevaluatedProperties"),
    ),
}


@translation(
    "no-type-lists",
    before='{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",'
    '"properties":{"city":{"type":["string","null"]}}}}}]}',
    after='{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",'
    '"properties":{"city":{"anyOf":[{"type":"string"},{"type":"null"}]}}}}}]}',
    why='LocalAI before October 2025 ends in "panic: interface conversion: interface {} is '
    '[]interface {}, not string"',
    sources=("LocalAI#5572", "LocalAI#6495"),
)
def no_type_lists(request: Body) -> int:
    """Write a schema's list of types as `anyOf`, which says the same."""
    acted = 0
    for root in _roots(request):
        for schema in _schemas(root):
            acted += _alternatives(schema)
    return acted


def _roots(request: Body) -> Iterator[Any]:
    for tool in tools(request):
        function = tool.get("function")
        if isinstance(function, dict):
            yield function.get("parameters")
    functions = request.get("functions")
    for function in functions if isinstance(functions, list) else ():
        if isinstance(function, dict):
            yield function.get("parameters")
    wanted = request.get("response_format")
    described = wanted.get("json_schema") if isinstance(wanted, dict) else None
    if isinstance(described, dict):
        yield described.get("schema")


def _schemas(root: Any) -> Iterator[Schema]:
    """Yield a schema and all within it, each before what stands in it."""
    waiting = [root]
    while waiting:
        schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        yield schema
        waiting += [schema[key] for key in _ONE if key in schema]
        for key in _NAMED:
            inner = schema.get(key)
            waiting += inner.values() if isinstance(inner, dict) else ()
        for key in _ROW:
            inner = schema.get(key)
            waiting += inner if isinstance(inner, list) else ()


def _alternatives(schema: Schema) -> int:
    types = schema.get("type")
    if not isinstance(types, list) or not types:
        return 0
    if not all(isinstance(kind, str) and kind in _TYPES for kind in types):
        return 0
    kinds = list(dict.fromkeys(types))
    if len(kinds) == 1 or "anyOf" in schema or "oneOf" in schema:
        schema["type"] = kinds[0]
        return 1
    # The server looks at nothing beside `anyOf`, so each alternative says all that is said of it.
    # A schema within goes to the one that can hold it: copied to each, it would double at each depth.
    del schema["type"]
    said = {key: schema.pop(key) for key in list(schema) if key not in _WITH_SCHEMAS}
    schema["anyOf"] = [{"type": kind, **said, **_inside(schema, kind)} for kind in kinds]
    return 1


def _inside(schema: Schema, kind: str) -> Schema:
    return {key: schema.pop(key) for key in _INSIDE.get(kind, ()) if key in schema}


ENTRIES = (no_type_lists,)

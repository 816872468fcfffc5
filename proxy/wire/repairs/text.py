"""The form of a delta's texts. What they say is never changed."""

import codecs
import re
from typing import Any, Final

from proxy.wire.chunk import TEXTS, Choice, ChoiceState, StreamState, texts_of
from proxy.wire.codec import ESCAPED_BYTES, dumps
from proxy.wire.repairs.entry import (
    CHAT,
    CLIENT,
    FORM,
    KEPT,
    REPAIRED,
    Outcome,
    Scope,
    repair,
)

_HIGH_SURROGATE: Final = re.compile("[\ud800-\udbff]\\Z")
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")


@repair(
    "split-code-point",
    scope=Scope.TEXT,
    basis=FORM,
    wrong='"content":"\\ud83d" … "content":"\\ude00"',
    right='"content":"" … "content":"😀"',
    breaks="Python: UnicodeEncodeError; serde_json and Postgres refuse a lone surrogate",
    sources=("rakazo#416", "eliza#30904", "lucebox#641", "llama.cpp#28926", "RFC 8259, 8.2"),
)
def split_code_point(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Join a code point that two frames share; its first half waits for the second."""
    texts = texts_of(choice, stream)
    places = [(key, texts, key) for key in (*TEXTS, "text")]
    call = texts.get("function_call")
    if isinstance(call, dict) and stream.request.tools is None:
        places.append(("function_call", call, "arguments"))
    outcome = KEPT
    for name, place, key in places:
        text = place.get(key)
        if not isinstance(text, str) or not (text or choice.get("finish_reason")):
            continue
        whole, half = without_half(state.halves.pop(name, "") + text)
        if half:
            state.halves[name] = half
        if whole != text:
            place[key] = whole
            outcome = REPAIRED
    return outcome


def without_half(text: str) -> tuple[str, str]:
    """Return `text` with its halves of code points joined, and the first half at its end, if there is one."""
    if _ESCAPED_BYTE.search(text) and not _HIGH_SURROGATE.search(text):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        raw = text.encode("utf-8", "surrogatepass" if _has_other_surrogates(text) else ESCAPED_BYTES)
        whole = decoder.decode(raw)
        return whole, decoder.getstate()[0].decode("utf-8", ESCAPED_BYTES)
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if _HIGH_SURROGATE.search(joined):
        return joined[:-1], joined[-1]
    return joined, ""


def _has_other_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" and not "\udc80" <= char <= "\udcff" for char in text)


@repair(
    "content-parts",
    scope=Scope.CHOICE,
    watches="texts",
    basis=FORM,
    endpoints=CHAT,
    wrong='"content":[{"type":"thinking","thinking":[…]},{"type":"text","text":"x"}]',
    right='"content":"x","reasoning_content":"…"; other parts under "content_parts"',
    breaks="async-openai: invalid type: sequence; openai-python: TypeError, or the text is lost",
    sources=("meilisearch#6327", "spring-ai#5019", "ai-dial#395"),
)
def content_parts(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Join a list of content parts to a string; thinking becomes reasoning, all else is kept aside."""
    delta = choice["delta"]
    if not isinstance(delta.get("content"), list):
        return KEPT
    texts, thoughts, others = [], [], []
    for part in delta["content"]:
        text = _part_text(part)
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            thoughts.append(_thought(part))
        elif text is None:
            others.append(part)
        else:
            texts.append(text)
    delta["content"] = "".join(texts) if texts else None
    if thoughts:
        delta["reasoning_content"] = _as_text(delta.get("reasoning_content") or "") + "".join(thoughts)
    if others:
        delta["content_parts"] = others
    return REPAIRED


def _part_text(part: Any) -> str | None:
    text = part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else None


def _as_text(value: Any) -> str:
    """A string as it is, the text of a part, and the JSON of whatever else stands in a string's place."""
    text = _part_text(value)
    return dumps(value).decode() if text is None else text


def _thought(part: dict[str, Any]) -> str:
    for key in ("thinking", "reasoning", "text", "content"):
        value = part.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return "".join(_part_text(inner) or "" for inner in value)
    return ""


@repair(
    "malformed-content",
    scope=Scope.CHOICE,
    watches="texts",
    basis=FORM,
    wrong='"content":42 · "content":{"text":"Hi"}',
    right='"content":"42" · "content":"Hi"',
    breaks="typed decoders: a string or null",
    sources=("OpenAI's ChatCompletionStreamResponseDelta",),
)
def malformed_content(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Make content and other texts strings."""
    texts = texts_of(choice, stream)
    outcome = KEPT
    for key in ("text",) if texts is choice else TEXTS:
        text = texts.get(key)
        if text is not None and not isinstance(text, str):
            texts[key] = _as_text(text)
            outcome = REPAIRED
    return outcome


@repair(
    "repeated-text",
    scope=Scope.REST,
    watches="content",
    basis=CLIENT,
    endpoints=CHAT,
    wrong='"delta":{"content":"Let me check.","tool_calls":[…]} in each arguments frame, and at the end',
    right='"content":"Let me check." once',
    breaks="every client: the text is shown two or three times",
    sources=("LocalAI v2.17.0-v4.1.3 (3f7212c66, 669cd06dd)",),
    eras="I-R",
)
def repeated_text(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Remove text beside or after calls that is, to the character, all the text there was."""
    delta = choice["delta"]
    content = delta.get("content")
    if not content or not isinstance(content, str) or not stream.request.calls_allowed:
        return KEPT
    beside = "tool_calls" in delta or "function_call" in delta or choice.get("finish_reason")
    if beside and state.made_calls and content == "".join(state.text):
        del delta["content"]
        return REPAIRED
    state.text.append(content)
    return KEPT


REPAIRS = (
    split_code_point,
    content_parts,
    malformed_content,
    repeated_text,
)

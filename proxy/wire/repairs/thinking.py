"""Reasoning: kept as it came, unless an operator asks for another name or form."""

from typing import Final

from proxy.wire.chunk import REASONING, Choice, ChoiceState, StreamState
from proxy.wire.repairs.entry import CHAT, CLIENT, KEPT, REPAIRED, Outcome, Scope, repair

OPEN: Final = "<think>"
CLOSE: Final = "</think>"
#: Under this key a choice's state says how far it is: absent before the tag, then one of these.
_PLACE: Final = "think-tags"
_INSIDE: Final = "inside"
_AFTER: Final = "after"


@repair(
    "think-tags",
    scope=Scope.CHOICE,
    basis=CLIENT,
    endpoints=CHAT,
    default=False,
    wrong='"content":"<think>Let me" … "content":" see.</think>Hi"',
    right='"reasoning_content":"Let me" … "reasoning_content":" see." … "content":"Hi"',
    breaks="clients that show the thinking as the answer; JSON mode",
    sources=("home-llm#284", "hindsight#2195", "llama.cpp#23320", "llama-swap#316"),
)
def think_tags(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Take a thought in tags at the start of the content out into `reasoning_content`."""
    delta = choice["delta"]
    text = delta.get("content")
    place = state.scratch.get(_PLACE)
    if not text or not isinstance(text, str) or place == _AFTER:
        return KEPT
    waiting = state.waiting.pop("content", "") + state.waiting.pop("reasoning_content", "")
    text = waiting + text
    if place is None:
        start = text.lstrip()
        if len(start) < len(OPEN) and OPEN.startswith(start):
            state.waiting["content"] = text
            del delta["content"]
            return REPAIRED
        if not start.startswith(OPEN):
            state.scratch[_PLACE] = _AFTER
            delta["content"] = text
            return REPAIRED if waiting else KEPT
        state.scratch[_PLACE] = _INSIDE
        text = start[len(OPEN) :]
    thought, closed, answer = text.partition(CLOSE)
    del delta["content"]
    if closed:
        state.scratch[_PLACE] = _AFTER
    else:
        thought, state.waiting["reasoning_content"] = _without_beginning(thought)
    if thought:
        delta["reasoning_content"] = thought
    if answer:
        delta["content"] = answer
    return REPAIRED


def _without_beginning(thought: str) -> tuple[str, str]:
    """Cut off what may be the beginning of the closing tag."""
    for length in range(min(len(CLOSE) - 1, len(thought)), 0, -1):
        if CLOSE.startswith(thought[-length:]):
            return thought[:-length], thought[-length:]
    return thought, ""


def _renamed(choice: Choice, targets: tuple[str, ...], sources: tuple[str, ...]) -> Outcome:
    delta = choice["delta"]
    text = next((delta[key] for key in sources if delta.get(key)), None)
    if text is None or all(delta.get(key) == text for key in targets):
        return KEPT
    if len(targets) == 1:
        for key in sources:
            delta.pop(key, None)
    delta.update(dict.fromkeys(targets, text))
    return REPAIRED


@repair(
    "reasoning-to-reasoning-content",
    scope=Scope.CHOICE,
    basis=CLIENT,
    endpoints=CHAT,
    default=False,
    wrong='"delta":{"reasoning":"Let me think"}',
    right='"delta":{"reasoning_content":"Let me think"}',
    breaks="LangChain4j, Dify, Strands: the thinking is lost; neither name is OpenAI's",
    sources=("vllm#27755", "LangChain4j#5018", "Dify#2740", "Strands#2182"),
    eras="P-T",
)
def reasoning_to_reasoning_content(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Call `reasoning` what DeepSeek and llama.cpp call it: `reasoning_content`."""
    return _renamed(choice, ("reasoning_content",), ("reasoning",))


@repair(
    "reasoning-under-both-names",
    scope=Scope.CHOICE,
    basis=CLIENT,
    endpoints=CHAT,
    default=False,
    wrong='"delta":{"reasoning":"Let me think"}',
    right='"delta":{"reasoning":"Let me think","reasoning_content":"Let me think"}',
    breaks="clients that know one name only; those that read both show the thinking twice",
    sources=("vllm#27755", "localharness#142"),
    eras="P-T",
)
def reasoning_under_both_names(choice: Choice, state: ChoiceState, stream: StreamState) -> Outcome:
    """Send reasoning under both of its names."""
    return _renamed(choice, REASONING, REASONING)


REPAIRS = (think_tags, reasoning_to_reasoning_content, reasoning_under_both_names)

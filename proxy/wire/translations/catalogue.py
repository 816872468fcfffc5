"""Every translation in the order in which they run, and the dialects that need them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from proxy.wire.translations import choices, functions, schemas, words
from proxy.wire.translations.entry import Translation

#: What is left out first, so that nothing is done to it; the choice of a tool before the words for tools.
ORDER: Final[tuple[Translation, ...]] = (
    *words.ENTRIES,
    *schemas.ENTRIES,
    *choices.ENTRIES,
    *functions.ENTRIES,
)

CATALOGUE: Final[Mapping[str, Translation]] = MappingProxyType({entry.name: entry for entry in ORDER})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a kind of server understands.

    Attributes:
        servers: which they are.
        translations: the names of the translations that are on.
    """

    servers: str
    translations: frozenset[str]


_LOCALAI: Final = frozenset({"no-developer-role", "no-max-completion-tokens", "no-type-lists"})
_LOCALAI_2023: Final = _LOCALAI | {"no-content-parts", "no-tools"}

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "openai": Dialect("all that understand today's requests", frozenset()),
        "localai-v1": Dialect("LocalAI v1.6.0 to v1.40.0", _LOCALAI_2023 | {"no-response-format"}),
        "localai-v2.0": Dialect("LocalAI v2.0.0 to v2.8.2", _LOCALAI_2023 | {"no-json-schema"}),
        "localai-v2": Dialect(
            "LocalAI v2.9.0 to v2.29.0", _LOCALAI | {"no-content-parts", "no-tool-choice-none"}
        ),
        "localai-v3": Dialect(
            "LocalAI v3.0.0 to v4.2.6; newer ones understand `openai`",
            _LOCALAI | {"no-tool-choice-none", "no-required-tool-choice"},
        ),
        "llama.cpp": Dialect(
            "llama-server; `max_completion_tokens` until February 2026",
            frozenset({"no-max-completion-tokens", "no-named-tool-choice"}),
        ),
        "lm-studio": Dialect("LM Studio", frozenset({"no-named-tool-choice"})),
        "ollama": Dialect(
            "Ollama's /v1",
            frozenset(
                {
                    "no-developer-role",
                    "no-max-completion-tokens",
                    "no-named-tool-choice",
                    "no-tool-choice-none",
                }
            ),
        ),
    }
)

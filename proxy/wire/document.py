"""The catalogue as a document: what a reader with a broken client looks for."""

import re
import textwrap
from collections.abc import Iterable
from functools import reduce
from typing import Final

from proxy.wire.repairs.bodies import SHARED
from proxy.wire.repairs.entry import Repair, Scope

TITLES: Final = {
    Scope.FRAMING: "The event stream",
    Scope.SHAPE: "The shape of a chunk",
    Scope.BODY: "The shape of a whole body",
    Scope.ENVELOPE: "id, object, created, model",
    Scope.USAGE: "Usage",
    Scope.INDEX: "The index of a choice",
    Scope.NUMBERS: "The numbers of all choices",
    Scope.ITEM: "Embeddings and models",
    Scope.TEXT: "Text cut in two",
    Scope.CHOICE: "Texts",
    Scope.ROLE: "Roles",
    Scope.REASON: "Finish reasons",
    Scope.LOGPROBS: "Log probabilities",
    Scope.CALLS: "Calls: the array",
    Scope.CALL: "Calls: each fragment",
    Scope.AFTER_CALLS: "Calls: legacy and tool form",
    Scope.REST: "What is left of a delta",
    Scope.MESSAGE: "Whole messages",
    Scope.FINISH: "How a choice finishes",
    Scope.ENDING: "How a stream ends",
    Scope.ERROR: "Errors",
}
#: Clients and libraries whose faults the entries tell of.
CLIENTS: Final = tuple(
    sorted(
        (
            *(".NET", "AI SDK", "agents SDK", "async-openai", "big-AGI", "chat-ui", "chatbot-ui", "ChatDev"),
            *("Cline", "Codex", "CrewAI", "Dify", "Go", "Hermes", "Home Assistant", "home-llm", "koog"),
            *("Kotlin", "LangChain", "langchain.js", "LangChain4j", "langchain_dart", "liter-llm"),
            *("mattermost-plugin-ai", "Open WebUI", "openai-api-rs", "openai-go", "openai-java"),
            *("openai-kotlin", "openai-node", "openai-php", "openai-python", "OpenCode", "org-ai"),
            *("pydantic-ai", "Roo Code", "Ruby", "serde_json", "SillyTavern", "Spring AI", "Strands", "Zed"),
        ),
        key=str.casefold,
    )
)
_OTHER_WORDS: Final = re.compile(r"\w")
HEAD: Final = """\
# The repairs

Everything that straightwire corrects in an answer. The name of a repair is the name of the fault: it is
the key under `repairs:` in the configuration, the label in `straightwire_repairs_total`, and what stands in
the log. A compliant answer has none of these faults and leaves with its own bytes.

*on* and *off* are defaults. *always* cannot be switched off: without it no stream could be written. Eras are
those of LocalAI, from A (v1.6, May 2023) to T (v4.9). What is said of a delta holds for the message of an
answer that is not streamed, where the entry says so.

This page is written by `straightwire repairs --markdown`.

## By client

What is known of single clients. Others that read the same libraries' types will show the same.
"""


def state(repair: Repair) -> str:
    """Return whether the repair is on, in a word."""
    return "always" if repair.fixed else "on" if repair.default else "off"


def markdown(repairs: Iterable[Repair]) -> str:
    """Return docs/repairs.md."""
    listed = list(repairs)
    by_scope: dict[Scope, list[Repair]] = {}
    for repair in listed:
        by_scope.setdefault(repair.scope, []).append(repair)
    parts = [HEAD, _symptoms(listed)]
    for scope in Scope:
        if scope in by_scope:
            parts.append(f"## {TITLES[scope]}\n")
            parts += [_entry(repair) for repair in by_scope[scope]]
    return "\n".join(parts)


def symptoms(repairs: Iterable[Repair]) -> list[tuple[str, str, str]]:
    """Return what clients are known to show: the client, its symptom, and the name of the repair."""
    rows = []
    for repair in repairs:
        for clause in repair.breaks.split("; "):
            clients = [name for name in CLIENTS if _names(name).search(clause)]
            names, colon, shown = clause.partition(": ")
            if not colon and not _OTHER_WORDS.search(reduce(_without, clients, names)):
                shown = "trips over it"
            rows += [(name, shown or clause, repair.name) for name in clients]
    return sorted(rows, key=lambda row: CLIENTS.index(row[0]))


def _names(client: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(client)}(?![\w-])")


def _without(clause: str, client: str) -> str:
    return _names(client).sub("", clause)


def _symptoms(repairs: Iterable[Repair]) -> str:
    lines = [f"| {client} | {symptom} | [{name}](#{name}) |" for client, symptom, name in symptoms(repairs)]
    return "\n".join(["| client | what it shows | the fault |", "| --- | --- | --- |", *lines]) + "\n"


def table(repairs: Iterable[Repair]) -> str:
    """Return the table that README.md shows: names by subject, and whether they are on."""
    rows: dict[tuple[str, str], list[str]] = {}
    for repair in repairs:
        rows.setdefault((TITLES[repair.scope], state(repair)), []).append(f"`{repair.name}`")
    lines = [f"| {title} | {word} | {' '.join(names)} |" for (title, word), names in rows.items()]
    return "\n".join(["| subject | default | repairs |", "| --- | --- | --- |", *lines]) + "\n"


def _entry(repair: Repair) -> str:
    eras = f" · LocalAI eras {repair.eras}" if repair.eras else ""
    return (
        f"### {repair.name}\n\n"
        f"{repair.summary} *{state(repair)}*{eras}\n\n"
        f"{_code('wrong', repair.wrong)}{_code('right', repair.right)}"
        f"- breaks: {repair.breaks}\n{_where(repair)}"
        f"- known from: {', '.join(repair.sources)}\n"
    )


def _where(repair: Repair) -> str:
    shared = any(repair.name in names for names in SHARED.values())
    return "- where: streams and whole bodies\n" if shared else ""


def _code(label: str, example: str) -> str:
    lines = example.splitlines()
    if len(lines) == 1:
        return f"- {label}: `` {example} ``\n"
    return f"- {label}:\n\n{textwrap.indent(example, '      ')}\n\n"


def plain(repair: Repair) -> str:
    """Return one repair for a terminal."""
    rows = {
        "wrong": repair.wrong,
        "right": repair.right,
        "breaks": repair.breaks,
        "sources": ", ".join(repair.sources),
        "eras": repair.eras,
        "default": state(repair),
    }
    shown = [
        f"{label + ':':9} {textwrap.indent(text, ' ' * 10).strip()}" for label, text in rows.items() if text
    ]
    return "\n".join([repair.name, "", repair.summary, "", *shown])

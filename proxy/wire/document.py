"""The catalogue as a document: what a reader with a broken client looks for."""

import textwrap
from collections.abc import Iterable
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
HEAD: Final = """\
# The repairs

Everything that straightwire corrects in an answer. The name of a repair is the name of the fault: it is
the key under `repairs:` in the configuration, the label in `straightwire_repairs_total`, and what stands in
the log. A compliant answer has none of these faults and leaves with its own bytes.

*on* and *off* are defaults. *always* cannot be switched off: without it no stream could be written. Eras are
those of LocalAI, from A (v1.6, May 2023) to T (v4.9). What is said of a delta holds for the message of an
answer that is not streamed, where the entry says so.

This page is written by `straightwire repairs --markdown`.
"""


def state(repair: Repair) -> str:
    """Return whether the repair is on, in a word."""
    return "always" if repair.fixed else "on" if repair.default else "off"


def markdown(repairs: Iterable[Repair]) -> str:
    """Return docs/repairs.md."""
    by_scope: dict[Scope, list[Repair]] = {}
    for repair in repairs:
        by_scope.setdefault(repair.scope, []).append(repair)
    parts = [HEAD]
    for scope in Scope:
        if scope in by_scope:
            parts.append(f"## {TITLES[scope]}\n")
            parts += [_entry(repair) for repair in by_scope[scope]]
    return "\n".join(parts)


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

"""The catalogue says of every repair what there is to say, and holds every name that is counted."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy.wire
from proxy.wire.repairs import CATALOGUE, ORDER, Repair, Scope
from proxy.wire.repairs.entry import Basis, Outcome
from proxy.wire.requests import Endpoint

ERAS = "ABCDEFGHIJKLMNOPQRST"
of_each = pytest.mark.parametrize("entry", ORDER, ids=lambda entry: entry.name)

#: What a scope's functions are given, besides what some leave unused.
GIVEN = {
    Scope.SHAPE: ["chunk", "stream"],
    Scope.ENVELOPE: ["chunk", "stream"],
    Scope.USAGE: ["chunk", "stream"],
    Scope.INDEX: ["choice", "position", "stream"],
    Scope.BODY: ["body", "stream"],
    Scope.NUMBERS: ["body", "stream"],
    Scope.ITEM: ["item", "position", "stream"],
    Scope.CALL: ["fragment", "stream"],
}
AT_FIXED_POINTS = {Scope.FRAMING, Scope.ENDING, Scope.ERROR}


def test_no_name_is_used_twice() -> None:
    assert len({entry.name for entry in ORDER}) == len(ORDER)
    assert list(CATALOGUE) == [entry.name for entry in ORDER]


@of_each
def test_the_name_is_in_kebab_case(entry: Repair) -> None:
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", entry.name)


@of_each
def test_every_question_of_a_reader_is_answered(entry: Repair) -> None:
    assert re.fullmatch(r"[A-Z`].*\.", entry.summary), "the summary is one sentence"
    for answer in (entry.wrong, entry.right, entry.breaks, *entry.sources):
        assert answer.strip()
    assert entry.wrong != entry.right
    assert entry.sources
    assert entry.basis in Basis
    assert entry.endpoints
    assert entry.endpoints <= set(Endpoint)


@of_each
def test_the_eras_are_eras(entry: Repair) -> None:
    for letters in re.findall(r"\b[A-Z](?:-[A-Z])?\b", entry.eras.replace("HEAD", "").replace("MCP", "")):
        first, last = letters[0], letters[-1]
        assert ERAS.index(first) <= ERAS.index(last)


@of_each
def test_what_has_no_function_is_done_at_a_fixed_point(entry: Repair) -> None:
    if entry.apply is None:
        assert entry.scope in AT_FIXED_POINTS
    else:
        assert not entry.fixed
        given = list(inspect.signature(entry.apply).parameters)
        assert given == GIVEN.get(entry.scope, ["choice", "state", "stream"])


@of_each
def test_what_cannot_be_switched_off_is_on(entry: Repair) -> None:
    assert entry.default or not entry.fixed


def test_only_what_is_kept_counts_as_nothing() -> None:
    assert [outcome for outcome in Outcome if not outcome] == [Outcome.KEPT]


def string_literals(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def counted_names(source: str) -> Iterator[str]:
    """The names that a module counts itself: `count(…)`, `note(…)`, `forms.append(…)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            of_forms = node.func.attr == "append" and isinstance(owner, ast.Name) and owner.id == "forms"
            if node.args and (node.func.attr in ("count", "note") or of_forms):
                yield from string_literals(node.args[0])
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("plan.on"):
            yield from string_literals(node.left)


SOURCES = sorted(Path(proxy.wire.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_name_that_is_counted_is_in_the_catalogue(path: Path) -> None:
    names = {
        name for name in counted_names(path.read_text("utf-8")) if re.fullmatch("[a-z]+(-[a-z]+)+", name)
    }

    assert names <= set(CATALOGUE)


def test_everything_at_a_fixed_point_is_done_somewhere() -> None:
    written = {
        text
        for path in SOURCES
        if path.parent.name != "repairs"
        for text in string_literals(ast.parse(path.read_text("utf-8")))
    }

    assert {entry.name for entry in ORDER if entry.apply is None} <= written

"""The Grafana dashboard asks for what is measured, and nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from tests.measured import samples

ROOT = Path(__file__).parents[1]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "straightwire.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in PANELS}
ALL_QUERIES = [expression for queries in QUERIES.values() for expression in queries]
#: What Grafana puts in the place of its own variables.
VARIABLES = {"$__rate_interval": "1m", "$__range": "6h", "$upstream": "local|other"}
OUTCOMES = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "operation.md").read_text("utf-8")))


def parsed(expression: str) -> promql_parser.Expr:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return promql_parser.parse(expression)


def parts(node: Any) -> Iterator[Any]:
    """Yield an expression and all that is in it."""
    yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (inner := getattr(node, name, None)) is not None:
            yield from parts(inner)
    for argument in getattr(node, "args", None) or []:
        yield from parts(argument)


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    return [part for part in parts(parsed(expression)) if isinstance(part, promql_parser.VectorSelector)]


@pytest.mark.parametrize("expression", ALL_QUERIES)
def test_query_asks_for_samples_and_labels_that_there_are(expression: str) -> None:
    known = samples()
    asked = selectors(expression)
    assert asked
    for selector in asked:
        assert {matcher.name for matcher in selector.matchers.matchers} <= known[selector.name]
    grouped = [
        label
        for part in parts(parsed(expression))
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None
        for label in part.modifier.labels
    ]
    assert set(grouped) <= known[asked[0].name]


@pytest.mark.parametrize("expression", ALL_QUERIES)
def test_counters_are_never_shown_as_they_stand(expression: str) -> None:
    """They fall to zero when a process starts; only their growth says something."""
    inside = [
        selector
        for part in parts(parsed(expression))
        if isinstance(part, promql_parser.Call) and part.func.name in ("rate", "increase")
        for selector in parts(part)
    ]
    for selector in selectors(expression):
        grows = selector.name.endswith(("_total", "_bucket", "_sum", "_count"))
        assert grows == any(str(selector) == str(other) for other in inside)


def test_every_metric_has_a_panel() -> None:
    asked = {selector.name for expression in ALL_QUERIES for selector in selectors(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples()}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} == families


def test_outcomes_and_labels_in_words_are_real() -> None:
    for expression in ALL_QUERIES:
        for values in re.findall(r'outcome[!=~]+"([^"]*)"', expression):
            assert set(values.split("|")) <= OUTCOMES
    for panel in PANELS:
        for target in panel["targets"]:
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            (grouped, *_) = [*re.findall(r"by \(([^)]*)\)", target["expr"]), ""]
            assert shown <= set(grouped.split(", "))


def test_it_can_be_imported_anywhere() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "upstream"]
    label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables["upstream"]["query"]["query"])
    assert label[2] in samples()[label[1]]
    sources = {json.dumps(panel["datasource"]) for panel in PANELS}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells

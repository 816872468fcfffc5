"""What is shown and kept: the table of goals, what each target did, and all of it as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from bench import figures
from bench.goals import Result, judge
from bench.loads import LOADS
from bench.peers import Comparison
from bench.rounds import Run

Rows = Iterable[Sequence[str]]
Document = dict[str, Any]

_VERDICTS: Final = {"stretch": "yes, and the stretch", "met": "yes", "missed": "**no**"}


def document(run: Run) -> Document:
    """Return what is worth keeping of a run, as JSON can hold it."""
    return {"goals": [asdict(result) for result in judge(run)], "targets": _targets(run)}


def results(document: Document) -> list[Result]:
    """Return the results that a document holds."""
    return [Result(**{**line, "values": tuple(line["values"])}) for line in document["goals"]]


def goals_table(document: Document) -> str:
    """Return the table of goals, in Markdown that reads well as plain text."""
    head = ["load", "what", "target", "stretch", "measured", "min … max", "met", "straightwire", "nginx"]
    return markdown([head, *map(_goal_row, results(document))])


def summary_table(document: Document) -> str:
    """Return the table of goals with the columns that a first look needs."""
    head = ["load", "what", "straightwire", "nginx", "measured", "goal"]
    return markdown(
        [head, *([row[at] for at in (0, 1, 7, 8, 4, 2)] for row in map(_goal_row, results(document)))]
    )


def comparisons(document: Document) -> list[Comparison]:
    """Return what a document holds about peers."""
    return [Comparison(**{**line, "values": tuple(line["values"])}) for line in document.get("peers", [])]


def peers_table(document: Document) -> str:
    """Return the table of peers: how many times straightwire's each takes."""
    head = ["peer", "what", "target", "times straightwire's", "min … max", "straightwire", "peer's"]
    return markdown([head, *map(_peer_row, comparisons(document))])


def targets_table(document: Document) -> str:
    """Return what each load found at each target: the medians of all rounds."""
    head = ["load", "target", "CPU", "frames/s", "age p50", "p99", "max µs"]
    rows = []
    for load, by_target in document["targets"].items():
        for target, found in by_target.items():
            cost = found["cpu_us"]
            cpu = "" if cost is None else f"{cost:.2f} µs a {'request' if load == 'request' else 'frame'}"
            counts = (found["frames_per_second"], found["p50_us"], found["p99_us"], found["max_us"])
            rows.append([load, target, cpu, *(f"{count:,.0f}" for count in counts)])
    return markdown([head, *rows])


def durations(document: Document) -> str:
    """Say what the measuring took, part by part."""
    spent = document["weather"]["seconds_spent"]
    return f"It took {document['weather']['seconds']} s: " + ", ".join(
        f"{part} {s} s" for part, s in spent.items()
    )


def shown(result: Result, value: float) -> str:
    """Write a value in the terms in which a result is judged: so many times, or so many units."""
    return f"{value:.2f} ×" if result.is_relative else f"{number(value)} {result.unit}"


def markdown(rows: Rows) -> str:
    """Write a table, its head first, with columns that stand below one another."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in rows
    )
    rule = f"| {' | '.join('-' * max(width, 3) for width in widths)} |"
    return "\n".join([head, rule, *body])


def _goal_row(result: Result) -> list[str]:
    def plain(value: float | None) -> str:
        return "" if value is None else f"{number(value)} {result.unit}"

    def show(value: float) -> str:
        return shown(result, value)

    return [
        result.load,
        result.what,
        show(result.target),
        show(result.stretch),
        show(result.median),
        f"{show(min(result.values))} … {show(max(result.values))}",
        _VERDICTS[result.verdict],
        plain(result.straightwire),
        plain(result.nginx),
    ]


def _peer_row(comparison: Comparison) -> list[str]:
    values, unit = comparison.values, comparison.unit
    return [
        f"{comparison.peer} {comparison.version}",
        comparison.what,
        "" if comparison.target is None else f"at least {number(comparison.target)} ×",
        f"{number(comparison.median)} ×",
        f"{number(min(values))} × … {number(max(values))} ×",
        f"{number(comparison.straightwire)} {unit}",
        f"{number(comparison.peers)} {unit}",
    ]


def number(value: float) -> str:
    """Write a number with about three digits.

    >>> number(1234.5), number(0.3512), number(60.0)
    ('1,234', '0.35', '60')
    """
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _targets(run: Run) -> Document:
    visited = {pair for this in run.rounds for pair in this.samples}
    found: Document = {load: {} for load in (*LOADS, "open") if any(load == name for name, _ in visited)}
    for load, target in sorted(visited):
        found[load][target] = _found(run, load, target)
    return found


def _found(run: Run, load: str, target: str) -> Document:
    def middle(quantity: figures.Quantity) -> float | None:
        values = figures.by_round(run, quantity, target)
        return median(values) if values else None

    return {
        "cpu_us": middle(figures.cost(load)),
        "frames_per_second": middle(figures.pace(load)),
        **{f"{rank}_us": middle(figures.age(load, rank)) for rank in ("p50", "p99", "max")},
    }

"""What the documents take from a measuring: README's figures, the tables and chart of docs/performance.md,
the arithmetic of docs/scaling.md."""

import json
import re
from pathlib import Path
from typing import Final

from bench import chart, fleet, machine, report
from bench.loads import PACED
from bench.report import Document

ROOT: Final = Path(__file__).parents[1]
#: The measuring that the documents quote.
RESULTS: Final = ROOT / "bench" / "results.json"

_LEGEND: Final = """\
A bar is a median as a share of its target: shorter is better. The dashed mark is the stretch; the thin line
goes from the best round to the worst."""

_BLOCK: Final = re.compile(r"(<!-- figures: [^\n]*-->\n).*?(<!-- end of figures -->)", re.DOTALL)


def quoted() -> Document:
    """Return the measuring that the documents quote."""
    return dict(json.loads(RESULTS.read_text("utf-8")))


def render(document: Document) -> dict[Path, str]:
    """Return each file that quotes a measuring, as it has to read."""
    readme, page = ROOT / "README.md", ROOT / "docs" / "performance.md"
    scaling = ROOT / "docs" / "scaling.md"
    return {
        readme: _filled(
            readme, [report.summary_table(document), _in_short(document), *_peers_in_short(document)]
        ),
        page: _filled(page, [_conditions(document), *_tables(document)]),
        scaling: _filled(scaling, list(fleet.parts(document))),
        ROOT / "docs" / "performance.svg": chart.svg(report.results(document)),
    }


def write(document: Document) -> None:
    """Make a measuring the one that the documents quote."""
    RESULTS.write_text(as_json(document), "utf-8")
    for path, text in render(document).items():
        path.write_text(text, "utf-8")


def as_json(document: Document) -> str:
    """Return a measuring as it is kept."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _filled(path: Path, parts: list[str]) -> str:
    block = "\n\n".join(parts)
    return _BLOCK.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", path.read_text("utf-8"))


def _in_short(document: Document) -> str:
    conditions, versions = document["conditions"], document["conditions"]["versions"]
    return (
        f"Medians of {conditions['rounds']} paired rounds, {conditions['date'][:10]},"
        f" on {conditions['cores']} cores of {conditions['cpu']},"
        f" Python {versions['python']}, nginx {versions['nginx']};"
        f" {machine.built(conditions['python_build'])}. {machine.told(document['weather'])}"
    )


def _peers_in_short(document: Document) -> list[str]:
    """Return a sentence for each gateway that was measured: how much more it takes."""
    lines = report.comparisons(document)
    frame, request = (
        {line.peer: line for line in lines if line.what.startswith(what)}
        for what in ("CPU per frame", "CPU per request")
    )
    return [
        f"{peer} {line.version}, at an equal load on a stream that it can read, takes"
        f" {report.number(line.median)} times straightwire's CPU for a frame,"
        f" and {report.number(request[peer].median)} times for a request."
        for peer, line in frame.items()
    ]


def _conditions(document: Document) -> str:
    conditions, weather = document["conditions"], document["weather"]
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    load_average = ", ".join(map(str, weather["load_average"]))
    return (
        f"Measured {conditions['date']} in {conditions['rounds']} paired rounds:"
        f" {conditions['cpu']}, {conditions['cores']} cores, {conditions['memory_gib']} GiB,"
        f" {conditions['system']}, Linux {conditions['kernel']}; {versions}."
        f" {machine.built(conditions['python_build'])}."
        f" Load average at the end {load_average}. {machine.told(weather)}"
    )


def _capacity(document: Document) -> list[str]:
    """Say what a core and a gigabyte carry, where the measuring tells."""
    paced = document["targets"].get("paced", {}).get("straightwire")
    memory = [line.median for line in report.results(document) if line.what == "memory per stream"]
    if not paced or not memory:
        return []
    frames = 1e6 / paced["cpu_us"]
    said = (
        f"So a core carries {frames:,.0f} frames a second, which is {frames / PACED.rate:,.0f} streams of"
        f" {PACED.rate} frames a second, and a GiB carries {2**20 / memory[0]:,.0f} open streams."
    )
    return [said]


def _tables(document: Document) -> list[str]:
    tables = [
        "![Each figure as a share of its target](performance.svg)",
        _LEGEND,
        report.goals_table(document),
        *_capacity(document),
        "What each load found at each target, medians of all rounds:",
        report.targets_table(document),
    ]
    if document["peers"]:
        tables += [
            "A gateway on a compliant stream, beside straightwire on the same:",
            report.peers_table(document),
        ]
    return tables

"""The command: `python -m bench`."""

import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from bench import chart, documents, machine, report, session
from bench.loads import LOADS, opened
from bench.native import BenchError
from bench.peers import PEERS

#: Loads on processes that have just started.
_FRESH = ("start", "open")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--load",
    "chosen",
    multiple=True,
    type=click.Choice([*LOADS, *_FRESH]),
    help="This one alone; may be repeated.",
)
@click.option(
    "--rounds", "count", type=click.IntRange(1), default=5, show_default=True, help="Paired rounds."
)
@click.option("--quick", is_flag=True, help="Shorter loads, and 1,000 open streams.")
@click.option("--streams", type=click.IntRange(1), help="Streams of the load `open`.  [default: 5000]")
@click.option(
    "--peers", multiple=True, type=click.Choice(list(PEERS)), help="Measure this gateway too; installs it."
)
@click.option("--seed", type=int, help="Draws the order of an earlier run again.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep all as JSON, and the chart beside it.",
)
@click.option(
    "--write-docs",
    "quoted",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Measure nothing; let README.md and docs/ quote these results.",
)
def bench(
    chosen: tuple[str, ...],
    count: int,
    quick: bool,
    streams: int | None,
    peers: tuple[str, ...],
    seed: int | None,
    results: Path | None,
    quoted: Path | None,
) -> None:
    """Measure straightwire beside nginx, and print the table of goals.

    CPU is that of the whole process tree; ratios are taken within a round, and the median of them counts.
    """
    if sys.platform != "linux":
        sys.exit("bench: needs Linux, for its clocks and its epoll")
    if quoted:
        documents.write(json.loads(quoted.read_text("utf-8")))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs side by side ends with us
    chosen = chosen or (*LOADS, *_FRESH)
    many = opened(streams or 1_000, ramp=2, stay=5) if quick else opened(streams or 5_000, ramp=12, stay=6)
    began = time.monotonic()
    try:
        document = session.measure(
            [load.short(0.4 if quick else 1.0) for name, load in LOADS.items() if name in chosen],
            many if "open" in chosen else None,
            starts="start" in chosen,
            chosen_peers=peers,
            count=count,
            seed=random.randrange(2**32) if seed is None else seed,
            tell=lambda what: click.echo(f"bench: {time.monotonic() - began:4.0f} s: {what}", err=True),
        )
    except BenchError as error:
        sys.exit(f"bench: {error}")
    if results:
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(documents.as_json(document), "utf-8")
        results.with_suffix(".svg").write_text(chart.svg(report.results(document)), "utf-8")
    click.echo("\n" + "\n\n".join(_shown(document)))


def _shown(document: report.Document) -> Iterator[str]:
    if document["targets"]:
        yield report.targets_table(document)
    if document["goals"]:
        yield report.goals_table(document)
    if document["peers"]:
        yield report.peers_table(document)
    yield f"{machine.told(document['weather'])} {machine.built(document['conditions']['python_build'])}."
    yield report.durations(document)


if __name__ == "__main__":
    bench(prog_name="python -m bench")

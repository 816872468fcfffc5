"""The command: `python -m bench`."""

import json
import random
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from bench import machine, report, rounds
from bench.loads import LOADS, Load, opened
from bench.native import LOCALAI, BenchError, emitter
from bench.rounds import Round, Run
from bench.targets import TARGETS, new_key

#: Loads of their own kind: processes that are started anew.
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
@click.option("--quick", is_flag=True, help="Shorter loads, and 1,000 open streams: under two minutes.")
@click.option("--streams", type=click.IntRange(1), help="Streams of the load `open`.  [default: 5000]")
@click.option("--seed", type=int, help="Draws the order of an earlier run again.")
@click.option("--results", type=click.Path(path_type=Path), metavar="FILE", help="Keep everything as JSON.")
def bench(
    chosen: tuple[str, ...],
    count: int,
    quick: bool,
    streams: int | None,
    seed: int | None,
    results: Path | None,
) -> None:
    """Measure straightwire beside nginx, and print the table of goals.

    CPU is that of the whole process tree; ratios are taken within a round, and the median of them counts.
    """
    seed = random.randrange(2**32) if seed is None else seed
    chosen = chosen or (*LOADS, *_FRESH)
    loads = [load.short(0.3 if quick else 1.0) for name, load in LOADS.items() if name in chosen]
    many = opened(streams or (1_000 if quick else 5_000), seconds=3 if quick else 10)
    try:
        document = _measure(chosen, loads, many, count, random.Random(seed))
    except BenchError as error:
        sys.exit(f"bench: {error}")
    document["seed"] = seed
    click.echo(f"\n{report.targets_table(document)}\n\n{report.goals_table(document)}\n")
    if notice := machine.warning(document["weather"]):
        click.echo(notice)
    if results:
        results.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _measure(
    chosen: tuple[str, ...], loads: list[Load], many: Load, count: int, shuffle: random.Random
) -> report.Document:
    run = Run([Round() for _ in range(count)])
    conditions = machine.conditions()
    before = machine.Weather.now()
    key = new_key()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="straightwire-bench-")))
        folder.chmod(0o755)  # nginx's worker is not always the user that we are
        upstream, _ = stack.enter_context(emitter(LOCALAI))
        starters = {name: partial(start, upstream, key, folder) for name, start in TARGETS.items()}
        if loads:
            with ExitStack() as side_by_side:
                targets = [side_by_side.enter_context(start()) for start in starters.values()]
                rounds.steady(run, targets, loads, key=key, shuffle=shuffle, tell=_tell)
        if set(chosen) & set(_FRESH):
            load = many if "open" in chosen else None
            rounds.fresh(run, starters, load, key=key, shuffle=shuffle, tell=_tell)
    return report.document(run, conditions, before.since())


def _tell(what: str) -> None:
    click.echo(f"bench: {what}", err=True)


if __name__ == "__main__":
    bench(prog_name="python -m bench")

"""`python -m fuzz [--seconds N] [TARGET …]`: search each target in a process of its own.

An input that breaks a promise is kept in fuzz/found, where the suite plays it, until it is mended and after.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from fuzz.seeds import FOUND, seeds
from fuzz.targets import TARGETS

#: Bytes of an input; more makes the search slower, not better.
_LONGEST = 4096
#: Seconds for one input; a promise that takes longer is broken as well.
_LONGEST_RUN = 10


@click.command()
@click.option("--seconds", default=60, show_default=True, help="For each target.")
@click.argument("targets", nargs=-1, type=click.Choice(sorted(TARGETS)))
def fuzz(seconds: int, targets: tuple[str, ...]) -> None:
    """Search for inputs that break what must not break."""
    FOUND.mkdir(exist_ok=True)
    broken = [target for target in targets or TARGETS if not searched(target, seconds)]
    if broken:
        sys.exit(f"broken: {', '.join(broken)}; the inputs are in fuzz/found")


def searched(target: str, seconds: int) -> bool:
    """Search one target; say whether it held."""
    click.echo(f"{target}: {seconds} s")
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(target)):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-timeout={_LONGEST_RUN}"]
        kept = f"-artifact_prefix={FOUND}/{target}-"
        search = [sys.executable, "-m", "fuzz.search", target, *limits, kept, "-verbosity=0", corpus]
        return subprocess.run(search, check=False).returncode == 0


if __name__ == "__main__":
    fuzz()

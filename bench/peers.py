"""Other gateways, on a stream that they can read.

A peer is installed into a virtual environment of its own, once. What LocalAI of May 2023 sends none of them
makes readable, so peers, and straightwire beside them, get the compliant stream; and they get a smaller load,
since a frame costs each of them many times as much. A frame costs more CPU at a low rate, on sleeping cores
with cold caches, so that these figures stand only beside each other.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench import figures
from bench.figures import OURS
from bench.loads import Load
from bench.native import BUILD, BenchError
from bench.rounds import Run
from bench.targets import Starter, Target, free_port, running

#: What a peer has to bear.
LOADS: Final = (
    Load("paced", streams=10, frames=100, rate=20, gap=5_000),
    Load("request", streams=1, frames=1, requests=40),
)

_LITELLM: Final = """\
model_list:
  - model_name: "*"
    litellm_params: {{model: "openai/*", api_base: "http://127.0.0.1:{upstream}/v1", api_key: "{key}"}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false}}
"""


@contextmanager
def litellm(upstream: int, key: str, folder: Path) -> Iterator[Target]:
    """LiteLLM's proxy with its defaults, one worker."""
    config, port = folder / "litellm.yaml", free_port()
    config.write_text(_LITELLM.format(upstream=upstream, key=key))
    program = _environment("litellm[proxy]") / "bin" / "litellm"
    options = ["--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", 1]
    # Its table of prices is in the package; it need not be fetched from the network.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    command = [str(program), *map(str, options)]
    with running("litellm", command, port, key, folder, environment=environment) as target:
        yield target


PEERS: Final[dict[str, Starter]] = {"litellm": litellm}


@dataclass(frozen=True)
class Comparison:
    """How many times straightwire's a peer takes; made of plain values, to be kept as JSON."""

    peer: str
    version: str
    what: str
    unit: str
    #: At least so many times as much is the goal; None where there is none.
    target: float | None
    #: The peer's over straightwire's, by round.
    values: tuple[float, ...]
    #: Medians of the quantity itself.
    straightwire: float
    peers: float


def compare(run: Run, peer: str) -> list[Comparison]:
    """Return what a run on the compliant stream has about a peer."""
    return [
        Comparison(
            peer=peer,
            version=version_of(peer),
            what=what,
            unit=unit,
            target=target,
            values=figures.ratios(run, quantity, peer, OURS),
            straightwire=median(figures.by_round(run, quantity, OURS)),
            peers=median(figures.by_round(run, quantity, peer)),
        )
        for what, quantity, unit, target in (
            ("CPU per frame, 10 streams × 20 frames/s", figures.frame_cost("paced"), "µs", 10.0),
            ("CPU per request with one frame", figures.request_cost, "µs", 75.0),
            ("memory, idle", figures.idle_memory, "MiB", None),
            ("CPU to start", figures.start_cpu, "s", None),
        )
    ]


def version_of(peer: str) -> str:
    """Return the version of an installed peer."""
    command = [str(BUILD / peer / "bin" / "python"), "-m", "pip", "list", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return str({package["name"]: package["version"] for package in json.loads(listed)}[peer])


def _environment(requirement: str) -> Path:
    """Return a virtual environment with a peer in it, made at the first call."""
    name = requirement.partition("[")[0]
    folder = BUILD / name
    done = folder / ".complete"
    if not done.exists():
        print(f"bench: installing {requirement} into {folder}; this takes minutes, once", file=sys.stderr)
        python = str(folder / "bin" / "python")
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
        ):
            if subprocess.run(command, check=False).returncode:
                raise BenchError(f"could not install {requirement} (see above)")
        done.touch()
    return folder

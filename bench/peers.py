"""Other gateways, on a stream that they can read.

A peer is installed into a virtual environment of its own, once. None of them makes readable what LocalAI of
May 2023 sends, and some fail on it, so peers, and straightwire beside them, get the compliant stream. They
get a smaller load too, since to some a frame is many times as dear. Frames cost more CPU at a low rate, on
sleeping cores with cold caches, so that these figures stand only beside each other.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from bench import figures
from bench.figures import OURS
from bench.loads import MODEL, Load
from bench.native import BUILD, BenchError
from bench.rounds import Run
from bench.targets import Starter, Target, free_ports, running

#: What a peer has to bear.
LOADS: Final = (
    Load("paced", streams=10, frames=100, rate=20, gap=5_000),
    Load("request", streams=1, frames=1, requests=200),
)


@dataclass(frozen=True)
class Peer:
    """A gateway from the Python package index, with its defaults and one worker."""

    #: What pip installs, and the name of the distribution in it.
    requirement: str
    #: The command within its environment, given its port, the emitter's port, and its configuration file.
    command: Callable[[int, int, Path], list[str]]
    #: Its configuration, with {port}, {upstream}, {key} and {model} in it.
    configuration: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    #: At least so many times straightwire's: CPU per frame, and per request; None where there is no goal.
    goals: tuple[float | None, float | None] = (None, None)

    @property
    def name(self) -> str:
        return self.requirement.partition("[")[0]

    @property
    def folder(self) -> Path:
        return BUILD / self.name

    @property
    def version(self) -> str:
        """The version that is installed."""
        command = [str(self.folder / "bin" / "python"), "-m", "pip", "list", "--format", "json"]
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        return str({package["name"]: package["version"] for package in json.loads(listed)}[self.name])


# The model by its name: with a wildcard in its place a request takes LiteLLM a third more.
_LITELLM: Final = Peer(
    "litellm[proxy]",
    lambda port, _, file: [
        *("litellm", "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    ],
    """\
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: "{key}"}}
general_settings: {{master_key: "{key}"}}
litellm_settings: {{telemetry: false}}
""",
    # Its table of prices is in the package; it need not be fetched from the network.
    {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    goals=(10.0, 75.0),
)

_LM_PROXY: Final = Peer(
    "lm-proxy",
    lambda _, __, file: ["lm-proxy", "--config", str(file)],
    """\
host = "127.0.0.1"
port = {port}
connections.emitter = {{api_type = "open_ai", api_base = "http://127.0.0.1:{upstream}/v1", api_key = "{key}"}}
routing = {{"*" = "emitter.*"}}
groups.default = {{api_keys = ["{key}"]}}
""",
)

# It looks into no frame: Rust, and what a gateway costs that only forwards.
_SGLANG_ROUTER: Final = Peer(
    "sglang-router",
    lambda port, upstream, _: [
        *("sglang-router", "launch", "--host", "127.0.0.1", "--port", str(port)),
        *("--worker-urls", f"http://127.0.0.1:{upstream}"),
    ],
)


def _starter(peer: Peer) -> Starter:
    return partial(_running, peer)


@contextmanager
def _running(peer: Peer, upstream: int, key: str, folder: Path) -> Iterator[Target]:
    [port], file = free_ports(1), folder / f"{peer.name}.toml"
    file.write_text(peer.configuration.format(port=port, upstream=upstream, key=key, model=MODEL))
    program, *options = peer.command(port, upstream, file)
    command = [str(peer.folder / "bin" / program), *options]
    with running(peer.name, command, port, key, folder, environment=peer.environment) as target:
        yield target


def install(peer: Peer) -> None:
    """Make a virtual environment with a peer in it, unless there is one from an earlier call.

    Raises:
        BenchError: pip could not install it.
    """
    done = peer.folder / ".complete"
    if done.exists():
        return
    print(
        f"bench: installing {peer.requirement} into {peer.folder}; this takes minutes, once", file=sys.stderr
    )
    python = str(peer.folder / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(peer.folder)],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", peer.requirement],
    ):
        if subprocess.run(command, check=False).returncode:
            raise BenchError(f"could not install {peer.requirement} (see above)")
    done.touch()


PEERS: Final = {peer.name: peer for peer in (_LITELLM, _LM_PROXY, _SGLANG_ROUTER)}
STARTERS: Final[dict[str, Starter]] = {name: _starter(peer) for name, peer in PEERS.items()}


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

    @property
    def median(self) -> float:
        return median(self.values)


def compare(run: Run, peer: Peer, version: str) -> list[Comparison]:
    """Return what a run on the compliant stream has about a peer."""
    frame, request = peer.goals
    return [
        Comparison(
            peer=peer.name,
            version=version,
            what=what,
            unit=unit,
            target=target,
            values=figures.ratios(run, quantity, peer.name, OURS),
            straightwire=median(figures.by_round(run, quantity, OURS)),
            peers=median(figures.by_round(run, quantity, peer.name)),
        )
        for what, quantity, unit, target in (
            ("CPU per frame, 10 streams × 20 frames/s", figures.cost("paced"), "µs", frame),
            ("CPU per request with one frame", figures.cost("request"), "µs", request),
            ("memory, idle", figures.idle_memory, "MiB", None),
            ("CPU to start", figures.start_cpu, "s", None),
        )
    ]

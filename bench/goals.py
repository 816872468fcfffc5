"""What was promised, and what came out."""

from dataclasses import dataclass
from statistics import median
from typing import Final

from bench import figures
from bench.figures import OURS, REFERENCE, Quantity
from bench.rounds import Run


@dataclass(frozen=True)
class Goal:
    """One line of the table: a quantity, and how much of it may be."""

    load: str
    what: str
    quantity: Quantity
    unit: str
    target: float
    stretch: float
    #: The target is a number of times the reference's, in the place of so many units.
    is_relative: bool = False


@dataclass(frozen=True)
class Result:
    """A line of the table with what a run has for it; made of plain values, to be kept as JSON."""

    load: str
    what: str
    unit: str
    target: float
    stretch: float
    is_relative: bool
    #: What is judged, by round.
    values: tuple[float, ...]
    #: Medians of the quantity itself.
    straightwire: float
    nginx: float | None

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def verdict(self) -> str:
        if self.median <= self.stretch:
            return "stretch"
        return "met" if self.median <= self.target else "missed"


def _milliseconds(quantity: Quantity) -> Quantity:
    return lambda run, this, target: quantity(run, this, target) / 1000


_PACED: Final = "50 streams × 40 frames/s"
_LONE: Final = "1 stream × 500 frames/s"
#: Their number is an option, and takes the place of the braces.
_OPEN: Final = "{:,} open streams, 1 frame/s each"

GOALS: Final = (
    Goal(_PACED, "CPU per frame", figures.cost("paced"), "µs", 1.4, 1.25, is_relative=True),
    Goal(_LONE, "CPU per frame", figures.cost("lone"), "µs", 2.0, 1.6, is_relative=True),
    Goal(_LONE, "added latency, p50", figures.added_age("lone", "p50"), "µs", 1.5, 1.2, is_relative=True),
    Goal("4 streams, all frames at once", "CPU per frame", figures.cost("flood"), "µs", 5.0, 3.0),
    Goal(
        "requests with one frame",
        "CPU per request",
        figures.cost("request"),
        "µs",
        5.0,
        3.0,
        is_relative=True,
    ),
    Goal(_OPEN, "memory per stream", figures.stream_memory, "KiB", 24.0, 20.0),
    Goal(_OPEN, "age of a frame, p99", _milliseconds(figures.age("open", "p99")), "ms", 25.0, 12.0),
    Goal("idle", "memory", figures.idle_memory, "MiB", 60.0, 45.0),
    Goal("start", "CPU", figures.start_cpu, "s", 0.6, 0.35),
)


def judge(run: Run) -> list[Result]:
    """Return a result for each goal that the run looked at."""
    return [result for goal in GOALS if (result := _judge(goal, run))]


def _streams_open(run: Run) -> int:
    samples = (sample for this in run.rounds for sample in this.samples.values())
    return max((sample.load.streams for sample in samples if sample.load.name == "open"), default=0)


def _judge(goal: Goal, run: Run) -> Result | None:
    ours = figures.by_round(run, goal.quantity, OURS)
    reference = figures.by_round(run, goal.quantity, REFERENCE)
    judged = figures.ratios(run, goal.quantity) if goal.is_relative else ours
    if not judged:
        return None
    return Result(
        load=goal.load.format(_streams_open(run)),
        what=goal.what,
        unit=goal.unit,
        target=goal.target,
        stretch=goal.stretch,
        is_relative=goal.is_relative,
        values=judged,
        straightwire=median(ours),
        nginx=median(reference) if reference else None,
    )

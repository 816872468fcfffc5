"""The chart of the goals, as an SVG: how near each figure is to its target."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from bench.goals import Result
from bench.report import shown

#: Pixels.
_WIDTH: Final = 780
_ROW: Final = 34
_TOP: Final = 34
_LABELS: Final = 240
_BARS: Final = 420

#: The axis ends at so many times the target; what lies beyond is cut, and ends in an arrow.
_END: Final = 2.0

_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px; fill: #57606a }
.track { fill: #eaeef2 } .met { fill: #2da44e } .missed { fill: #cf222e } .line { stroke: #24292f }
.whisker { stroke: #24292f } .stretch { stroke: #24292f; stroke-dasharray: 2 2; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #8d96a0 } .track { fill: #21262d } .line { stroke: #e6edf3 }
  .whisker, .stretch { stroke: #e6edf3 }
}
"""


def svg(results: Sequence[Result]) -> str:
    """Draw the results.

    A bar is the median as a share of its target, and the target is the same full line for all. The dashed
    mark is the stretch, the thin line the range from the best round to the worst. Shorter is better.
    """
    height = _TOP + _ROW * len(results) + 6
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>Each figure as a share of its target</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="small" x="{_x(1)}" y="14" text-anchor="middle">target</text>',
    ]
    for number, result in enumerate(results):
        lines += _row(result, _TOP + _ROW * number)
    lines.append(f'<line class="line" x1="{_x(1)}" y1="20" x2="{_x(1)}" y2="{height - 6}"/>')
    return "\n".join([*lines, "</svg>", ""])


def _row(result: Result, top: int) -> Iterator[str]:
    middle = top + _ROW // 2
    share = result.median / result.target
    stretch = _x(result.stretch / result.target)
    kind = "missed" if result.verdict == "missed" else "met"
    yield f'<text x="0" y="{middle - 2}">{escape(result.what)}</text>'
    yield f'<text class="small" x="0" y="{middle + 12}">{escape(result.load)}</text>'
    yield f'<rect class="track" x="{_LABELS}" y="{top + 8}" width="{_BARS}" height="18"/>'
    yield f'<rect class="{kind}" x="{_LABELS}" y="{top + 11}" width="{_x(share) - _LABELS:.1f}" height="12"/>'
    yield _vertical("stretch", stretch, top + 8, top + 26)
    least, most = (_x(bound(result.values) / result.target) for bound in (min, max))
    yield f'<line class="whisker" x1="{least}" y1="{middle}" x2="{most}" y2="{middle}"/>'
    value = shown(result, result.median) + (" ▸" if share > _END else "")
    yield f'<text x="{_LABELS + _BARS + 10}" y="{middle + 5}">{escape(value)}</text>'


def _vertical(kind: str, x: float, top: int, bottom: int) -> str:
    return f'<line class="{kind}" x1="{x}" y1="{top}" x2="{x}" y2="{bottom}"/>'


def _x(share: float) -> float:
    return round(_LABELS + _BARS * max(0.0, min(share, _END)) / _END, 1)

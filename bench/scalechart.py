"""Pages a second by the number of contexts as an SVG, for one Redis and for Clusters."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bench.chart import STYLE

WIDTH, HEIGHT = 860, 470
LEFT, RIGHT, TOP, BOTTOM = 76, 150, 84, 58
LINES = """
  .one { stroke: #c9502b } .four { stroke: #0f8a6c } .eight { stroke: #5a6c9d }
  .curve { fill: none; stroke-width: 2 }
  .axis { text-anchor: end } .middle { text-anchor: middle } .mark { fill: #1f2933 }
  @media (prefers-color-scheme: dark) { .one { stroke: #e0764f } .four { stroke: #2fbf98 }
  .eight { stroke: #8fa3d8 } .mark { fill: #e6ebf0 } }
"""
KINDS = ("one", "four", "eight")
Points = Sequence[tuple[float, float]]


def draw(curves: Mapping[int, Points], marks: Sequence[tuple[float, float, str]]) -> str:
    """Return the chart: `curves` by the number of masters, `marks` are (contexts, pages a second, name)."""
    points = [point for curve in curves.values() for point in curve]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    most = 1.06 * max(y for _, y in points)

    def x_of(contexts: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(contexts / low) / math.log(high / low)

    def y_of(per_s: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - per_s / most)

    parts = []
    step = 10 ** math.floor(math.log10(most)) / 2
    for number in range(int(most / step) + 1):
        y = y_of(number * step)
        parts.append(f'<line class="line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="quiet axis" x="{LEFT - 8}" y="{y + 4:.1f}">{number * step:,.0f}</text>')
    for mark in (250, 500, 1000, 2000, 4000, 8000, 16000):
        if low <= mark <= high:
            x = x_of(mark)
            parts.append(f'<text class="quiet middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}">{mark:,}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="quiet middle" x="{middle}" y="{HEIGHT - 16}">contexts of all nodes, 40 each</text>'
    )
    ends = []
    for kind, (masters, curve) in zip(KINDS, curves.items(), strict=False):
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in curve)
        parts.append(f'<polyline class="curve {kind}" points="{path}"/>')
        name = "One Redis" if masters == 1 else f"Cluster of {masters}"
        ends.append((y_of(curve[-1][1]), name))
    before = -math.inf
    for end, name in sorted(ends):
        before = max(end, before + 16)
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{before + 4:.1f}">{name}</text>')
    for contexts, per_s, name in marks:
        left, top = x_of(contexts), y_of(per_s)
        parts.append(f'<circle class="mark" cx="{left:.1f}" cy="{top:.1f}" r="4"/>')
        parts.append(f'<text class="quiet middle" x="{left:.1f}" y="{top + 20:.1f}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" '
        f'role="img" aria-label="Pages a second by contexts"><style>{STYLE}{LINES}</style>'
        f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="10"/>'
        '<text class="title" x="24" y="36">Pages a second of many nodes, simulated</text>'
        '<text class="quiet" x="24" y="57">React pages of 61 ms of processor time and 50 links, on nodes of 8 '
        f"cores; sites answer in 0.3 s</text>{''.join(parts)}</svg>\n"
    )

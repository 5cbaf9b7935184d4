"""The course of a soak as an SVG: memory against the budget, contexts, pages a second, one above the other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.chart import STYLE

if TYPE_CHECKING:
    from bench.soak import Soak

WIDTH, LEFT, RIGHT = 860, 64, 24
HEAD, PANEL, GAP = 76, 136, 50
ABOVE = 1.08
"""How much higher a panel is than the most that it shows."""
PAGES_BIN_S = 5.0
LINES = """
  .memory { fill: none; stroke: #0f8a6c; stroke-width: 1.6 } .area { fill: #0f8a6c; opacity: .12 }
  .limit { stroke: #c9502b; stroke-width: 1.4; stroke-dasharray: 5 4; fill: none }
  .other { fill: none; stroke: #5a6c9d; stroke-width: 1.4; opacity: .8 } .axis { text-anchor: end }
  @media (prefers-color-scheme: dark) { .memory { stroke: #2fbf98 } .limit { stroke: #e0764f }
  .other { stroke: #8fa3d8 } }
"""
Points = Sequence[tuple[float, float]]


def draw(soak: "Soak", budget_mib: float) -> str:
    """Return the chart."""
    ends = max(sample.at for sample in soak.samples)
    memory = [(sample.at, sample.pss_mib) for sample in soak.samples]
    contexts = [(sample.at, float(sample.renderers)) for sample in soak.samples]
    limits = [(at, float(limit)) for at, limit, _ in soak.limits]
    bins = [0] * (int(ends / PAGES_BIN_S) + 1)
    for at in soak.pages:
        bins[min(len(bins) - 1, max(0, int(at / PAGES_BIN_S)))] += 1
    # The last bin is cut off by the end and would show a fall that was none.
    pages = [((n + 0.5) * PAGES_BIN_S, count / PAGES_BIN_S) for n, count in enumerate(bins[:-1])]
    most_contexts = max([value for _, value in (*contexts, *limits)] + [1.0])
    parts = [
        _panel("Memory (PSS of the whole tree), MiB; dashed: the budget", 0, budget_mib, ends),
        _line(memory, 0, budget_mib, ends, "memory"),
        _line([(0.0, budget_mib), (ends, budget_mib)], 0, budget_mib, ends, "limit"),
        _panel("Renderers, and contexts admitted (dashed)", 1, most_contexts, ends),
        _line(contexts, 1, most_contexts, ends, "other"),
        _line(_stairs(limits, ends), 1, most_contexts, ends, "limit"),
    ]
    most_pages = max([value for _, value in pages] + [1.0])
    parts += [
        _panel("Pages a second", 2, most_pages, ends),
        _line(pages, 2, most_pages, ends, "memory"),
    ]
    height = HEAD + 3 * (PANEL + GAP) + 10
    title = f"{soak.options['contexts']} contexts, {soak.options['memory']}, leaking and hostile pages"
    quiet = f"load of the machine {soak.load[0]:.1f} before, {soak.load[1]:.1f} after"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="Course of a soak"><style>{STYLE}{LINES}</style>'
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="10"/>'
        f'<text class="title" x="24" y="34">Soak: {title}</text>'
        f'<text class="quiet" x="24" y="54">{quiet}</text>{"".join(parts)}</svg>\n'
    )


def _stairs(limits: Points, ends: float) -> Points:
    steps: list[tuple[float, float]] = []
    for at, limit in limits:
        if steps:
            steps.append((at, steps[-1][1]))
        steps.append((at, limit))
    return [*steps, (ends, steps[-1][1])] if steps else []


def _top(number: int) -> float:
    return HEAD + number * (PANEL + GAP) + 18


def _panel(title: str, number: int, most: float, ends: float) -> str:
    top = _top(number)
    parts = [f'<text class="panel" x="24" y="{top - 8}">{title}</text>']
    for share in (0.0, 0.5, 1.0):
        y = top + PANEL * (1 - share / ABOVE)
        label = f"{most * share:,.0f}" if most >= 10 else f"{most * share:.1f}"  # noqa: PLR2004
        parts.append(f'<line class="line" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="quiet axis" x="{LEFT - 8}" y="{y + 4}">{label}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LEFT + (WIDTH - LEFT - RIGHT) * share
        parts.append(
            f'<text class="quiet axis" x="{x + 12}" y="{top + PANEL + 15}">{ends * share:.0f} s</text>'
        )
    return "".join(parts)


def _line(points: Points, number: int, most: float, ends: float, kind: str) -> str:
    if not points:
        return ""
    top, room = _top(number), WIDTH - LEFT - RIGHT
    places = [(LEFT + room * at / ends, top + PANEL * (1 - value / most / ABOVE)) for at, value in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    area = ""
    if kind == "memory":
        floor = top + PANEL
        area = (
            f'<polygon class="area" points="{places[0][0]:.1f},{floor} {path} {places[-1][0]:.1f},{floor}"/>'
        )
    return f'{area}<polyline class="{kind}" points="{path}"/>'

"""The medians as an SVG: a panel for each workload and number of workers, a bar for each subject.

Plain SVG with its own style, light or dark as the reader's system is; nothing is loaded from anywhere.
"""

from typing import Any
from xml.sax.saxutils import escape

from bench.report import Summary, machine_line
from bench.subjects import FARM, FLOOR
from bench.trial import Figures
from bench.workloads import WHAT

WIDTH = 960
LEFT, RIGHT = 200, 334
BAR, STEP = 20, 30
HEAD = 78
PANEL_HEAD, PANEL_FOOT = 46, 22
STYLE = """
  .back { fill: #ffffff } text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2933 }
  .title { font-size: 20px; font-weight: 650 } .panel { font-size: 14px; font-weight: 600 }
  .quiet { fill: #6b7785; font-size: 12px } .name { text-anchor: end } .own { font-weight: 650 }
  .track { fill: #eef1f4 } .farm { fill: #0f8a6c } .peer { fill: #9fb0c0 } .floor { fill: none; stroke: #c9852b;
  stroke-width: 1.5; stroke-dasharray: 4 3 } .line { stroke: #dde3e8 }
  @media (prefers-color-scheme: dark) { .back { fill: #12181f } text { fill: #e6ebf0 } .quiet { fill: #93a1ae }
  .track { fill: #1d2630 } .farm { fill: #2fbf98 } .peer { fill: #5a6c7d } .floor { stroke: #e0a551 }
  .line { stroke: #2a3540 } }
"""


def draw(summary: Summary, machine: dict[str, Any]) -> str:
    """Return the chart."""
    parts: list[str] = []
    top = HEAD
    for (name, workers), group in summary.groups.items():
        parts.append(_panel(summary, f"{WHAT[name]} · {workers} workers", group, top))
        top += PANEL_HEAD + STEP * len(group) + PANEL_FOOT
    height = top + 14
    about = (
        f"medians of {summary.rounds} interleaved rounds; same pages, browser, workers, blocking and work "
        "· dashed: the browser alone, by raw CDP"
    )
    head = (
        '<text class="title" x="24" y="36">Pages per second</text>'
        f'<text class="quiet" x="24" y="57">{about}</text>'
    )
    foot = f'<text class="quiet" x="24" y="{height - 14}">{escape(machine_line(machine))}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="Pages per second of the farm and others"><style>{STYLE}</style>'
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="10"/>{head}{"".join(parts)}{foot}</svg>\n'
    )


def _panel(summary: Summary, title: str, group: list[Figures], top: int) -> str:
    most = max([one.pages_per_s for one in group] + [1e-9])
    farm = next((one.pages_per_s for one in group if one.subject == FARM), None)
    # The farm, then the others by rate; the floor last, as the reference.
    places = {FARM: 0, FLOOR: 2}
    rows = sorted(group, key=lambda one: (places.get(one.subject, 1), -one.pages_per_s))
    line = f'<line class="line" x1="24" x2="{WIDTH - 24}" y1="{top}" y2="{top}"/>'
    heading = escape(title[0].upper() + title[1:])
    parts = [line, f'<text class="panel" x="24" y="{top + 28}">{heading}</text>']
    for at, one in enumerate(rows):
        parts.append(_bar(one, summary.label(one.subject), most, farm, top + PANEL_HEAD + at * STEP))
    return "".join(parts)


def _bar(one: Figures, label: str, most: float, farm: float | None, top: int) -> str:
    room = WIDTH - LEFT - RIGHT
    width = max(2.0, room * one.pages_per_s / most)
    kind = {FARM: "farm", FLOOR: "floor"}.get(one.subject, "peer")
    own = " own" if one.subject == FARM else ""
    ratio = ""
    if farm and one.subject != FARM:
        ratio = f"{one.pages_per_s / farm:.2f} of the farm"
    cost = f"{one.cpu_ms:.0f} ms CPU · {one.peak_pss_mib:,.0f} MiB"
    base = top + 15
    return (
        f'<text class="name{own}" x="{LEFT - 12}" y="{base}">{escape(label)}</text>'
        f'<rect class="track" x="{LEFT}" y="{top}" width="{room}" height="{BAR}" rx="4"/>'
        f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}" rx="4"/>'
        f'<text class="own" x="{LEFT + room + 12}" y="{base}">{one.pages_per_s:.1f}</text>'
        f'<text class="quiet" x="{LEFT + room + 52}" y="{base}">{escape(cost)}</text>'
        f'<text class="quiet name" x="{WIDTH - 24}" y="{base}">{escape(ratio)}</text>'
    )

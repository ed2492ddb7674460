# SPDX-License-Identifier: GPL-2.0-or-later
"""Charts as SVG: lines over time on one scale, distinguished by colour and by dashes, with a legend in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import pairwise

from kmltui.figures.charts import Bars, Chart, Dots, Line
from kmltui.printable import printable

_WIDTH, _HEIGHT = 880.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 12.0, 34.0, 24.0
_COLOURS = ("--a", "--b", "--c", "--d")
_DASHES = ("", "5 4")


def draw(chart: Chart | Dots | Bars) -> str:
    """An ``<svg>`` element; its colours are the page's custom properties."""
    match chart:
        case Dots():
            return "\n".join(_dots(chart))
        case Bars():
            return "\n".join(_bars(chart))
        case Chart():
            return "\n".join(_lines(chart))


def _lines(chart: Chart) -> Iterator[str]:
    begin, end = chart.edges_s[0], chart.edges_s[-1]
    top = _ceiling(max((value for line in chart.lines for value in line.values if value is not None), default=0.0))

    def x(seconds: float) -> float:
        return _LEFT + (seconds - begin) / (end - begin) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)

    label = f"{chart.title}, {chart.unit}"
    parts = [_begin(label, _HEIGHT)]
    for step in range(5):
        value = top * step / 4
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    parts += [
        f'<text x="{x(seconds):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{_time(seconds)}</text>'
        for seconds in _ticks(begin, end)
    ]
    parts += _phases(chart, x)
    sessions = list(dict.fromkeys(line.session for line in chart.lines))
    names = list(dict.fromkeys(line.name for line in chart.lines))
    middles = [x((a + b) / 2) for a, b in pairwise(chart.edges_s)]
    for number, line in enumerate(chart.lines):
        colour = _COLOURS[sessions.index(line.session) % len(_COLOURS)]
        dash = _DASHES[names.index(line.name) % len(_DASHES)]
        style = f'fill="none" stroke="var({colour})" stroke-width="1.6"' + (
            f' stroke-dasharray="{dash}"' if dash else ""
        )
        for path in _paths(line, middles, y):
            parts.append(f'<path d="{path}" {style}/>')
        parts += _legend(line, number, style)
    yield from parts
    yield "</svg>"


def _begin(label: str, height: float) -> str:
    return f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(label, quote=True)}">'


def _dots(chart: Dots) -> Iterator[str]:
    """A row of dots around zero; the interval as a band."""
    height = 150.0
    reach = _ceiling(max(map(abs, [*chart.values, *(chart.interval or ())])))
    middle = (height - 20) / 2 + 6

    def y(value: float) -> float:
        return middle - value / reach * (middle - 12)

    yield _begin(f"{chart.title}, {chart.unit}", height)
    if chart.interval is not None:
        low, high = chart.interval
        yield (
            f'<rect x="{_LEFT}" y="{y(high):.1f}" width="{_WIDTH - _LEFT - _RIGHT}"'
            f' height="{max(1.0, y(low) - y(high)):.1f}" fill="var(--a)" opacity="0.2"/>'
        )
    for value in (-reach, 0.0, reach):
        yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
    step = (_WIDTH - _LEFT - _RIGHT) / len(chart.values)
    every = math.ceil(28 / step)
    for index, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        x = _LEFT + step * (index + 0.5)
        yield f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="3.5" fill="var(--b)"/>'
        if index % every == 0:
            yield f'<text x="{x:.1f}" y="{height - 4}" text-anchor="middle">{escape(label)}</text>'
    yield "</svg>"


def _bars(chart: Bars) -> Iterator[str]:
    """A group of horizontal bars for each label, the series in the same order in each, all on one scale."""
    thick, left = 9.0, 170.0
    group = thick * len(chart.series) + 10
    height = 24 + group * len(chart.labels)
    top = max((value for values in chart.series.values() for value in values if value is not None), default=0.0) or 1.0
    yield _begin(f"{chart.title}, {chart.unit}", height)
    for number, (name, values) in enumerate(chart.series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        yield f'<rect x="{left + number * 150:.0f}" y="4" width="14" height="9" fill="var({colour})"/>'
        yield f'<text x="{left + 20 + number * 150:.0f}" y="13">{escape(printable(name))}</text>'
        for row, value in enumerate(values):
            if value is None:
                continue
            y = 24 + row * group + number * thick
            width = value / top * (_WIDTH - left - 70)
            yield f'<rect x="{left}" y="{y:.1f}" width="{width:.1f}" height="{thick - 1}" fill="var({colour})"/>'
            yield f'<text x="{left + width + 5:.1f}" y="{y + 8:.1f}">{value:,.3g}</text>'
    for row, label in enumerate(chart.labels):
        middle = 24 + row * group + thick * len(chart.series) / 2 + 4
        yield f'<text x="{left - 8}" y="{middle:.1f}" text-anchor="end">{escape(printable(label))}</text>'
    yield "</svg>"


def _legend(line: Line, number: int, style: str) -> Iterator[str]:
    left = _LEFT + number * 150
    yield f'<path d="M{left:.0f} 10h26" {style}/>'
    yield f'<text x="{left + 32:.0f}" y="14">{escape(printable(f"{line.session} {line.name}"))}</text>'


def _phases(chart: Chart, x: Callable[[float], float]) -> Iterator[str]:
    begin, end = chart.edges_s[0], chart.edges_s[-1]
    phases = [(seconds, name) for seconds, name in chart.phases if begin <= seconds <= end]
    for (seconds, name), (until, _) in pairwise([*phases, (end, "")]):
        at = x(seconds)
        yield (
            f'<line class="phase" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 8}" y2="{_HEIGHT - _BOTTOM}"'
            ' stroke-dasharray="1 3"/>'
        )
        # Names of phases that follow each other closely would overlap: only the longer phases are named.
        if x(until) - at > 8 * len(name):
            yield f'<text x="{at + 3:.1f}" y="{_TOP}">{escape(printable(name))}</text>'


def _paths(line: Line, middles: Sequence[float], y: Callable[[float], float]) -> Iterator[str]:
    """Stretches without a gap; a single value between gaps is drawn as a dot."""
    stretch: list[str] = []
    for at, value in zip([*middles, 0.0], [*line.values, None], strict=False):
        if value is not None and math.isfinite(value):
            stretch.append(f"{at:.1f} {y(max(0.0, value)):.1f}")
        elif stretch:
            yield f"M{stretch[0]}h1" if len(stretch) == 1 else "M" + "L".join(stretch)
            stretch = []


def _ceiling(value: float) -> float:
    """A round number at or above ``value`` that four steps divide well."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(unit * factor for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if unit * factor >= value)


def _ticks(begin: float, end: float) -> Iterator[float]:
    span = end - begin
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 86400)
    step = next((step for step in steps if span / step <= 10), span / 10)
    tick = math.ceil(begin / step) * step
    while tick <= end:
        yield tick
        tick += step


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _number(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"

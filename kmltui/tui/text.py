# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of text with roles, and how numbers are written.

A role (``user``, ``good``, ``muted``, …) names a meaning; the theme gives it a colour. Widths are terminal cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from kmltui.printable import MINUS, printable

Span = tuple[str, str]
"""Text and its role."""
Line = tuple[Span, ...]

ROLES = (
    "text",
    "muted",
    "faint",
    "rule",
    "strong",
    "title",
    "stock",
    "kml",
    "user",
    "system",
    "idle",
    "trap",
    "direct",
    "elevation",
    "queries",
    "good",
    "bad",
    "warn",
    "mark",
    "cursor",
    "key",
    "live",
    "alert",
)

ABSENT = "–"


def line(*spans: Span | str) -> Line:
    """A line from spans; a bare string has the role ``text``."""
    return tuple((span, "text") if isinstance(span, str) else span for span in spans)


_LONG = 200
"""Longer texts, of the log, are not worth keeping."""
_cells = lru_cache(1024)(cell_len)
"""Asked two hundred times per frame, mostly about the same texts."""


def width(spans: Iterable[Span]) -> int:
    return sum([_cells(text) if len(text) < _LONG else cell_len(text) for text, _ in spans])


_NUMBER = re.compile(r"(?<!\S)[^\w\s]*\d\S*(?: (?:[kKMG]i?B?|B|%|[nµm]?s|vCPU)(?!\S))?")
"""A word that begins with a digit, signs aside, and its unit."""


def cropped(text: str, cells: int, *, more: bool = False) -> str:
    """As much of ``text`` as there is room for, with dots for the rest; a number is shown completely or not at all.

    ``more``: something else is left out after it, so that it needs the dots even if it fits.
    """
    if not more and cell_len(text.rstrip()) <= cells:
        return set_cell_size(text, min(cells, cell_len(text)))
    kept = len(set_cell_size(text, max(cells - 1, 0)).rstrip())
    for number in _NUMBER.finditer(text):
        if number.start() < kept < number.end():
            kept = number.start()
    return text[:kept] + "…" if cells > 0 else ""


def fit(spans: Line, cells: int) -> Line:
    """Exactly ``cells`` wide: padded on the right, or :func:`cropped`."""
    if (used := width(spans)) <= cells:  # nearly always so, about eighty times per frame
        return spans if used == cells else (*spans, (" " * (cells - used), "text"))
    result: list[Span] = []
    left = cells
    for index, (text, role) in enumerate(spans):
        more = any(rest.strip() for rest, _ in spans[index + 1 :])
        if cell_len(text) + more > left:
            kept = cropped(text, left, more=more)
            result.append((kept, role))
            left -= cell_len(kept)
            break
        result.append((text, role))
        left -= cell_len(text)
    if left > 0:
        result.append((" " * left, "text"))
    return tuple(result)


def safe(spans: Line) -> Line:
    """The same with nothing in it that a terminal would act upon. Where a line is drawn, whatever made it."""
    if all(text.isprintable() for text, _ in spans):
        return spans
    return tuple((printable(text), role) for text, role in spans)


def spread(left: Line, right: Line, cells: int) -> Line:
    """``left`` and ``right`` at the two ends; if there is no room for both, the left one is cropped."""
    room = cells - width(right)
    return fit(left, room) + right if room > 0 else fit(right, cells)


def centre(spans: Line, cells: int) -> Line:
    return fit(((" " * max((cells - width(spans)) // 2, 0), "text"), *spans), cells)


def shorten(parts: Sequence[Line], cells: int) -> Line:
    """As many of the ``parts`` as fit, in order; the later ones are dropped first."""
    result: Line = ()
    for part in parts:
        if width(result) + width(part) <= cells:
            result += part
    return result


def plain(spans: Iterable[Span]) -> str:
    return "".join(text for text, _ in spans)


def count(value: float | None) -> str:
    """``181,204``; from ten million on ``12.3 M``."""
    if value is None:
        return ABSENT
    if abs(value) >= 9_999_500_000:
        return f"{value / 1e9:,.1f} G"
    if abs(value) >= 9_999_500:
        return f"{value / 1e6:,.1f} M"
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A rate per second, to three digits from ten thousand on: ``9,204``, ``40.1k``, ``1.23M``.

    Rates are taken over two seconds, so more digits would only be noise, and each costs a byte to send.
    """
    if value is None:
        return ABSENT
    if 0 < value < 9.95:
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 9_999.5 else _three(value)


def short(value: float | None) -> str:
    """A count to three digits from ten thousand on: ``9,327``, ``27.6k``, ``8.19M``."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if value < 9_999.5 else _three(value)


def _three(value: float) -> str:
    for unit in ("k", "M", "G"):
        value /= 1000
        if value < 999.5 or unit == "G":
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f}{unit}"
    raise AssertionError


def seconds(value: float | None, digits: int = 2) -> str:
    """CPU seconds; at most one decimal from 1,000 on."""
    if value is None:
        return ABSENT
    return f"{value:,.{digits}f}" if value < 999.995 else f"{value:,.{min(digits, 1)}f}"


def clock(ns: float) -> str:
    """``00:41``, ``1:02:03``."""
    total = max(int(ns // 1_000_000_000), 0)
    hours, rest = divmod(total, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60:02}:{rest % 60:02}"


def micros(us: float | None) -> str:
    """A latency: ``377 µs``, ``1.9 ms``, ``2.1 s``."""
    if us is None:
        return ABSENT
    if us < 999.5:
        return f"{us:.0f} µs"
    if us < 999_500:
        return f"{us / 1000:.3g} ms"
    return f"{us / 1e6:.3g} s"


def size(value: float) -> str:
    """Bytes: ``21.3 KB``."""
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if unit != "B" else f"{value:.0f} B"
        value /= 1000
    return f"{value:.3g} GB"


def percent(fraction: float | None) -> str:
    """Signed: ``+9.6 %``, ``−14 %``, ``0.0 %``."""
    if fraction is None:
        return ABSENT
    value = fraction * 100
    digits = 0 if abs(value) >= 99.95 else 1
    text = f"{abs(value):,.{digits}f}"
    sign = "" if float(text.replace(",", "")) == 0 else "+" if value > 0 else MINUS
    return f"{sign}{text} %"


def within(fraction: float) -> float:
    """``fraction`` from 0 to 1, whatever a damaged recording says it is."""
    return min(max(0.0, fraction), 1.0)  # in this order 0 for what is no number


def done(fraction: float) -> str:
    """How much is done: ``  7 %``. 100 % is said only when nothing is left."""
    return f"{int(within(fraction) * 100):3} %"


def difference(left: float | None, right: float | None) -> float | None:
    """The fraction by which ``right`` differs from ``left``; None if there is nothing to compare with."""
    return (right - left) / left if left and right is not None else None


def saved(left: float | None, right: float | None) -> str:
    """What ``right`` saves compared with ``left``: ``3.9 %``, ``−1.2 %`` where it takes more."""
    change = difference(left, right)
    return percent(None if change is None else -change).lstrip("+")


def more_or_less(left: float | None, right: float | None) -> str:
    """For a rate: ``3.9 % more``, ``1.2 % less``; empty if there is nothing to compare with."""
    change = difference(left, right)
    if change is None:
        return ""
    return f"{percent(abs(change)).lstrip('+')} {'less' if change < 0 else 'more'}"

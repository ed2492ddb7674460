# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls per query, by name: what they cost a watched server, and how they differ between two sessions at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap

from kmltui.figures.estimate import TRAP_UNTIMED
from kmltui.figures.servercost import ASSUMED, a_query, server_cost, two_digits
from kmltui.figures.statements import NO_CALLS, StatementCalls
from kmltui.figures.summary import ServerCost
from kmltui.live.recent import RATE_WINDOW_NS
from kmltui.live.views import MONO, QUERIES, SessionView, Snapshot
from kmltui.printable import printable
from kmltui.tui.draw.panes import PaneState
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import ABSENT, Line, Span, cropped, line, rate, width

CallName = Callable[[int], str]

_NAMES = 12
_LEAST_NAME = 6
"""Cells of a system call's name."""
_COUNTED_NS = 20_000_000_000
"""Queries are counted over so much of the run's time, or from one of the client's reports to the next."""
_LEAST = 0.005
"""The fewest calls per query that are worth a row: one in two hundred queries."""


def cost(view: Snapshot, call_name: Callable[[int], str], cells: int) -> list[Line]:
    """What system calls cost the server: the most that ring 0 could save, and what fewer calls would. Empty where calls
    are not counted."""
    session = view.sessions[0]
    found = server_cost(session, view.header.host)
    if found is None:
        why = view.header.host.get(TRAP_UNTIMED, "")
        if not why or session.arm or session.trap_rate is None:
            return []
        unknown = line((" what system calls cost is unknown", "strong"))
        return [(), unknown, *_indented(f"no trap was timed: {printable(why)}", "muted", cells)]
    low, high = found.cores.low, found.cores.high
    for_a_query = f", {found.per_query:,.1f} a query" if found.per_query is not None else ""
    when = " on average" if session.over else ""
    most = f"{two_digits(high)} cores" + (
        f", {two_digits(100 * found.share.high)} % of its CPU time" if found.share else ""
    )
    least = f"{two_digits(low)} cores" + (f", {two_digits(100 * found.share.low)} %" if found.share else "")
    bound: Line = (("  ring 0 would save at most ", "text"), (most, "strong"))
    lines: list[Line] = [
        (),
        line((f" what system calls cost this {'server' if session.server else 'machine'}", "strong")),
        *_indented(
            f"{rate(found.per_s)} calls a second{for_a_query}{when}; here a trap takes {_trap(found)}", "muted", cells
        ),
        *([line(*bound)] if width(bound) <= cells else [line(bound[0]), line((f"    {most}", "strong"))]),
        line((f"  {'at least':>24} {least}", "muted")),
        *_indented(ASSUMED, "faint", cells),
    ]
    return [*lines, *_by_name(found, call_name, cells)]


def _by_name(found: ServerCost, call_name: CallName, cells: int) -> list[Line]:
    """The most costly calls, each column as wide as what is in it, and a blank more."""
    asked = found.per_query is not None  # without queries there is nothing to say about them
    roles = ["text", "trap", *(["trap"] if asked else []), "text", *(["muted"] if asked else [])]
    rows = [["", "calls/s", *(["a query"] if asked else []), "at most", *(["once a query saves"] if asked else [])]]
    for each in found.names[:_NAMES]:
        spared = "" if each.fewer_cores is None else _part(each.fewer_cores, found)
        row = [printable(call_name(each.nr)), rate(each.per_s), _part(each.cores, found)]
        if asked:
            row[2:2] = [a_query(each.per_query) if each.per_query is not None else ABSENT]
            row.append(spared)
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = cells - 2 - 2 * (len(widths) - 1)
    if sum(widths) > room and asked:  # the last head is the longest
        rows[0][-1] = "once saves"
        widths[-1] = max(len(row[-1]) for row in rows)
    widths[0] = max(min(widths[0], room - sum(widths[1:])), _LEAST_NAME)
    lines: list[Line] = []
    for index, (name, *figures) in enumerate(rows):
        spans: list[Span] = [(f"  {cropped(name, widths[0]):<{widths[0]}}", roles[0])]
        for figure, width_, role in zip(figures, widths[1:], roles[1:], strict=True):
            spans.append((f"  {figure:>{width_}}", role if index else "muted"))
        lines.append(tuple(spans))
    return lines


def estimate(view: Snapshot, cells: int) -> str:
    """The bound in one line, as far as it fits into ``cells``; empty if unknown."""
    found = server_cost(view.sessions[0], view.header.host) if view.header.kind == "monitor" else None
    if found is None or not found.per_s:
        return ""
    least, most = (
        (f"{two_digits(100 * found.share.low)}", f"{two_digits(100 * found.share.high)} % of the server's CPU")
        if found.share
        else (two_digits(found.cores.low), f"{two_digits(found.cores.high)} cores")
    )
    parts = [
        f"Estimate, not measured: ring 0 would save {least} to {most}",
        f": {rate(found.per_s)} calls/s × {found.trap_ns.low:.0f}–{found.trap_ns.high:.0f} ns",
        " (u says more)",
    ]
    text = ""
    for part in parts:
        if len(text) + len(part) >= cells:
            break
        text += part
    return text


def _indented(text: str, role: str, cells: int) -> list[Line]:
    return [line((row, role)) for row in wrap(text, max(cells, 20), initial_indent="  ", subsequent_indent="    ")]


def _trap(found: ServerCost) -> str:
    return f"{found.trap_ns.low:.0f} to {found.trap_ns.high:.0f} ns"


def _part(cores: float, found: ServerCost) -> str:
    """As a share of the server's CPU time if that is known, otherwise in cores."""
    part = found.part(cores)
    return two_digits(cores) if part is None else f"{two_digits(100 * part)} %"


def _query_rate(session: SessionView, t_ns: int) -> tuple[float | None, int]:
    """Queries per second of the session's own clock, like rates of calls, and the time over which they were counted.

    For a server that is not queried while it works this is its client's count, which comes every few seconds of the
    client's own time: under emulation that may be a minute.
    """
    if session.query_rate is not None:
        return session.query_rate, RATE_WINDOW_NS
    last, before = session.work.last, session.work.last_but_one
    if last is None or before is None:
        return None, RATE_WINDOW_NS
    span = max(last[0] - before[0], _COUNTED_NS)
    if t_ns - last[0] > 2 * span:
        return None, RATE_WINDOW_NS
    edges = [last[0] - span, last[0]]
    queries, own = session.work.rates(edges, (QUERIES,), 0)[0], session.samples.rates(edges, (MONO,), 0)[0]
    over_ns = int(t_ns - edges[0])
    return (queries[0] / own[0] * 1e9 if queries and own and own[0] > 0 else None), over_ns


def at_work(
    view: Snapshot, shown: Sequence[SessionView], state: PaneState, call_name: Callable[[int], str]
) -> list[Line]:
    """Calls per query of the statement that each session is executing, by trap and direct; empty between statements.

    A session must have been at its statement for as long as the time over which rates are taken.
    """
    if view.status or any(spec.exact for spec in view.header.sessions):
        return []
    found = []
    for session in shown:
        queries, over_ns = _query_rate(session, view.t_ns)
        part = state.settled(session, view.t_ns, over_ns)
        if part is not None and queries and session.trap_rate is not None:
            found.append((session, part, queries))
    if not found:
        return []
    lines: list[Line] = [(), line((" calls a query, just now", "strong"))]
    head = f"  {'':<14}"
    for session, (phase, statement), _ in found:
        where = f"{phase} {statement}" if statement else phase
        head += f"{cropped(printable(f'{session.name}, {where}'), 24):>26}"
    lines.append(line((head, "muted")))
    lines.append(line((f"  {'':<14}" + f"{'trap':>15}{'direct':>11}" * len(found), "muted")))
    most: dict[int, float] = {}
    for session, _, queries in found:
        for call in session.calls:
            most[call.nr] = max(most.get(call.nr, 0.0), call.rate / queries)
    for nr in sorted((nr for nr in most if most[nr] >= _LEAST), key=lambda nr: -most[nr])[:_NAMES]:
        row: Line = ((f"  {cropped(printable(call_name(nr)), 13):<14}", "text"),)
        for session, _, queries in found:
            own = next((call for call in session.calls if call.nr == nr), None)
            trap, direct = (own.trap_rate / queries, own.direct_rate / queries) if own else (0.0, 0.0)
            row += ((f"{trap:>15,.2f}", "trap" if trap >= _LEAST else "faint"),)
            row += ((f"{direct:>11,.2f}", "direct" if direct >= _LEAST else "faint"),)
        lines.append(row)
    return lines


_OTHERS = (
    "each sample adds about ten traps of the agent, and the client's report each half second a few more of guestd's"
    " (poll, read, writev), to the statement into which it falls"
)

_CELL = 18
"""Cells of one system call's figures."""


def by_statement(
    view: Snapshot, shown: Sequence[SessionView], calls: StatementCalls, size: tuple[int, Glyphs], call_name: CallName
) -> list[Line]:
    """Calls a query of each statement that was counted in both: in the first session, and what traps in the last one.

    ``size``: cells, and the glyphs to draw with. Empty if there is no such statement.
    """
    cells, glyphs = size
    sides = [calls.a_query(session.name) for session in shown]
    statements = sorted(set(sides[0]) & set(sides[-1]))
    if not statements:
        return []
    sums: dict[int, float] = {}
    for side in sides:
        for statement in statements:
            for nr, each in side[statement].items():
                sums[nr] = sums.get(nr, 0.0) + each.trap + each.direct
    titles = [printable(each) for each in view.workload.statements]
    label = min(max(map(len, titles), default=0) + 6, cells // 3)
    names = sorted(sums, key=lambda nr: (-sums[nr], nr))[: max((cells - label) // _CELL, 1)]
    first, last = printable(shown[0].name), printable(shown[-1].name)
    what = f"{first} {glyphs.arrow} traps in {last}" if len(shown) > 1 else "all of them, and those that trap"
    head = "".join(f"{cropped(printable(call_name(nr)), _CELL - 2):>{_CELL}}" for nr in names)
    lines: list[Line] = [
        (),
        line((" calls a query, by statement", "strong"), (f"   {what}", "muted")),
        line((f"{'':<{label}}{head}", "muted")),
    ]
    for statement in statements:
        title = titles[statement - 1] if statement <= len(titles) else ""
        row: Line = ((f" {statement:>2}  {cropped(title, label - 6):<{label - 5}}", "text"),)
        for nr in names:
            before, after = (side[statement].get(nr, NO_CALLS) for side in (sides[0], sides[-1]))
            figures = (_calls(before.trap + before.direct), f" {glyphs.arrow} ", _calls(after.trap))
            row += (
                (" " * max(_CELL - sum(map(len, figures)), 0), "text"),
                (figures[0], "trap" if before.trap >= _LEAST else "direct" if before.direct >= _LEAST else "faint"),
                (figures[1], "muted"),
                (figures[2], "trap" if after.trap >= _LEAST else "faint"),
            )
        lines.append(row)
    if others := len(titles) - len(statements):
        why = "were too short to be told apart" if view.status else "have not come to their end"
        lines.append(line((f" the other {others} {why}", "faint")))
    return [*lines, *(line((f" {row}", "faint")) for row in wrap(_OTHERS, max(cells - 2, 20)))]


def _calls(number: float) -> str:
    """Calls a query. Of few of them the fractions tell how many queries make one, of many they are the samples'."""
    if number < _LEAST:
        return "0"
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pane shows while its session has no figures: that it is being started, or why it is gone."""

from __future__ import annotations

from textwrap import wrap

from kmltui.live.views import SessionView, Snapshot
from kmltui.model import FINAL_STATES
from kmltui.printable import printable, time_left
from kmltui.tui.draw import bars, judging
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.text import Line, clock, done, fit, line, width

_WORDS = {
    "waiting": "not started",
    "image": "building the image",
    "booting": "booting",
    "loading": "loading tables",
    "ready": "ready",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "panicked": "guest panicked",
    "server-died": "server died",
    "hung": "hung",
    "stopped": "stopped",
}
_STEPS = ("image", "booting", "loading", "running")


def state_word(state: str) -> str:
    """The state in words."""
    return _WORDS.get(state, state)


def is_broken(session: SessionView) -> bool:
    return session.state.state in FINAL_STATES - {"done", "stopped"}


def wants_card(session: SessionView) -> bool:
    """Whether there is more to say about the state than there are figures to show."""
    state = session.state.state
    return (
        is_broken(session)
        or (not session.started and not session.cpus)
        or state in ("waiting", "image", "booting", "loading")
    )


def card(snapshot: Snapshot, session: SessionView, cells: int, rows: int, glyphs: Glyphs) -> list[Line]:
    """Exactly ``rows`` lines: the state, its progress, what is about to be shown, and the last lines of the console."""
    broken = is_broken(session)
    lines = _broken(session, cells, glyphs) if broken else _under_way(snapshot, session, cells, glyphs)
    if not broken and len(soon := _soon(snapshot, session, cells)) + 3 <= rows - len(lines):
        lines += soon
    room = rows - len(lines) - 1
    if session.console and room >= 1:
        lines.append(line(("last lines of the console", "muted") if broken else ("console", "faint")))
        tail = session.console[-(rows - len(lines)) :]
        lines += [line((" " + printable(text), "text" if broken else "faint")) for text in tail]
    lines += [()] * (rows - len(lines))
    return [fit(each, cells) for each in lines[:rows]]


def _under_way(snapshot: Snapshot, session: SessionView, cells: int, glyphs: Glyphs) -> list[Line]:
    state = session.state
    elapsed = clock(max(snapshot.t_ns - session.since_ns, 0))
    lines = [
        (),
        line((f" {glyphs.busy} ", "title"), (state_word(state.state), "strong"), (f"  {elapsed}", "muted")),
        line((f"   {printable(state.detail)}", "muted")),
    ]
    if state.fraction is not None:
        figures: Line = ((f" {done(state.fraction)}", "text"),)
        if state.left_s is not None and cells >= 45 and not snapshot.abandoned:
            figures += ((f"  {time_left(state.left_s)}", "muted"),)
        room = max(cells - 8 - width(figures), 4)
        lines.append(line("   ", *bars.progress(state.fraction, room, glyphs), *figures))
    steps: list[tuple[str, str]] = [("   ", "text")]
    reached = _STEPS.index(state.state) if state.state in _STEPS else len(_STEPS) - 1 if state.state == "ready" else -1
    loading = "prepare" if judging.without_queries(snapshot) else "tables"
    for index, (step, word) in enumerate(zip(_STEPS, ("image", "boot", loading, "run"), strict=True)):
        sign = glyphs.done if index < reached else glyphs.play if index == reached else glyphs.dot
        role = "good" if index < reached else "strong" if step == state.state else "faint"
        steps.append((f"{sign} {word}  ", role))
    return [*lines, tuple(steps), ()]


_ARMS = {
    "stock": "This side is stock Linux: every system call is a trap into the kernel.",
    "kml": "This side is Kernel Mode Linux: the same programs in ring 0, where a system call is a function call.",
    "stock+libc": "This side is stock Linux with the rewritten libraries, whose system calls still trap.",
    "stock+idt": "This side is stock Linux with KML's interrupt handling, and nobody in ring 0.",
}


def _soon(snapshot: Snapshot, session: SessionView, cells: int) -> list[Line]:
    """What will be shown here, while there is nothing yet."""
    if session.arm not in _ARMS:
        return []
    texts = [_ARMS[session.arm]]
    workload = snapshot.workload
    if workload.phases:
        texts.append(f"To be done: {printable(', '.join(workload.phases))}.")
    if judging.without_queries(snapshot):
        texts.append("To be seen: each CPU, and every system call by trap or directly.")
    else:
        texts.append("To be seen: each CPU, every system call by trap or directly, queries, and their latency.")
    return [line((f" {row}", "muted")) for text in texts for row in wrap(text, max(cells - 2, 20))] + [()]


def _broken(session: SessionView, cells: int, glyphs: Glyphs) -> list[Line]:
    state = session.state
    lines = [(), line((f" {glyphs.failed} {state_word(state.state)}", "alert"), (f"  at {clock(state.t_ns)}", "muted"))]
    text = printable(state.detail)
    while text and len(lines) < 5:
        lines.append(line((f"   {text[: cells - 3]}", "text")))
        text = text[cells - 3 :]
    return [*lines, ()]

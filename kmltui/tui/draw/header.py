# SPDX-License-Identifier: GPL-2.0-or-later
"""The first line: what runs, since when, live or not; and, always visible, what it runs on."""

from __future__ import annotations

from kmltui.figures.verdict import INSTRUCTION_CLOCK
from kmltui.live.views import SessionView, Snapshot
from kmltui.printable import printable
from kmltui.tui.draw.cards import is_broken, state_word
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, clock, cropped, fit, line, plain, shorten, size, spread, width

_SILENT_NS = 10_000_000_000
"""After this long without a new record, a live recording may have ended although the run goes on."""
_STARTING_NS = 120_000_000_000
"""The same while guests are started: one that boots on a busy machine says nothing for long."""


def draw(frame: Frame, cells: int, glyphs: Glyphs) -> Line:
    view = frame.view
    badge = _badge(frame, glyphs)
    machine = _machine(view, glyphs, cells)
    name: Line = ((" kmltui ", "title"), (f"{glyphs.dot} {printable(view.workload.name)} ", "strong"))
    parts: list[Line] = [badge]
    if frame.reading and frame.duration_ns:
        parts.append(line((f" {glyphs.dot} reading {100 * frame.head.t_ns // frame.duration_ns} %", "muted")))
    engine = view.workload.options.get("engine")
    if engine:
        parts.append(line((f" {glyphs.dot} {printable(engine)}", "muted")))
    if loops := view.workload.loops:
        parts.append(line((f" {glyphs.dot} {loops:,} loop{'s' if loops > 1 else ''}", "muted")))
    if view.header.title:
        parts.append(line((f" {glyphs.dot} {printable(view.header.title)}", "muted")))
    room = cells - width(name) - width(machine) - 1
    if room < width(badge):  # too narrow for both: the name gives way, the badge never does
        return spread(badge, _machine(view, glyphs, cells - width(badge) - 1), cells)
    return spread((*name, *shorten(parts, room)), machine, cells)


def _badge(frame: Frame, glyphs: Glyphs) -> Line:
    """Live or recorded, playing or not, and the time."""
    now, whole = clock(frame.view.t_ns), clock(frame.duration_ns)
    speed = f" ×{frame.speed:g}" if frame.speed != 1 else ""
    if frame.lost and frame.at_head:
        return ((f"{glyphs.failed} LOST ", "bad"), (now, "strong"))
    if frame.live and frame.at_head and _is_silent(frame):
        return ((f"{glyphs.busy} WAITING ", "warn"), (now, "strong"))
    if frame.live and frame.at_head:
        return ((f"{glyphs.record} REC ", "live"), (now, "strong"))
    if frame.live:
        behind = clock(frame.duration_ns - frame.view.t_ns)
        sign = glyphs.pause if frame.paused else glyphs.play
        word = " PAUSED " if frame.paused else " BEHIND "
        return ((f"{sign}{word}", "warn"), (now, "strong"), (f" {behind} behind live{speed}", "muted"))
    if frame.at_head:
        ended = frame.view.status == "done"
        return ((f"{glyphs.done if ended else glyphs.failed} ENDED ", "good" if ended else "bad"), (now, "strong"))
    sign = glyphs.pause if frame.paused else glyphs.play
    word = "REPLAY"
    return ((f"{sign} {word} ", "mark"), (now, "strong"), (f" / {whole}{speed}", "muted"))


def _machine(view: Snapshot, glyphs: Glyphs, cells: int) -> Line:
    """Accelerator, kernel, CPUs and mitigations: they decide what the figures mean. As many of them as fit into
    ``cells``."""
    facts: list[dict[str, str]] = [dict(session.facts) for session in view.sessions]
    parts = [
        _common(facts, "accelerator", _short_accelerator),
        _common(facts, "clock", _short_clock),
        _common(facts, "kernel", _short_kernel),
        _vcpus(view),
        _common(facts, "mitigations", _mitigations),
    ]
    fields: list[Line] = [((f"{part} ", "muted"),) for part in parts if part]
    dotted = [field if index == 0 else ((f"{glyphs.dot} ", "muted"), *field) for index, field in enumerate(fields)]
    return ((plain(shorten(dotted, cells)), "muted"),)


def _common(facts: list[dict[str, str]], key: str, form: object) -> str:
    """One value if the sessions agree, otherwise both: a difference here is worth showing."""
    make = form if callable(form) else str
    values = [str(make(fact[key])) for fact in facts if fact.get(key)]
    return "/".join(printable(value) for value in dict.fromkeys(values))


def _vcpus(view: Snapshot) -> str:
    numbers = dict.fromkeys(spec.vcpus for spec in view.header.sessions)
    return f"{'/'.join(map(str, numbers))} vCPU"


def _short_accelerator(text: str) -> str:
    return "this machine" if text.startswith("this host") else text.partition(" ")[0].upper()


def _short_clock(kind: str) -> str:
    """Only if a second is not an ordinary second."""
    return INSTRUCTION_CLOCK if kind == "instructions" else ""


def _short_kernel(release: str) -> str:
    return release.replace("-cloud", "").removesuffix("-amd64")


def _mitigations(text: str) -> str:
    """``mitig. off``, or how many of the known vulnerabilities are open."""
    lines = [each for each in text.splitlines() if each.strip()]
    open_ones = sum("Vulnerable" in each for each in lines)
    if not open_ones:
        return "mitigated"
    return "mitig. off" if not any("Mitigation" in each for each in lines) else f"{open_ones} mitig. off"


def banner(frame: Frame, cells: int, glyphs: Glyphs) -> Line | None:
    """One line above everything else when something is wrong; None when nothing is. The log has what does not fit."""
    if problem := _problem(frame):
        return ((_ended_by_dots(f" {glyphs.failed} {problem} ", cells), "alert"),)
    if warning := _warning(frame):
        return ((_ended_by_dots(f" {glyphs.mark} {warning}", cells), "warn"),)
    return None


def _ended_by_dots(text: str, cells: int) -> str:
    return f"{cropped(text, cells - 1)} "


def _problem(frame: Frame) -> str:
    """Why the run, or the view of it, ended early."""
    view = frame.view
    if frame.lost:
        return f"connection lost: {printable(frame.lost)}"
    if broken := [_ended(session) for session in view.sessions if is_broken(session)]:
        return "  ".join(broken)
    if view.status in ("failed", "stopped"):
        word = "the run failed" if view.status == "failed" else "the run was stopped"
        return f"{word}: {_first_line(view.reason)}" if view.reason else word
    if not frame.live and not frame.head.status and not frame.reading:
        return "the recording breaks off: its runner was killed, or the connection lost"
    return ""


def _warning(frame: Frame) -> str:
    """What has just happened without ending the run."""
    view = frame.view
    for gap in reversed(view.gaps):
        passed = view.t_ns - gap.t_ns
        in_it = all((session.last_sample_ns or 0) <= gap.t_ns for session in view.sessions)
        if 0 <= passed < 15_000_000_000 or (passed > 0 and in_it):
            return (
                f"the recording is damaged at {clock(gap.t_ns)}: {size(gap.lost_bytes)} lost ({printable(gap.reason)})"
            )
    for log in reversed(view.logs[-50:]):
        if log.source == "runner" and log.level != "info" and view.t_ns - log.t_ns < 10_000_000_000:
            return printable(log.text)
    return _silent(frame) if frame.live and frame.at_head else ""


def _is_silent(frame: Frame) -> bool:
    return frame.silent_ns > (_STARTING_NS if frame.view.starting and not frame.remote else _SILENT_NS)


def _silent(frame: Frame) -> str:
    """Running sessions whose samples have stopped coming, or a run that sends nothing."""
    view = frame.view
    if _is_silent(frame):
        why = "the connection stalls, or the run does" if frame.remote else "the run is still there"
        return f"nothing has come for {clock(frame.silent_ns)}: {why}"
    silent = {
        session.name: clock(view.t_ns - session.last_sample_ns)
        for session in view.sessions
        if session.state.state == "running" and session.last_sample_ns is not None and view.stale(session)
    }
    if silent and all(spec.exact for spec in view.header.sessions if spec.name in silent):
        return f"{', '.join(map(printable, silent))}: counted exactly, so the next sample comes at the end of the phase"
    return "  ".join(f"{printable(name)}: no sample for {since}" for name, since in silent.items())


def _ended(session: SessionView) -> str:
    detail = _first_line(session.state.detail)
    return f"{printable(session.name)}: {state_word(session.state.state)}{' – ' + detail if detail else ''}"


def _first_line(text: str) -> str:
    return printable(text.splitlines()[0]) if text else ""


def too_small(cells: int, rows: int, least: tuple[int, int]) -> list[Line]:
    """What is shown on a terminal that is too small for anything else."""
    text = [f"{cells}×{rows} is too small", f"kmltui needs {least[0]}×{least[1]}", "q quits"]
    top = max((rows - len(text)) // 2, 0)
    centred = [((" " * max((cells - len(each)) // 2, 0) + each, "warn"),) for each in text]
    return [fit(each, cells) for each in [*[()] * top, *centred]][:rows]

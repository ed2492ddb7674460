# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports a run in lines of plain text, for a pipe, a log or CI: one per state, phase, warning or failure.

The run does not need any of this; it is a listener like any other.
"""

from __future__ import annotations

from typing import TextIO

from kmltui.figures.article import CLIENT as ARTICLE_CLIENT
from kmltui.figures.verdict import INSTRUCTION_CLOCK
from kmltui.model import Environment, Header, Log, Phase, Progress, Proof, Record, Repeat, State
from kmltui.printable import printable
from kmltui.runner.expectation import words

_TELL_EVERY_NS = 20_000_000_000
_LEAST_DONE = 0.02
"""A smaller fraction says nothing about the rest."""


class Narrator:
    """Writes lines to ``out``; give :meth:`hear` to the run as a listener. A closed pipe silences it, no more."""

    def __init__(self, out: TextIO, turns: int = 1) -> None:
        """``turns``: how often the workload is run, one time after the other."""
        self._out: TextIO | None = out
        self._turns = turns
        self._turns_done = 0
        self._fractions: dict[str, float] = {}
        self._running_ns: int | None = None
        self._told_ns = 0
        self._begun: dict[tuple[str, str], int] = {}
        self._last: dict[str, str] = {}

    def hear(self, record: Record) -> None:
        """Print what ``record`` means, if it is worth a line."""
        match record:
            case Header():
                self._begin(record)
            case State():
                self._note_running(record)
                line = record.state + (f": {record.detail}" if record.detail else "")
                # Steps with a fraction come many times per second; a log needs each step once.
                if self._last.get(record.session) != line:
                    self._last[record.session] = line
                    self._say(record.t_ns, record.session, line)
            case Environment():
                facts = record.facts
                clock = INSTRUCTION_CLOCK if facts.get("clock") == "instructions" else ""
                words = [clock, *(facts.get(key, "") for key in ("accelerator", "kernel", "mariadb", "libc"))]
                self._say(record.t_ns, record.session, " · ".join(word for word in words if word))
            case Phase(event="begin"):
                self._begun[record.session, record.name] = record.t_ns
            case Phase():
                begun = self._begun.pop((record.session, record.name), record.t_ns)
                self._say(record.t_ns, record.session, f"{record.name}: {(record.t_ns - begun) / 1e9:.1f} s")
            case Progress() | Repeat():
                self._advance(record)
            case Proof(ok=False):
                self._say(record.t_ns, record.session, f"WRONG: {record.name} of {record.subject}: {record.value}")
            case Proof(name="ring"):
                self._say(record.t_ns, record.session, f"ring of {record.subject}, read inside it: {record.value}")
            case Log(level="warning" | "error", source="runner" | "client"):
                self._say(record.t_ns, record.session, record.text)
            case _:
                pass

    def _begin(self, header: Header) -> None:
        names = " and ".join(session.name for session in header.sessions)
        self._say(0, "", f"run {header.run}: {header.workload.name} on {names}")
        if header.workload.options.get("client") == "article":
            self._say(0, "", ARTICLE_CLIENT)

    def _note_running(self, state: State) -> None:
        if state.state == "running" and self._running_ns is None:
            self._running_ns = self._told_ns = state.t_ns

    def _advance(self, record: Progress | Repeat) -> None:
        if isinstance(record, Repeat):
            if record.event == "end":
                self._turns_done += 1
                self._fractions.clear()
        elif record.fraction is not None:
            self._fractions[record.session] = record.fraction
            self._tell_what_is_left(record.t_ns)

    def _tell_what_is_left(self, t_ns: int) -> None:
        """Now and then how much is done of the whole, and about how long the rest will take at that rate."""
        if self._running_ns is None or t_ns - self._told_ns < _TELL_EVERY_NS:
            return
        # Sessions that work side by side are done when the slowest of them is.
        done = (self._turns_done + min(self._fractions.values())) / self._turns
        if done >= _LEAST_DONE:
            self._told_ns = t_ns
            left_s = (t_ns - self._running_ns) / 1e9 * (1 - done) / done
            self._say(t_ns, "", f"{100 * done:.0f} % is done, about {words(left_s)} left")

    def _say(self, t_ns: int, session: str, text: str) -> None:
        if self._out is None:
            return
        first, *rest = text.splitlines() or [""]
        head = f"{t_ns / 1e9:7.1f}s  {session:<10} "
        try:
            print(head + printable(first), file=self._out, flush=True)
            for line in rest:
                print(" " * len(head) + printable(line), file=self._out, flush=True)
        except (BrokenPipeError, ValueError):
            self._out = None

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the measurements were made on: Table 1 of this run, beside the article's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kmltui.figures import article
from kmltui.figures.environment import mitigations
from kmltui.model import MONITOR, whole
from kmltui.printable import printable
from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, Span, fit, line

_ARTICLE_KEYS = {"memory_bytes": "memory", "mariadb": "server"}
"""Facts that have a different name in the article's table."""

_FIRST = (
    "cpu",
    "vcpus",
    "memory_bytes",
    "accelerator",
    "kernel",
    "mitigations",
    "libc",
    "mariadb",
    "sysbench",
    "qemu",
    "arm",
)
_WORDS = {
    "memory_bytes": "memory",
    "cmdline": "command line",
    "mariadb": "server",
    "server": "its process",
    "vcpus": "CPUs",
    "cpu": "CPU",
    "kernel_package": "package",
    "rewritten_files": "rewritten",
    "absent digests": "no digests",
    "absent threads": "no threads",
    "absent replication": "no repl. lag",
}


class EnvironmentPage(ScrolledPage):
    name: ClassVar[str] = "environment"
    title: ClassVar[str] = "Environment"

    def head(self, frame: Frame, canvas: Canvas) -> list[Line]:
        names = [session.name for session in frame.view.sessions]
        spans: list[Span] = [(f" {'':<14}", "text")]
        width = self._width(frame, canvas)
        for index, name in enumerate(names):
            spans += fit(((printable(name), "kml" if index else "stock"),), width)
        if self._article(frame, canvas):
            spans.append(("the article", "muted"))
        return [tuple(spans), line((canvas.glyphs.rule * canvas.width, "rule"))]

    def body(self, frame: Frame, canvas: Canvas) -> Sequence[Line]:
        view = frame.view
        facts = [dict(session.facts) for session in view.sessions]
        keys = dict.fromkeys([*_FIRST, *(key for each in facts for key in sorted(each))])
        width = self._width(frame, canvas)
        lines: list[Line] = []
        for key in keys:
            values = [_value(key, each.get(key, "")) for each in facts]
            theirs = article.ENVIRONMENT.get(_ARTICLE_KEYS.get(key, key), "") if self._article(frame, canvas) else ""
            if not any(values) and not theirs:
                continue
            differs = len(set(values)) > 1
            columns = [_wrap(value, width - 2) for value in values]
            columns.append(_wrap(theirs, max(canvas.width - 16 - width * len(facts), 1)) if theirs else [])
            for index in range(max(len(column) for column in columns)):
                spans: list[Span] = [(f" {_WORDS.get(key) or printable(key) if not index else '':<13.13} ", "muted")]
                for column in columns[:-1]:
                    text = column[index] if index < len(column) else ""
                    spans += fit(((text, "warn" if differs else "text"),), width)
                spans.append((columns[-1][index] if index < len(columns[-1]) else "", "faint"))
                lines.append(tuple(spans))
        lines += _proofs(frame)
        lines.append(())
        lines.append(line((" this run", "strong")))
        header = view.header
        options = "  ".join(f"{key}={value}" for key, value in header.workload.options.items())
        for key, value in (
            ("run", header.run),
            ("workload", f"{header.workload.name}  {options}"),
            ("kmltui", header.kmltui_version),
            *sorted(header.host.items()),
        ):
            label = f" {'host ' if key in header.host else ''}{printable(key):<14}"
            for index, text in enumerate(_wrap(_value(key, str(value)), max(canvas.width - len(label) - 1, 20))):
                lines.append(line((label if not index else " " * len(label), "muted"), text))
        return lines

    @staticmethod
    def _article(frame: Frame, canvas: Canvas) -> bool:
        return canvas.width >= 100 and frame.view.header.kind != MONITOR

    def _width(self, frame: Frame, canvas: Canvas) -> int:
        return (canvas.width - 16) // (len(frame.view.sessions) + self._article(frame, canvas))


def _proofs(frame: Frame) -> list[Line]:
    """What was checked from inside the sessions."""
    found = [(session.name, proof) for session in frame.view.sessions for proof in session.proofs]
    if not found:
        return []
    lines: list[Line] = [(), line((" checked from inside", "strong"))]
    for name, proof in found:
        value = f"{printable(proof.subject)}: {printable(proof.name)} {printable(proof.value)}"
        lines.append(line((f" {printable(name):<14}", "muted"), (value, "text" if proof.ok else "bad")))
    return lines


def _value(key: str, value: str) -> str:
    if key == "memory_bytes" and (size := whole(value)) is not None:
        return f"{size / (1 << 30):.3g} GiB"
    if key == "mitigations" and value:
        return mitigations(value)
    return "; ".join(printable(part) for part in value.splitlines())


def _wrap(text: str, width: int) -> list[str]:
    """Breaks lines at blanks where possible."""
    lines: list[str] = []
    while len(text) > width > 0:
        cut = text.rfind(" ", 1, width + 1)
        cut = cut if cut > 0 else width
        lines.append(text[:cut])
        text = text[cut:].lstrip()
    return [*lines, text]

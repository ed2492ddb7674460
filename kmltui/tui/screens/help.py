# SPDX-License-Identifier: GPL-2.0-or-later
"""Help: every key of the screen, from its bindings, and what the figures mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from kmltui.tui.pages.base import Canvas, ScrolledPage
from kmltui.tui.player import Frame
from kmltui.tui.text import Line, line
from kmltui.tui.textual_private import Steady
from kmltui.tui.widgets.keybar import key_sign
from kmltui.tui.widgets.lines import Lines

TERMS = (
    ("trap", "a system call entered by the SYSCALL instruction, counted exactly by the kernel module"),
    ("direct", "a system call entered by a function call from ring 0, counted exactly"),
    ("elevation", "a process went from ring 3 to ring 0; interrupts and faults send it back to ring 3"),
    ("us, sy", "user and system time, sampled by the kernel's tick: biased around system calls"),
    ("CPU seconds", "server and client together, from their cgroups; the total is exact, its split scaled from ticks"),
    ("saved", "compared at the same number of queries while they run, for the whole workload at the end"),
    ("article", "Table 2 of 'Kernel Korner – Kernel Mode Linux for AMD64': what it found on its hardware"),
    ("TCG", "software emulation: a ratio of times is not the hardware's"),
    ("–", "this session cannot provide the figure; it is never shown as 0"),
)


class _HelpPage(ScrolledPage):
    name: ClassVar[str] = "help"
    title: ClassVar[str] = "Help"

    def __init__(self, bindings: Sequence[Binding], glyph_line: Line) -> None:
        super().__init__()
        self._bindings = bindings
        self._glyph_line = glyph_line

    def head(self, frame: Frame | None, canvas: Canvas) -> list[Line]:
        return [line((" kmltui ", "title"), ("help", "strong"), ("    any other key closes it", "muted")), ()]

    def body(self, frame: Frame | None, canvas: Canvas) -> Sequence[Line]:
        entries = [(key_sign(binding), binding.tooltip or binding.description) for binding in self._bindings]
        if canvas.width >= 76:
            half = (len(entries) + 1) // 2
            room = (canvas.width - 2) // 2 - 14
            left, right = (
                [row for key, text in column for row in _wrapped(key, text, room)]
                for column in (entries[:half], entries[half:])
            )
            lines = [
                line((f" {a[0]:>10}  ", "key"), (f"{a[1]:<{room}} ", "text"), (f"{b[0]:>10}  ", "key"), b[1])
                for a, b in zip_longest(left, right, fillvalue=("", ""))
            ]
        else:
            rows = [row for key, text in entries for row in _wrapped(key, text, max(canvas.width - 13, 20))]
            lines = [line((f" {key:>10}  ", "key"), text) for key, text in rows]
        lines += [(), self._glyph_line, ()]
        for term, meaning in TERMS:
            rows = _wrapped(term, meaning, max(canvas.width - 16, 20))
            lines += [line((f" {head:>12}  ", "strong"), text) for head, text in rows]
        return lines


def _wrapped(head: str, text: str, room: int) -> list[tuple[str, str]]:
    """``text`` in lines of ``room`` cells, the first of which is beside ``head``."""
    first, *rest = wrap(text, room) or [""]
    return [(head, first), *(("", more) for more in rest)]


class HelpScreen(Steady, ModalScreen[None]):
    """Shows the help until a key is pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown", "scroll(10)", show=False),
    ]

    def __init__(self, bindings: Sequence[Binding], canvas: Canvas) -> None:
        super().__init__()
        glyphs = canvas.glyphs
        legend: Line = (
            (f"   {glyphs.full * 3} ", "user"),
            ("user  ", "muted"),
            (f"{glyphs.second * 3} ", "system"),
            ("system  ", "muted"),
            (f"{glyphs.full * 3} ", "trap"),
            ("trap  ", "muted"),
            (f"{glyphs.second * 3} ", "direct"),
            ("direct  ", "muted"),
            (f"{glyphs.mark} ", "mark"),
            ("mark", "muted"),
        )
        self._page = _HelpPage(bindings, legend)
        self._canvas = canvas

    def compose(self) -> ComposeResult:
        yield Lines(id="help")

    def on_resize(self, _: events.Resize) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        lines = self.query_one("#help", Lines)
        canvas = Canvas(lines.size.width, lines.size.height, self._canvas.glyphs, self._canvas.call_name)
        lines.show_lines(self._page.draw(None, canvas))  # type: ignore[arg-type]

    def action_scroll(self, step: int) -> None:
        self._page.scroll(step)
        self._draw()

    def on_key(self, event: events.Key) -> None:
        if event.key not in ("up", "down", "k", "j", "pageup", "pagedown"):
            event.stop()
            event.prevent_default()
            self.dismiss()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Small questions above the screen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from kmltui.printable import printable
from kmltui.tui.text import Line
from kmltui.tui.textual_private import Steady
from kmltui.tui.widgets.lines import Lines
from kmltui.tui.widgets.textfield import TextField


class Prompt(Steady, ModalScreen[str | None]):
    """Asks for one line of text. Escape gives None. ``check`` returns what is wrong with the text, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(
        self, title: str, *, value: str = "", hint: str = "", check: Callable[[str], str] = lambda _: ""
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._title, classes="dialog-title", markup=False)
            yield TextField(value=self._value, id="prompt", max_length=1000)
            yield Label(self._hint, id="hint", classes="dialog-hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if problem := self._check(event.value):
            self.query_one("#hint", Label).update(printable(problem))
            return
        self.dismiss(event.value)

    def action_cancel(self) -> None:
        self.dismiss(None)


class Ask(Steady, ModalScreen[str | None]):
    """Asks for one of several keys. ``choices``: (key, answer, words). Escape gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, title: str, text: str, choices: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._title, self._text, self._choices = title, text, choices

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._title, classes="dialog-title", markup=False)
            yield Label(self._text, markup=False)
            lines: list[Line] = [((f"  {key:<7}", "key"), (words, "text")) for key, _, words in self._choices]
            choices = Lines(classes="choices")
            choices.styles.height = len(lines) + 1
            choices.show_lines([(), *lines])
            yield choices

    def on_key(self, event: events.Key) -> None:
        for key, answer, _ in self._choices:
            if event.key == key:
                # The key is consumed: it must not have an effect on the screen below.
                event.stop()
                event.prevent_default()
                self.dismiss(answer)
                return

    def action_cancel(self) -> None:
        self.dismiss(None)


class Table(Steady, ModalScreen[None]):
    """Shows a table of text, each of its rows as lines of a name and a value, until a key is pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("escape,q,enter,x", "close", "close"),
    ]

    def __init__(self, title: str, text: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self._title, self._text = title, text
        label = max((len(printable(name)) for name in columns), default=0) + 2
        self._lines: list[Line] = []
        for row in rows:
            known = [(name, value) for name, value in zip(columns, row, strict=False) if value]
            self._lines += [
                ((f" {printable(name):<{label}}", "muted"), (printable(value), "text")) for name, value in known
            ]
            self._lines.append(())

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Label(self._title, classes="dialog-title", markup=False)
            yield Label(self._text, classes="dialog-hint", markup=False)
            with VerticalScroll(id="rows"):
                lines = Lines()
                lines.styles.height = max(len(self._lines), 1)
                lines.show_lines(self._lines or [((" the server's plan is empty", "muted"),)])
                yield lines

    def action_scroll(self, step: int) -> None:
        self.query_one("#rows", VerticalScroll).scroll_relative(y=step, animate=False)

    def action_close(self) -> None:
        self.dismiss(None)


_TIME = re.compile(r"(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9}(?:\.\d+)?)\s*(%|s|m|h)?\Z")


def parse_time(text: str, duration_ns: int) -> int | None:
    """``41``, ``0:41``, ``1:02:03``, ``90s``, ``5m``, ``50%`` as nanoseconds from the start; None for anything else."""
    match = _TIME.match(text.strip())
    if match is None:
        return None
    hours, minutes, rest, unit = match.groups()
    if unit and minutes:
        return None
    value = float(rest)
    if unit == "%":
        return int(duration_ns * min(value, 100) / 100)
    total = (int(hours or 0) * 60 + int(minutes or 0)) * 60 + value * {"m": 60, "h": 3600}.get(unit or "", 1)
    return int(total * 1e9)

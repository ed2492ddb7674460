# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the manual pages, from the same source as --help: kmltui.1, and one for each command, e.g. kmltui-run.1.

python tools/man.py DIRECTORY
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.help import HelpEntry, HelpPanel
from rich.console import Console

from kmltui import __version__
from kmltui.cli import app as kmltui

_UNWRAPPED = 100_000
"""Columns of the console on which texts are rendered: so many that only troff breaks lines."""

_SECTIONS = {"Parameters": "Options"}
"""What manual pages call a section of the help."""

_ESCAPES = {"\\": "\\(rs", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}

Words = tuple[str, ...]
"""The words of a command after ``kmltui``: empty for kmltui itself, otherwise e.g. ``("guest", "build")``."""


class _Help:
    """A formatter of cyclopts that keeps the parts of a help page instead of printing them."""

    def __init__(self) -> None:
        self.usage = ""
        self.description: list[str] = []
        self.panels: list[HelpPanel] = []

    def __call__(self, console: Any, options: Any, panel: HelpPanel) -> None:
        self.panels.append(panel)

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        self.usage = _line(usage).removeprefix("Usage: ")

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        self.description = _paragraphs(description)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    commands = [(), *_commands(kmltui, ())]
    for words in commands:
        (directory / f"{_name(words)}.1").write_text(page(words, commands), encoding="ascii")


def page(words: Words, commands: list[Words]) -> str:
    """The page of one of the ``commands``."""
    help_ = kmltui.help_formatter = _Help()
    kmltui.help_print(list(words))
    return "\n".join(_lines(words, help_, commands)) + "\n"


def roff(text: str) -> str:
    """``text`` escaped so that troff prints it literally: nothing in it becomes a request, an escape, a hyphen or a
    curly quote."""
    escaped = "".join(_ESCAPES.get(c) or (c if c.isascii() else f"\\[u{ord(c):04X}]") for c in text)
    return "\\&" + escaped if escaped.startswith(".") else escaped


def _commands(app: App, above: Words) -> Iterator[Words]:
    for name in app:
        if not name.startswith("-"):
            yield (*above, name)
            yield from _commands(app[name], (*above, name))


def _name(words: Words) -> str:
    return "-".join(("kmltui", *words))


def _lines(words: Words, help_: _Help, commands: list[Words]) -> Iterator[str]:
    name = _name(words)
    summary, _, rest = help_.description[0].partition(". ")
    more = [rest] * bool(rest) + help_.description[1:]
    yield f'.TH {roff(name.upper())} 1 "" "kmltui {roff(__version__)}" "User Commands"'
    yield ".SH NAME"
    yield f"{roff(name)} \\- {roff(summary[0].lower() + summary[1:] if words else summary).rstrip('.')}"
    yield ".SH SYNOPSIS"
    command = " ".join(("kmltui", *words))
    yield f"\\fB{roff(command)}\\fR{roff(help_.usage.removeprefix(command))}"
    if more:
        yield ".SH DESCRIPTION"
    for number, paragraph in enumerate(more):
        if number:
            yield ".PP"
        yield roff(paragraph)
    for panel in filter(lambda panel: panel.entries, help_.panels):
        title = _line(panel.title)
        yield f'.SH "{roff(_SECTIONS.get(title, title).upper())}"'
        for entry in panel.entries:
            yield ".TP"
            yield _label(entry)
            yield roff(" ".join(_entry(entry)))
    near = {words[:-1]} | {other for other in commands if other[:-1] == words}
    if see := sorted(near - {words}):
        yield '.SH "SEE ALSO"'
        yield ",\n".join(f".BR \\%{roff(_name(other))} (1)" for other in see)


def _label(entry: HelpEntry) -> str:
    """Names in bold, as they are typed; placeholders for values in italics."""
    if entry.positional_label:
        return f"\\fI{roff(entry.positional_label)}\\fR"
    names = ", ".join(f"\\fB{roff(name)}\\fR" for name in entry.all_options)
    return f"{names} \\fI{roff(entry.metavar)}\\fR" if entry.metavar else names


def _entry(entry: HelpEntry) -> Iterator[str]:
    yield from _paragraphs(entry.description)
    if entry.choices:
        yield f"[choices: {', '.join(entry.choices)}]"
    if entry.default is not None:
        yield f"[default: {_line(entry.default)}]"
    if entry.required:
        yield "[required]"


def _paragraphs(renderable: Any) -> list[str]:
    """What a part of the help shows, each paragraph as one line."""
    if renderable is None:
        return []
    console = Console(file=io.StringIO(), width=_UNWRAPPED, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return [re.sub(r"\s+", " ", line.strip()) for line in captured.get().splitlines() if line.strip()]


def _line(renderable: Any) -> str:
    return " ".join(_paragraphs(renderable))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]))

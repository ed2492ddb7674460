# SPDX-License-Identifier: GPL-2.0-or-later
"""Text can be read in every theme, and without any colour."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from made_up_run import run
from rich.segment import Segment
from rich.style import Style
from test_home import ready, shelf
from textual.app import App
from textual.color import Color
from textual.screen import ModalScreen
from tui_support import viewer

from kmltui.tui import themes
from kmltui.tui.app import HomeApp
from kmltui.tui.glyphs import COLOURLESS, UNICODE, detect
from kmltui.tui.screens.form import FormScreen
from kmltui.tui.text import ROLES

LEAST = 4.5
"""WCAG 2.2, success criterion 1.4.3, for text of an ordinary size."""

COMPUTABLE = [name for name, theme in themes.load().items() if not theme.ansi]
"""The colours of the ANSI theme are the terminal's own: what they are is the user's choice, and not known here."""

DRAWN = {"idle", "rule"}
"""Roles of drawings, never of text: tracks, and the lines between the parts of the screen."""


def luminance(colour: Color) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: Color, other: Color) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def contrast_of(style: Style) -> float:
    assert style.color is not None and style.bgcolor is not None
    return contrast(Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor))


def is_text(character: str) -> bool:
    return unicodedata.category(character)[0] in "LN"


def segments(app: App[Any]) -> Iterator[Segment]:
    """What can be worked with now: a screen behind a dialog is dimmed on purpose."""
    screen = app.screen
    shown = screen.children[0].region if isinstance(screen, ModalScreen) else screen.region
    for strip in screen._compositor.render_strips()[shown.y : shown.bottom]:
        yield from strip.crop(shown.x, shown.right)


def unreadable(app: App[Any]) -> list[str]:
    return [
        f"{segment.text.strip()!r} {segment.style.color} on {segment.style.bgcolor}: {found:.2f}"
        for segment in segments(app)
        if segment.style and any(map(is_text, segment.text)) and (found := contrast_of(segment.style)) < LEAST
    ]


@pytest.mark.parametrize("name", COMPUTABLE)
def test_every_role_of_text_is_readable_on_the_themes_ground(name: str) -> None:
    theme = themes.load()[name]
    ground = Color.parse(theme.background or "")
    colours = {role: Color.parse(theme.variables[f"role-{role}"]) for role in ROLES if role not in (*DRAWN, "text")}
    colours["text"] = Color.parse(theme.foreground or "")
    assert {role for role, colour in colours.items() if contrast(colour, ground) < LEAST} == set()


@pytest.mark.parametrize("name", COMPUTABLE)
async def test_everything_on_the_viewers_screens_is_readable(name: str) -> None:
    app = viewer(run(95), live=True, theme=name)
    async with app.run_test(size=(120, 40)) as pilot:
        app.pump(0)
        for key in ("l", "t", "p", "u", "o", "e", "r", "b", "question_mark", "escape", "g", "escape", "ctrl+p"):
            await pilot.press(key)
            await pilot.pause(0.05)
            assert unreadable(app) == [], key


@pytest.mark.parametrize("name", COMPUTABLE)
async def test_everything_on_the_home_screen_and_the_form_is_readable(name: str) -> None:
    app = HomeApp(shelf(), theme=name)
    async with app.run_test(size=(100, 30)) as pilot:
        for key in ("tab", "question_mark", "escape", "s", "enter", "x"):
            assert unreadable(app) == [], key
            await pilot.press(key)
            await ready(pilot)
        assert isinstance(app.screen, FormScreen) and app.screen.query(".wrong")
        assert unreadable(app) == []


async def test_without_colours_user_and_system_have_characters_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert detect({"LANG": "C.UTF-8", "NO_COLOR": ""}) is COLOURLESS
    assert detect({"LANG": "C.UTF-8"}) is UNICODE
    app = viewer(run(95), live=True, theme=None, glyphs=COLOURLESS)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pump(0)
        await pilot.pause()
        rows = ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]
    chart = next(index for index, row in enumerate(rows) if "█ user" in row or "CPU %" in row)
    drawn = set(itertools.chain.from_iterable(rows[chart + 1 : chart + 5]))
    assert {"█", "▒"} <= drawn
    assert not any("⠀" < character <= "⣿" for character in drawn)

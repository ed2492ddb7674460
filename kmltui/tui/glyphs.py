# SPDX-License-Identifier: GPL-2.0-or-later
"""The characters that a terminal can show: all of Unicode, the Linux console's font, or ASCII.

Widgets draw with a set that the terminal has. Anything else on the screen (Textual's own widgets, text from a guest) is
translated cell by cell when it is output, so that the terminal gets nothing that it cannot show.
"""

from __future__ import annotations

import locale
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)  # a key of caches that are asked for every span: only itself is equal to it
class Glyphs:
    """One set of characters for the drawings."""

    name: str
    full: str = "█"
    half: str = "▌"
    """The left half of ``full``; empty where there is none."""
    sliver: str = "▏"
    """A value that is not zero, but too small for a cell."""
    second: str = "▒"
    """The second series of a bar, distinct from the first one without colour."""
    track: str = "░"
    rule: str = "─"
    wall: str = "│"
    tee_down: str = "┬"
    tee_up: str = "┴"
    cross: str = "┼"
    dot: str = "·"
    record: str = "●"
    play: str = "▶"
    pause: str = "‖"
    done: str = "✓"
    failed: str = "✗"
    busy: str = "◌"
    up: str = "▲"
    down: str = "▼"
    mark: str = "◆"
    cursor: str = "┃"
    arrow: str = "→"
    braille: bool = True
    levels: str = " ▁▂▃▄▅▆▇█"
    """A column's fill, from empty to full, where there is no braille."""
    every: bool = False
    """The terminal shows every character, not only these."""


UNICODE = Glyphs("unicode", every=True)
COLOURLESS = Glyphs("unicode without colours", braille=False, every=True)
"""Charts of blocks, which unlike dots can distinguish two series by their characters."""
CONSOLE = Glyphs(
    "console",
    half="",
    sliver="·",
    done="√",
    failed="x",
    record="*",
    play=">",
    pause="=",
    busy="o",
    up="+",
    down="-",
    mark="#",
    cursor="│",
    arrow=">",
    braille=False,
    levels=" ▄█",
)
ASCII = Glyphs(
    "ascii",
    full="#",
    half="",
    sliver=".",
    second="=",
    track=".",
    rule="-",
    wall="|",
    tee_down="+",
    tee_up="+",
    cross="+",
    dot="-",
    record="*",
    play=">",
    pause="=",
    done="+",
    failed="x",
    busy="o",
    up="+",
    down="-",
    mark="!",
    cursor="|",
    arrow=">",
    braille=False,
    levels=" .:=%",
)


def detect(environ: Mapping[str, str] | None = None) -> Glyphs:
    """What the terminal can show, according to LC_ALL, LC_CTYPE or LANG, TERM and NO_COLOR."""
    env = os.environ if environ is None else environ
    if env.get("TERM") in ("linux", "linux-16color"):
        return CONSOLE
    setting = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    # If nothing is set, the C library assumes C; Python's own coercion to UTF-8 says nothing about the terminal.
    encoding = setting.partition(".")[2].partition("@")[0] if setting else ""
    if setting and not encoding and setting not in ("C", "POSIX"):
        encoding = locale.getlocale()[1] or ""
    if encoding.lower().replace("-", "") != "utf8":
        return ASCII
    return COLOURLESS if "NO_COLOR" in env else UNICODE


_CONSOLE_FONT = frozenset("─│┌┐└┘├┤┬┴┼═║╔╗╚╝╠╣╦╩╬█▄▀▌▐░▒▓■·°±²µßäöüéèàçñ÷«»¿¡£¥¬½¼√∞≈≡≤≥")
"""What the kernel's default font (code page 437) has beyond ASCII."""

_NEAREST_OF_CONSOLE = dict(zip("╭╮╰╯┏┓┗┛┣┫┳┻╋━┃╌╎┄┆┈┊", "┌┐└┘┌┐└┘├┤┬┴┼─│─│─│─│", strict=True))

_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_POWER_OF_TEN = re.compile(f"10([{_RAISED}])")

_NEAREST = {
    **dict.fromkeys("─═━╌┄┈╍┅┉╴╶╸╺⎯‐‑‒–—―−▔▁▂", "-"),
    **dict.fromkeys("│║┃╎┆┊╏┇┋╵╷╹╻▏▎▕⎹⎸", "|"),
    **dict.fromkeys("╭╮╰╯┏┓┗┛┌┐└┘├┤┬┴┼┝┥┯┷┿╋┠┨┳┻╔╗╚╝", "+"),
    **dict.fromkeys("█▉▊▋▓■▇▆▅", "#"),
    **dict.fromkeys("▒▄▀▌▐▍", "="),
    **dict.fromkeys("░", "."),
    **dict.fromkeys("·•∙⋅", "."),
    **dict(zip(_RAISED, "0123456789", strict=True)),
    **dict.fromkeys("●○◉◌⬤", "o"),
    **dict.fromkeys("▶▸►❯›→⟩", ">"),
    **dict.fromkeys("◀◂◄❮‹←⟨", "<"),
    **dict.fromkeys("▲△▴↑⌃⬆⇧", "^"),
    **dict.fromkeys("▼▽▾↓⬇", "v"),
    **dict.fromkeys("‘’‚′", "'"),
    **dict.fromkeys("“”„″", '"'),
    "×": "x",
    "µ": "u",
    "✓": "+",
    "✗": "x",
    "◆": "#",
    "‖": "=",
    "Δ": "d",
    "⏎": "<",
    **dict.fromkeys(map(chr, range(0x2400, 0x2422)), "^"),  # printable()'s signs for what a terminal acts upon
    "🔎": ">",
    "±": "~",
    "≤": "<",
    "≥": ">",
    "…": "~",
}


def spelled(text: str, glyphs: Glyphs) -> str:
    """``text`` with what ``glyphs`` can only write with several other characters, in as many cells: 1e9 for 10⁹."""
    return text if glyphs.every else _POWER_OF_TEN.sub(r"1e\1", text)


def nearest(character: str, glyphs: Glyphs) -> str:
    """The character of ``glyphs`` that replaces ``character``, one cell wide."""
    if character.isascii() or glyphs.every:
        return character
    if glyphs is CONSOLE:
        character = _NEAREST_OF_CONSOLE.get(character, character)
        if character in _CONSOLE_FONT:
            return character
    if "⠀" <= character <= "⣿":
        return " .:#"[min((bin(ord(character) - 0x2800).count("1") + 2) // 3, 3)]
    return _NEAREST.get(character, "?")

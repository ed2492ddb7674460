# SPDX-License-Identifier: GPL-2.0-or-later
"""Text from outside, made safe to show and honest about what is in it.

Console output, server logs, notes, names and errors are data: what a terminal would act upon, or what would make a
line look like another one, is replaced by a visible sign. Everything that shows such text uses :func:`printable`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


def printable(text: str, keep: str = "") -> str:
    """``text`` on one line, with everything that is not a visible character shown as a sign for it.

    C0 controls become their Unicode pictures (ESC is ␛), others their code in angle quotes (``‹U+202E›``); special
    spaces become plain ones. Characters in ``keep``, e.g. a newline, stay as they are.

    What counts as invisible is Unicode's judgement: controls, formatting such as bidirectional overrides and
    zero-width characters, surrogates, private use, unassigned.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _sign(char) for char in text)


def _sign(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if char.isspace() and code not in (0x85, 0x2028, 0x2029):
        return " "
    return f"‹U+{code:04X}›"


MINUS = "−"


def signed(number: str) -> str:
    """A formatted number as people are shown it everywhere, with a real minus: ``−1.2`` for ``-1.2``."""
    return number.replace("-", MINUS)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about ``word``, which is not ``known``: ``; did you mean 'x'?``, or nothing."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def time_left(seconds: float) -> str:
    """An estimate in words, no more exactly than it is known: ``about 25 s left``."""
    if seconds < 90:
        return f"about {max(math.ceil(seconds / 5) * 5, 5)} s left"
    return f"about {math.ceil(seconds / 60)} min left"

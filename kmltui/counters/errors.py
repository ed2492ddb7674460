# SPDX-License-Identifier: GPL-2.0-or-later
"""What all parsers share: numbers, escapes, and the error that they raise."""

from __future__ import annotations

import re

from kmltui.model import whole


class CounterError(ValueError):
    """The text is not what this source of counters writes. The message names the source and quotes the line."""


_LONGEST_QUOTE = 80


def unsigned(word: str, source: str, line: str) -> int:
    """A counter's value. Raises CounterError for anything but a decimal number that fits in 63 bits."""
    value = whole(word)
    if value is None:
        raise malformed(source, line)
    return value


_ESCAPE = re.compile(r"\\([0-7]{3})")


def unescaped(word: str) -> str:
    """A name in which the kernel has written blanks, line breaks and backslashes as octal escapes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), word)


def malformed(source: str, line: str) -> CounterError:
    """The error for a line that cannot be parsed."""
    quoted = line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"
    return CounterError(f"{source}: cannot understand the line {quoted!r}")

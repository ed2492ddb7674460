# SPDX-License-Identifier: GPL-2.0-or-later
"""The report for programs: one JSON object, described in docs/recording.md."""

from __future__ import annotations

import json

import msgspec

from kmltui.figures.summary import Summary


def render(summary: Summary) -> str:
    """Every figure of the summary, raw; times in seconds, fractions as fractions, absent figures as null.

    All of it is ASCII: no control character of any kind reaches a terminal on which it is printed.
    """
    plain = json.loads(msgspec.json.encode(summary))
    del plain["charts"]
    return json.dumps(plain, indent=2) + "\n"

# SPDX-License-Identifier: GPL-2.0-or-later
"""The report for programs: one JSON object, described in docs/recording.md."""

from __future__ import annotations

import json

import msgspec

from kmltui.figures.summary import Summary


def render(summary: Summary) -> str:
    """Every figure of the summary, raw; times in seconds, fractions as fractions, absent figures as null.

    The output is ASCII, so that no control character reaches a terminal.
    """
    plain = json.loads(msgspec.json.encode(summary))
    del plain["charts"]
    return json.dumps(plain, indent=2) + "\n"

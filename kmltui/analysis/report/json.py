"""The report for programs: one JSON object, described in docs/recording.md."""

from __future__ import annotations

import msgspec

from kmltui.analysis.summary import Summary


def render(summary: Summary) -> str:
    """Every figure of the summary, raw; times in seconds, fractions as fractions, absent figures as null."""
    plain = msgspec.to_builtins(summary)
    del plain["charts"]
    return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n"

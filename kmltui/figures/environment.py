# SPDX-License-Identifier: GPL-2.0-or-later
"""The sessions' environment: the article's Table 1 for this run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kmltui.model import Header, whole
from kmltui.printable import printable

Facts = Mapping[str, str]

_DEFAULT_TICK_HZ = 250
"""Debian's kernels."""

_OF_THE_SESSION = re.compile(r"\s*\bkmltui\.(name|arm)=\S*")
"""What has to differ on the kernel's command line: the session's identity."""

_OF_THE_ARM = frozenset({"arm", "kml", "rewritten_files", "session", "name"})
"""Facts that say which arm it is: different by design."""


def environment(header: Header, facts: Mapping[str, Facts]) -> dict[str, Any]:
    """One map: what is the same in all sessions, by name; ``differs``: what is not, by session; ``host``.

    A session's name and what defines its arm do not count as differences.
    """
    known = {name: _comparable(own) for name, own in facts.items() if own}
    keys = dict.fromkeys(key for own in known.values() for key in own)
    common: dict[str, Any] = {}
    differs: dict[str, dict[str, str]] = {}
    for key in keys:
        values = {name: own[key] for name, own in known.items() if key in own}
        if len(set(values.values())) == 1 and len(values) == len(known):
            common[key] = next(iter(values.values()))
        else:
            differs[key] = values
    return {**common, "differs": differs, "host": dict(header.host)}


def _comparable(facts: Facts) -> dict[str, str]:
    own = {key: value for key, value in facts.items() if key not in _OF_THE_ARM}
    if "cmdline" in own:
        own["cmdline"] = _OF_THE_SESSION.sub("", own["cmdline"]).strip()
    if "clocksource" in own:
        # The same counter, under the name that it has for a session's first seconds.
        own["clocksource"] = own["clocksource"].removesuffix("-early")
    return own


def is_emulated(facts: Facts) -> bool:
    """Whether a session ran under software emulation."""
    return "tcg" in facts.get("accelerator", "").lower()


def tick_hz(facts: Mapping[str, Facts]) -> int:
    """How often a second the sessions' kernel samples user and system time."""
    for own in facts.values():
        if (value := whole(own.get("tick_hz", ""))) is not None and 0 < value <= 10_000:
            return value
    return _DEFAULT_TICK_HZ


def mitigations(text: str) -> str:
    """The mitigations that do something, and the number of those that do not apply."""
    lines = [line.partition(":") for line in text.splitlines() if line]
    active = [f"{name}: {what.strip()}" for name, _, what in lines if what.strip().lower() != "not affected"]
    spared = len(lines) - len(active)
    if spared:
        active.append(f"not affected by {spared} others")
    return printable("; ".join(active))

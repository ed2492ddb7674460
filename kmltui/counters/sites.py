# SPDX-License-Identifier: GPL-2.0-or-later
"""Where attached programs trapped: the text of /proc/kml/sites."""

from __future__ import annotations

import re

from kmltui.counters.errors import CounterError
from kmltui.model import TrapSite

_ESCAPE = re.compile(r"\\([0-7]{3})")


def parse_trap_sites(text: str) -> list[TrapSite]:
    """The places in the order of the text; those of processes that have ended have no file. Raises
    :class:`CounterError`."""
    sites = []
    for line in text.splitlines():
        if line.startswith("lost "):
            continue
        try:
            count, _process, _page, path, offset = line.split(" ")
            name = "" if path == "-" else _ESCAPE.sub(lambda m: chr(int(m[1], 8)), path)
            sites.append(TrapSite(name, int(offset, 16), int(count)))
        except ValueError:
            raise CounterError(f"/proc/kml/sites: cannot understand {line[:80]!r}") from None
    return sites

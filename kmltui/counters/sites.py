# SPDX-License-Identifier: GPL-2.0-or-later
"""Where attached programs trapped: the text of /proc/kml/sites."""

from __future__ import annotations

from kmltui.counters.errors import CounterError, unescaped
from kmltui.model import TrapSite


def parse_trap_sites(text: str) -> list[TrapSite]:
    """The places in the order of the text, those outside of any file without a name. Raises :class:`CounterError`."""
    sites = []
    for line in text.splitlines():
        if line.startswith("lost "):
            continue
        try:
            count, _process, _page, path, offset = line.split(" ")
            name = "" if path == "-" else unescaped(path)
            sites.append(TrapSite(name, int(offset, 16), int(count)))
        except ValueError:
            raise CounterError(f"/proc/kml/sites: cannot understand {line[:80]!r}") from None
    return sites

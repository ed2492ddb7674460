# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the programs of a KML session trapped although they could have called directly: from the module into the
recording, and out of it again for ``kmltui guest info --sites``."""

from __future__ import annotations

from collections.abc import Iterable

from kmltui.counters import CounterError, parse_trap_sites
from kmltui.model import Record, TrapSite, TrapSites
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session, SessionError

_FILE = "/proc/kml/sites"
_MOST = 200
"""Places that are recorded, most frequent first."""


async def record_traps(session: Session, journal: Journal) -> None:
    """Record the places where the session's attached programs have trapped so far, those that have ended included.

    Does nothing where there is no such list, as in every arm but ``kml``, or where nothing has trapped.
    """
    try:
        sites = parse_trap_sites((await session.get(_FILE)).decode(errors="replace"))
    except (SessionError, OSError, CounterError):
        return
    if sites:
        sites.sort(key=lambda site: -site.count)
        journal.emit(TrapSites(t_ns=journal.now(), session=session.spec.name, sites=sites[:_MOST]))


def recorded_traps(records: Iterable[Record]) -> list[TrapSite]:
    """What :func:`record_traps` has put into a recording, of all its sessions."""
    return [site for record in records if isinstance(record, TrapSites) for site in record.sites]

"""Where the programs of a KML session trapped although they could have called directly: from the module into the
recording, and out of it again for ``kmltui guest info --sites``."""

from __future__ import annotations

from collections.abc import Iterable

from kmltui.kml.rewrite import Hit, parse_hits
from kmltui.model import Log, Record
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session, SessionError

_FILE = "/proc/kml/sites"
_MARK = "trapped: "
_MOST = 200
"""Places that are recorded, most frequent first."""


async def record_traps(session: Session, journal: Journal) -> None:
    """Put the places where the session's attached programs have trapped so far into the recording, a line each.

    To be called while they still run: of programs that have ended the module knows no files. Does nothing where there
    is no such list, as in every arm but ``kml``.
    """
    try:
        text = (await session.get(_FILE)).decode(errors="replace")
        lines = [line for line in text.splitlines() if not line.startswith("lost ")]
        lines.sort(key=lambda line: -parse_hits(line)[0].count)
    except (SessionError, OSError, ValueError):
        return
    for line in lines[:_MOST]:
        journal.log(session.spec.name, "agent", _MARK + line)


def recorded_traps(records: Iterable[Record]) -> list[Hit]:
    """What :func:`record_traps` has put into a recording, of all its sessions."""
    lines = (r.text for r in records if isinstance(r, Log) and r.source == "agent" and r.text.startswith(_MARK))
    return parse_hits("\n".join(line.removeprefix(_MARK) for line in lines))

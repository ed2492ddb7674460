# SPDX-License-Identifier: GPL-2.0-or-later
"""Where programs in ring 0 trapped, in a recording."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from kmltui.model import Record, TrapSite
from kmltui.runner.traps import record_traps, recorded_traps
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session, SessionError


def session(answer: bytes | Exception) -> Session:
    async def get(path: str) -> bytes:
        assert path == "/proc/kml/sites"
        if isinstance(answer, Exception):
            raise answer
        return answer

    return cast(Any, SimpleNamespace(spec=SimpleNamespace(name="kml"), get=get))


async def recorded(answer: bytes | Exception) -> list[Record]:
    records: list[Record] = []
    await record_traps(session(answer), Journal(lambda: 7, records.append))
    return records


async def test_the_modules_list_survives_a_recording_most_frequent_first() -> None:
    records = await recorded(b"3 7 7f00 /usr/lib/libc.so.6 3c059\n12 8 7f00 - 0\nlost 0\n")
    assert recorded_traps(records) == [TrapSite("", 0, 12), TrapSite("/usr/lib/libc.so.6", 0x3C059, 3)]


async def test_sessions_without_a_list_record_nothing() -> None:
    assert await recorded(FileNotFoundError()) == []
    assert await recorded(SessionError("gone")) == []
    assert await recorded(b"what is this\n") == []

# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest images that a run needs, built if they are not there, with the progress in the recording."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from kmltui.build.builder import ensure_image
from kmltui.images.errors import GuestError
from kmltui.images.image import chosen_spec
from kmltui.images.progress import Progress
from kmltui.model import SessionSpec, State
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import SessionError


class _Stopped(Exception):
    """Leaves the build from inside its progress report, so that it cleans up after itself."""


async def prepare(sessions: Sequence[SessionSpec], journal: Journal) -> None:
    """Make sure that the image of every session is there: guests boot it, the host takes its programs from it.
    Emits State records for the sessions that wait for it.

    Raises SessionError: an image cannot be made; the message says why and what to do.
    """
    wanted: dict[str, list[str]] = {}
    for spec in sessions:
        if spec.kind != "local-kml":
            wanted.setdefault(spec.image, []).append(spec.name)
    for image, names in wanted.items():
        await _prepare(image, names, journal)


async def _prepare(image: str, names: list[str], journal: Journal) -> None:
    loop = asyncio.get_running_loop()
    stopped = threading.Event()

    def tell(progress: Progress) -> None:
        for name in names:
            state = State(
                t_ns=journal.now(),
                session=name,
                state="image",
                detail=progress.step,
                fraction=progress.fraction,
                left_s=progress.left_s,
            )
            journal.emit(state)

    def report(progress: Progress) -> None:
        if stopped.is_set():
            raise _Stopped
        loop.call_soon_threadsafe(tell, progress)

    def build() -> None:
        ensure_image(chosen_spec(image), report)

    building = asyncio.ensure_future(asyncio.to_thread(build))
    try:
        await asyncio.shield(building)
    except GuestError as error:
        raise SessionError(str(error)) from error
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.gather(building, return_exceptions=True)
        raise

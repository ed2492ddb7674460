# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen's tests: no settings of the user, no clock, no colours of the terminal they happen to run in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from tui_support import Picture, settled

from kmltui.tui.app import ViewerApp


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("NO_COLOR", "LC_ALL", "LC_CTYPE", "TEXTUAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def picture(snap_compare: Any) -> Picture:
    """Compare the screen with its picture, after the first frame and some keys."""

    def compare(
        app: ViewerApp,
        *keys: str,
        size: tuple[int, int] = (120, 40),
        then: Callable[[Pilot[Any]], Awaitable[None]] | None = None,
    ) -> bool:
        async def before(pilot: Pilot[Any]) -> None:
            app.pump(0)
            await pilot.pause()
            for key in keys:
                await pilot.press(key)
                for worker in [worker for worker in pilot.app.workers if worker.group == "report"]:
                    await worker.wait()
                await pilot.pause()
            if then is not None:
                await then(pilot)
            await settled(pilot)

        return bool(snap_compare(app, terminal_size=size, run_before=before))

    return compare

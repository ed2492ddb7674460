# SPDX-License-Identifier: GPL-2.0-or-later
"""What takes longer than a second shows how far it is; what does not, and what nobody sees, shows nothing."""

from __future__ import annotations

import io

import pytest

from kmltui.cli import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(monkeypatch: pytest.MonkeyPatch, err: io.StringIO, seconds: float) -> str:
    now = 0.0
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now)
    monkeypatch.setattr("sys.stderr", err)
    with waiting.bar("reading") as bar:
        for step in range(11):
            now = seconds * step / 10
            bar(step / 10)
    return err.getvalue()


def test_a_long_wait_has_a_bar_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = run(monkeypatch, Terminal(), 20)
    assert "reading [###" in shown and "100 %" in shown
    assert shown.endswith("\r") and shown.split("\r")[-2].strip() == ""


def test_a_short_one_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Terminal(), 0.9) == ""


def test_without_a_terminal_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, io.StringIO(), 20) == ""

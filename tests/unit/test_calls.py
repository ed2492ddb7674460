# SPDX-License-Identifier: GPL-2.0-or-later
"""Why system calls are not counted, where they are not."""

import pytest

from kmltui.sessions import calls


def test_who_is_permitted_and_sees_nothing_is_not_told_to_become_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_sees_processes", lambda: False)
    counter, why = calls.open_counter(None)
    assert counter is None and "container" in why and "needs root" not in why


def test_who_is_not_permitted_is_told_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> bool:
        raise PermissionError

    monkeypatch.setattr(calls, "_sees_processes", refuse)
    assert calls.open_counter(None) == (None, calls.NOT_COUNTED)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Where files go for users that hardly exist."""

from __future__ import annotations

import os
import pwd

import pytest

from kmltui import paths


@pytest.fixture
def nobody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A uid without an entry, as containers have it."""

    def unknown(_uid: int) -> None:
        raise KeyError("no such user")

    for name in ("HOME", "KMLTUI_HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("nobody_known")
class TestNoEntryAmongTheUsers:
    def test_without_a_home_it_is_told_what_to_set(self) -> None:
        with pytest.raises(OSError, match=r"has no home directory.*set HOME or KMLTUI_HOME"):
            paths.runs_dir()

    def test_with_one_that_was_set_all_is_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KMLTUI_HOME", "/somewhere")
        assert str(paths.cache_dir()) == "/somewhere/cache"
        monkeypatch.delenv("KMLTUI_HOME")
        monkeypatch.setenv("HOME", "/home/there")
        assert str(paths.state_dir()) == "/home/there/.local/state/kmltui"

    def test_its_number_is_its_name(self) -> None:
        assert paths.user_name() == str(os.getuid())

# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rewrite_support import Rewritten, make_rewritten


@pytest.fixture(autouse=True)
def untimed_traps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of tests do not compile and run the program that times a trap."""
    monkeypatch.setattr("kmltui.runner.run.trap_facts", lambda: {})


@pytest.fixture(scope="session")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rewritten]:
    """This machine's own C library and loader, rewritten, with a compiler for programs that use them."""
    base = tmp_path_factory.getbasetemp()
    # Under pytest-xdist, every process has a directory of its own in one that they share.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    yield make_rewritten(tmp_path_factory.mktemp("programs"), shared / "rewritten-libraries")


@pytest.fixture(scope="session")
def programs() -> Path:
    """Small programs that check themselves, shared with the guest's tests."""
    return Path(__file__).parent.parent / "programs"

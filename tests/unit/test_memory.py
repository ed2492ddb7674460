# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory guests may take where a cgroup allows less than the machine has."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from kmltui.machine import memory


def cgroup(path: Path, limit: str, used: int = 0, cache: int = 0) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "memory.max").write_text(limit + "\n")
    (path / "memory.current").write_text(f"{used}\n")
    (path / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\nactive_file 0\n")


def own(tmp_path: Path, path: str) -> Path:
    file = tmp_path / "self"
    file.write_text(f"0::{path}\n")
    return file


@pytest.fixture(autouse=True)
def _a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = psutil.virtual_memory()._replace(available=64 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: whole)


def test_without_limits_it_is_what_the_machine_has_free(tmp_path: Path) -> None:
    cgroup(tmp_path / "fs/a", "max")
    assert memory.free_bytes(own(tmp_path, "/a"), tmp_path / "fs") == 64 << 30


def test_the_narrowest_limit_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    cgroup(tmp_path / "fs/a", str(1536 << 20), used=512 << 20, cache=100 << 20)
    cgroup(tmp_path / "fs/a/b", str(8 << 30), used=1 << 20)
    assert memory.free_bytes(own(tmp_path, "/a/b"), tmp_path / "fs") == 1124 << 20


def test_a_cgroup_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    cgroup(tmp_path / "fs/a", "1000", used=2000)
    assert memory.free_bytes(own(tmp_path, "/a"), tmp_path / "fs") == 0


@pytest.mark.parametrize("text", ["", "1:name=systemd:/x\n", "0::/gone\n"])
def test_without_cgroup_v2_the_machine_decides(tmp_path: Path, text: str) -> None:
    (tmp_path / "self").write_text(text)
    assert memory.free_bytes(tmp_path / "self", tmp_path / "fs") == 64 << 30

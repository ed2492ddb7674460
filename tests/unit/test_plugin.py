# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin that counts instructions, as far as it can be tested without a guest."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from kmltui.images.errors import GuestError
from kmltui.machine import plugin


def write_counters(path: Path, vcpus: int, now: list[int], marks: list[list[int]]) -> None:
    """A file as the plugin shares it."""

    def record(values: list[int]) -> bytes:
        return struct.pack(f"<{len(values)}Q", *values).ljust(64 * 16, b"\0")

    slots = [record([])] * 1023
    for number, values in enumerate(marks):
        slots[number % 1023] = record(values)
    path.write_bytes(struct.pack("<8sQQ40x", b"KMLCNT01", vcpus, len(marks)) + record(now) + b"".join(slots))


def test_counters_are_read_by_vcpu(tmp_path: Path) -> None:
    write_counters(tmp_path / "c", 2, [10, 20, 30, 40], [])
    counters = plugin.Counters(tmp_path / "c")
    assert counters.now() == {0: (10, 20), 1: (30, 40)}
    assert counters.marks() == []
    counters.close()


def test_what_lies_between_two_marks_is_their_difference(tmp_path: Path) -> None:
    write_counters(tmp_path / "c", 1, [100, 100], [[10, 20], [15, 90]])
    before, after = plugin.Counters(tmp_path / "c").marks()
    assert plugin.between(before, after) == {0: (5, 70)}


def test_marks_are_read_on_from_where_one_was(tmp_path: Path) -> None:
    write_counters(tmp_path / "c", 1, [0, 0], [[number, 0] for number in range(1500)])
    counters = plugin.Counters(tmp_path / "c")
    assert [mark[0][0] for mark in counters.marks(1490)] == list(range(1490, 1500))
    with pytest.raises(GuestError, match="1500 marks were set before they were read"):
        counters.marks()


def test_a_file_that_is_not_there_or_not_the_plugins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="has not started"):
        plugin.Counters(tmp_path / "none")
    (tmp_path / "foreign").write_bytes(b"x" * 4096)
    with pytest.raises(GuestError, match="not a file of the plugin"):
        plugin.Counters(tmp_path / "foreign")


def test_a_path_that_qemu_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="comma"):
        plugin.arguments(tmp_path / "a,b.so", tmp_path / "c")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
def test_the_plugin_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    built = plugin.build()
    assert built.read_bytes()[:4] == b"\x7fELF"
    changed = built.stat().st_mtime_ns
    assert plugin.build() == built and built.stat().st_mtime_ns == changed

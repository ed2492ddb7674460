# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory guests may take: what is free on this machine, and what our cgroups still allow."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
OVERHEAD_BYTES = 200 << 20
"""What QEMU needs beside a guest's own memory, mostly for translated code."""


def needed_bytes(guests_bytes: list[int]) -> int:
    """What guests of these sizes need together."""
    return sum(size + OVERHEAD_BYTES for size in guests_bytes)


def free_bytes(own_cgroup: Path = Path("/proc/self/cgroup"), cgroups: Path = CGROUPS) -> int:
    """Memory that this process and its children can still get without displacing anything."""
    return max(min([psutil.virtual_memory().available, *_allowed(own_cgroup, cgroups)]), 0)


def _allowed(own_cgroup: Path, cgroups: Path) -> list[int]:
    """What each limit on the way from our cgroup up to the root leaves (cgroup v2)."""
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return []
    path = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    here = cgroups / path
    return [
        left for each in (here, *here.parents) if each.is_relative_to(cgroups) and (left := _left(each)) is not None
    ]


def _left(cgroup: Path) -> int | None:
    """How much ``cgroup`` may still grow; None if it has no limit. Its page cache can be dropped and counts as free."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
        fields = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # ValueError: "max", that is none
        return None
    return limit - used + int(fields.get("inactive_file", 0)) + int(fields.get("active_file", 0))

# SPDX-License-Identifier: GPL-2.0-or-later
"""The host as a session: its counters, and the facts about it that a report's first table shows."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

from kmltui.counters import ProcStat, parse_kml_counters, parse_proc_stat
from kmltui.model import KmlCounters, whole

KML_COUNTERS = "kml/counters"

_SPEED = re.compile(
    r"(mitigations|(no)?pti|no(smep|smap|smt|apic)?|(no)?spec\w*|spectre\w*|l1tf|mds|retbleed|srbds|tsx\w*|ibt|fred|nousershstk"
    r"|clearcpuid|isolcpus|nohz\w*|rcu_nocbs|preempt|threadirqs|maxcpus|nr_cpus|idle|processor\.\w+|intel_\w+|amd_\w+"
    r"|cpufreq\.\w+|cpuidle\w*\.\w+|haltpoll\.\w+|clocksource|tsc|hpet|hz|(no)?lapic\w*|transparent_hugepage|hugepage\w*"
    r"|numa\w*|kvm\w*\.\w+|nopvspin|lsm|apparmor|selinux|audit|lockdown)(=\S*)?"
)
"""The parts of a kernel's command line that affect its speed. The rest may name disks, users or secrets."""


class HostFiles:
    """The counters' files of /proc, kept open. ``root`` is /proc, or a copy of it. Not thread-safe."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        """Raises OSError: /proc cannot be read."""
        self.syscalls = 0
        """Made here so far."""
        self._stat = os.open(root / "stat", os.O_RDONLY | os.O_CLOEXEC)
        self._kml: int | None = None
        with suppress(OSError):
            self._kml = os.open(root / KML_COUNTERS, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> ProcStat:
        """CPU time, interrupts and context switches. Raises OSError, CounterError."""
        return parse_proc_stat(self._text(self._stat))

    def read_kml(self) -> KmlCounters | None:
        """The KML module's counters; None if it is not loaded. Raises OSError, CounterError."""
        return None if self._kml is None else parse_kml_counters(self._text(self._kml))

    def _text(self, descriptor: int) -> str:
        parts = []
        offset = 0
        while data := os.pread(descriptor, 1 << 20, offset):
            parts.append(data)
            offset += len(data)
        self.syscalls += len(parts) + 1
        return b"".join(parts).decode(errors="replace")

    def close(self) -> None:
        os.close(self._stat)
        if self._kml is not None:
            os.close(self._kml)


def kml_loaded(root: Path = Path("/proc")) -> bool:
    """Whether the KML module is loaded into this host's kernel."""
    return (root / KML_COUNTERS).exists()


def facts(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> dict[str, str]:
    """Facts about this machine, with the same keys as for a guest. Unreadable ones are left out."""
    cpuinfo = _read(proc / "cpuinfo")
    cpu = _field(cpuinfo, "model name")
    memory = whole(_field(_read(proc / "meminfo"), "MemTotal").split(" ", maxsplit=1)[0])
    virtual = " hypervisor" in _field(cpuinfo, "flags")
    vulnerabilities = sys / "devices/system/cpu/vulnerabilities"
    found = {
        "cpu": cpu,
        "vcpus": str(sum(line.startswith("processor") for line in cpuinfo.splitlines()) or ""),
        "memory_bytes": str(memory * 1024) if memory else "",
        "accelerator": "this host (virtual)" if virtual else "this host",
        "kernel": _read(proc / "sys/kernel/osrelease"),
        "kernel_build": _read(proc / "sys/kernel/version"),
        "cmdline": " ".join(filter(_SPEED.fullmatch, _read(proc / "cmdline").split())),
        "clocksource": _read(sys / "devices/system/clocksource/clocksource0/current_clocksource"),
        "mitigations": "\n".join(f"{path.name}:{_read(path)}" for path in sorted(vulnerabilities.glob("*"))),
        "libc": " ".join(platform.libc_ver()),
        "kml": _read(proc / KML_COUNTERS).partition("\n")[0],
        "distribution": _distribution(),
    }
    return {key: value for key, value in found.items() if value}


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    """The value of the first line ``name : value``."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""

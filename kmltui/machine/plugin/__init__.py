# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts a guest's instructions exactly, from outside: QEMU's TCG plugin, and reading its counters.

The plugin (``count.c`` beside this file) counts what each vCPU executes at user and at kernel addresses and shares the
counters in a file. A guest program marks an instant with a no-operation that the plugin recognises; what lies between
two marks is exact to the instruction.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

from kmltui import paths
from kmltui.images.compiler import COMMON_FLAGS, compile_c
from kmltui.images.errors import GuestError
from kmltui.images.store import hash_of

SOURCE = Path(__file__).parent / "count.c"
_FLAGS = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")

_MAGIC = b"KMLCNT01"
_MAX_VCPUS = 64
_MAX_MARKS = 1023
_HEADER = struct.Struct("<8sQQ40x")
_RECORD_BYTES = _MAX_VCPUS * 16

Instructions = dict[int, tuple[int, int]]
"""User and kernel instructions executed since the guest was started, by vCPU."""

RTC = "base=2020-01-01,clock=vm"
"""The date it boots with, in every run the same."""

COMMAND_LINE = "norandmaps softlockup_panic=1"
"""No randomised addresses. Without periodic samples as a sign of life, a hanging kernel has to report itself."""


def build() -> Path:
    """The compiled plugin, made once for each version of its source and kept in the cache.

    Raises what :func:`compile_c` raises.
    """
    key = hash_of(SOURCE.read_bytes(), (*COMMON_FLAGS, *_FLAGS))
    built = paths.cache_dir() / "plugin" / f"count-{key}.so"
    if built.exists():
        return built
    fresh = built.with_suffix(f".{os.getpid()}.tmp")
    compile_c([SOURCE], fresh, _FLAGS)
    fresh.rename(built)
    return built


def arguments(plugin: Path, counters: Path) -> list[str]:
    """QEMU's arguments that load the plugin and let it share its counters in the file ``counters``."""
    for path in (plugin, counters):
        if "," in str(path):
            raise GuestError(f"QEMU cannot be given a path with a comma: {path}")
    return ["-plugin", f"{plugin},out={counters}"]


class Counters:
    """The counters of a running guest. Open once QEMU has started; :meth:`close` when done."""

    def __init__(self, path: Path) -> None:
        """Map the file of a running plugin. Raises :class:`GuestError` if the plugin did not make it."""
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise GuestError(f"the plugin that counts instructions has not started: {error}") from error
        magic, self._vcpus, _ = self._header()
        if magic != _MAGIC:
            self.close()
            raise GuestError(f"{path} is not a file of the plugin that counts instructions")

    def _header(self) -> tuple[bytes, int, int]:
        magic, vcpus, marks = _HEADER.unpack_from(self._map)
        return magic, vcpus, marks

    def _record(self, index: int) -> Instructions:
        numbers = struct.unpack_from(f"<{2 * self._vcpus}Q", self._map, _HEADER.size + index * _RECORD_BYTES)
        return {vcpu: (numbers[2 * vcpu], numbers[2 * vcpu + 1]) for vcpu in range(self._vcpus)}

    def now(self) -> Instructions:
        """The counters as they stand; of a guest that is running, at most 50 ms old."""
        return self._record(0)

    def marks(self, start: int = 0) -> list[Instructions]:
        """The counters at each mark that the guest has set, from number ``start`` on.

        Raises :class:`GuestError` if the guest has set so many since that the earliest are lost.
        """
        count = self.count
        if count - start > _MAX_MARKS:
            raise GuestError(f"{count - start} marks were set before they were read; {_MAX_MARKS} are kept")
        return [self._record(1 + number % _MAX_MARKS) for number in range(start, count)]

    @property
    def count(self) -> int:
        """How many marks have been set so far."""
        return self._header()[2]

    def close(self) -> None:
        """Unmap the file. Idempotent."""
        self._map.close()


def between(before: Instructions, after: Instructions) -> Instructions:
    """What was executed between two readings, by vCPU."""
    return {vcpu: (user - before[vcpu][0], kernel - before[vcpu][1]) for vcpu, (user, kernel) in after.items()}

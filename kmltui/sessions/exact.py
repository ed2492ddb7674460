# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest session whose instructions are counted: emulated on one vCPU, repeatable, with QEMU's plugin.

The guest's clock counts instructions, so CPU times of its cgroups are exact numbers of instructions, too (1 ns each).
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import msgspec

from kmltui.images.errors import GuestError
from kmltui.machine import plugin
from kmltui.machine.user import unprivileged
from kmltui.model import Record, Sample, SessionSpec
from kmltui.sessions.guest import GuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import SessionError

_AT_BOUNDARIES_ONLY = 0
"""The sampling period: a sample costs the guest instructions, and chance decides in which phase it falls."""


class ExactGuestSession(GuestSession):
    """Adds ``instructions`` to every sample, and counts what lies between two of the guest's marks."""

    def __init__(self, spec: SessionSpec) -> None:
        """Raises :class:`SessionError` for a session that cannot be exact."""
        if spec.accel == "kvm":
            raise SessionError(f"{spec.name}: under KVM nothing counts instructions; leave out --accel kvm")
        self._directory = Path(tempfile.mkdtemp(prefix="kmltui-count-"))
        self._file = self._directory / "counters"
        self._file.touch(0o600)
        if user := unprivileged(kvm=False):
            os.chown(self._file, user.uid, user.gid)
        try:
            built = plugin.build()
            arguments = ["-rtc", plugin.RTC, *plugin.arguments(built, self._file)]
        except GuestError as error:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise SessionError(f"{spec.name}: {error}") from error
        super().__init__(
            msgspec.structs.replace(spec, accel="tcg"),
            _AT_BOUNDARIES_ONLY,
            qemu_arguments=arguments,
            qemu_files=[built, self._file],
            append=plugin.COMMAND_LINE,
        )
        self._counters: plugin.Counters | None = None

    async def start(self, journal: Journal) -> None:
        def emit(record: Record) -> None:
            journal.emit(self._with_instructions(record) if isinstance(record, Sample) else record)

        await super().start(dataclasses.replace(journal, emit=emit))

    def _with_instructions(self, sample: Sample) -> Sample:
        now = self._open().now()
        return msgspec.structs.replace(sample, instructions={str(vcpu): counts for vcpu, counts in now.items()})

    def _open(self) -> plugin.Counters:
        if self._counters is None:
            try:
                self._counters = plugin.Counters(self._file)
            except GuestError as error:
                raise SessionError(f"{self.spec.name}: {error}") from error
        return self._counters

    def marks(self) -> list[plugin.Instructions]:
        """The counters at each mark so far. Raises :class:`SessionError`."""
        try:
            return self._open().marks()
        except GuestError as error:
            raise SessionError(f"{self.spec.name}: {error}") from error

    def marked_instructions(self) -> dict[str, tuple[int, int]]:
        """User and kernel instructions between the last two marks, by vCPU number. Raises :class:`SessionError`."""
        marks = self._open().marks(max(0, self._open().count - 2))
        if len(marks) < 2:
            raise SessionError(
                f"{self.spec.name}: the workload's client has set no marks; is the guest image up to date?"
            )
        return {str(vcpu): counts for vcpu, counts in plugin.between(*marks).items()}

    async def stop(self) -> None:
        await super().stop()
        if self._counters is not None:
            self._counters.close()
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts system calls in the host's kernel, with a small BPF program on the tracepoint ``sys_enter``.

Exact and by number and CPU, for chosen processes and those that they start, or for the whole host. Needs root, or
CAP_BPF and CAP_PERFMON. The counts lie in an array that is mapped into this process, so reading them costs no system
call. Every system call of the host pays for the tracepoint while the counter is open (some 0.1 microseconds).

Source for the encoding: ``include/uapi/linux/bpf.h`` and the kernel's ``Documentation/bpf/standardization``.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import struct
from collections.abc import Iterable
from pathlib import Path

from kmltui.sessions.btf import field_offset

_SYS_BPF = 321
_MAP_CREATE, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 2, 3, 5, 17
_MAP_HASH, _MAP_ARRAY = 1, 2
_RAW_TRACEPOINT = 17
_MMAPABLE = 1 << 10
_ATTR_BYTES = 120

SLOTS = 512
"""Slots per CPU, by the call's number; the last two are for other calls."""
OTHER_SLOT = SLOTS - 1
"""All numbers that are too large to be a system call's, those of the x32 ABI among them."""
COMPAT_SLOT = SLOTS - 2
"""All calls by 32-bit programs, or by ``int 0x80``: their numbers have other meanings."""

_MAX_PROCESSES = 16_384

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(_ATTR_BYTES, b"\0"), _ATTR_BYTES)
    result: int = _libc.syscall(_SYS_BPF, command, buffer, _ATTR_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _create_map(kind: int, value_bytes: int, entries: int, flags: int = 0) -> int:
    return _bpf(_MAP_CREATE, struct.pack("=IIIII", kind, 4, value_bytes, entries, flags))


def _possible_cpus() -> int:
    """One more than the highest number that a CPU can have (``0-3`` → 4)."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.strip().replace("-", ",").split(",")[-1]) + 1


# Instructions are named as in the kernel's own documentation; R0 is the result, R1 to R5 are arguments, R6 is kept
# across calls, R10 is the frame pointer.
_R0, _R1, _R2, _R3, _R4, _R6, _R10 = 0, 1, 2, 3, 4, 6, 10
_LOOKUP, _UPDATE, _DELETE = 1, 2, 3
_GET_SMP_PROCESSOR_ID, _GET_CURRENT_PID_TGID, _GET_CURRENT_TASK, _PROBE_READ_KERNEL = 8, 14, 35, 113

_TS_COMPAT = 2
"""In ``thread_info.status`` of x86-64: the task is in a 32-bit system call (``arch/x86/include/asm/thread_info.h``)."""


def _insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, src << 4 | dst, offset, immediate)


def _load_map(dst: int, descriptor: int) -> bytes:
    return _insn(0x18, dst, 1, 0, descriptor) + _insn(0)


def _call(helper: int) -> bytes:
    return _insn(0x85, immediate=helper)


def _status_offset(release: str) -> int:
    """Where ``thread_info.status`` is in a task: the structure is its first member, and got a field in Linux 5.11."""
    major, minor = (int(part) for part in re.findall(r"\d+", release)[:2])
    return 16 if (major, minor) >= (5, 11) else 8


def _program(counts: int, processes: int | None) -> bytes:
    """Add 1 to the slot of this CPU and call number; with ``processes``, only if the process is in that map."""
    end = _insn(0xB7, _R0) + _insn(0x95)  # r0 = 0; exit
    name = b"".join(
        (
            _insn(0xA5, _R6, offset=1, immediate=COMPAT_SLOT),  # if r6 < COMPAT_SLOT skip
            _insn(0xB7, _R6, immediate=OTHER_SLOT),  # r6 = OTHER_SLOT
            _call(_GET_CURRENT_TASK),
            _insn(0xBF, _R3, _R0),  # r3 = r0 + the offset
            _insn(0x07, _R3, immediate=_status_offset(os.uname().release)),
            _insn(0xB7, _R2, immediate=4),
            _insn(0xBF, _R1, _R10),  # r1 = fp - 8
            _insn(0x07, _R1, immediate=-8),
            _call(_PROBE_READ_KERNEL),
            _insn(0x61, _R0, _R10, -8),  # r0 = *(u32 *)(fp - 8), which is 0 if that failed
            _insn(0x57, _R0, immediate=_TS_COMPAT),  # r0 &= TS_COMPAT
            _insn(0x15, _R0, offset=1),  # if r0 == 0 skip
            _insn(0xB7, _R6, immediate=COMPAT_SLOT),  # r6 = COMPAT_SLOT
        )
    )
    count = b"".join(
        (
            _call(_GET_SMP_PROCESSOR_ID),
            _insn(0x27, _R0, immediate=SLOTS),  # r0 *= SLOTS
            _insn(0x0F, _R6, _R0),  # r6 += r0
            _insn(0x63, _R10, _R6, -4),  # *(u32 *)(fp - 4) = r6
            _load_map(_R1, counts),
            _insn(0xBF, _R2, _R10),  # r2 = fp
            _insn(0x07, _R2, immediate=-4),  # r2 += -4
            _call(_LOOKUP),
            _insn(0x15, _R0, offset=3),  # if r0 == 0 goto end
            # Not atomic: no other CPU writes this slot, and the program is not preempted.
            _insn(0x79, _R1, _R0),  # r1 = *(u64 *)r0
            _insn(0x07, _R1, immediate=1),  # r1 += 1
            _insn(0x7B, _R0, _R1),  # *(u64 *)r0 = r1
        )
    )
    chosen = _unless_chosen(processes, name + count) if processes is not None else b""
    return _insn(0x79, _R6, _R1, 8) + chosen + name + count + end  # r6 = the call's number


def _key(processes: int) -> bytes:
    """Make the number at fp - 4 the key of a call about the map of processes."""
    return _load_map(_R1, processes) + _insn(0xBF, _R2, _R10) + _insn(0x07, _R2, immediate=-4)


def _unless_chosen(processes: int, skipped: bytes) -> bytes:
    """Skip those instructions unless the current process is in the map."""
    return b"".join(
        (
            _call(_GET_CURRENT_PID_TGID),
            _insn(0x77, _R0, immediate=32),  # r0 >>= 32: the process (tgid)
            _insn(0x63, _R10, _R0, -4),
            _key(processes),
            _call(_LOOKUP),
            _insn(0x15, _R0, offset=len(skipped) // 8),  # if r0 == 0 skip
        )
    )


_CLONE_THREAD = 0x10000


def _followers(processes: int) -> dict[str, bytes]:
    """Programs by their tracepoints: a process that one in the map starts is put into the map, before it can make a
    call, and taken out when its number becomes free. Raises OSError or ValueError: nobody knows where a task has its
    number."""
    end = _insn(0xB7, _R0) + _insn(0x95)  # r0 = 0; exit
    number = b"".join(  # fp - 4 = the number of the task in r6
        (
            _insn(0xBF, _R3, _R6),
            _insn(0x07, _R3, immediate=field_offset("task_struct", "pid")),
            _insn(0xB7, _R2, immediate=4),
            _insn(0xBF, _R1, _R10),
            _insn(0x07, _R1, immediate=-4),
            _call(_PROBE_READ_KERNEL),
        )
    )
    add = b"".join(
        (
            number,
            _insn(0x7A, _R10, offset=-16),  # *(u64 *)(fp - 16) = 0
            _key(processes),
            _insn(0xBF, _R3, _R10),
            _insn(0x07, _R3, immediate=-16),
            _insn(0xB7, _R4),  # r4 = 0: whether it is there or not
            _call(_UPDATE),
        )
    )
    ours = _unless_chosen(processes, add) + add
    new = b"".join(
        (
            _insn(0x79, _R6, _R1),  # r6 = the new task
            _insn(0x79, _R0, _R1, 8),  # r0 = how it is made
            _insn(0x57, _R0, immediate=_CLONE_THREAD),
            _insn(0x55, _R0, offset=len(ours) // 8),  # a thread: its calls are its process's
            ours,
            end,
        )
    )
    gone = _insn(0x79, _R6, _R1) + number + _key(processes) + _call(_DELETE) + end
    return {"sched_process_free": gone, "task_newtask": new}


class TracepointCounter:
    """Counts from its creation to :meth:`close`."""

    def __init__(self, processes: Iterable[int] | None) -> None:
        """Count for these processes (:meth:`add` adds more), or for the whole host with None.

        Raises OSError: not permitted, or the kernel has no BPF or no tracepoints.
        """
        self.follows = processes is not None
        """Processes that the chosen ones start are counted with them."""
        self._cpus = _possible_cpus()
        self._descriptors: list[int] = []
        self._processes: int | None = None
        try:
            counts = self._keep(_create_map(_MAP_ARRAY, 8, self._cpus * SLOTS, _MMAPABLE))
            if processes is not None:
                self._processes = self._keep(_create_map(_MAP_HASH, 1, _MAX_PROCESSES))
            self._counts = mmap.mmap(counts, self._cpus * SLOTS * 8, mmap.MAP_SHARED, mmap.PROT_READ)
            if self._processes is not None:
                try:
                    for name, program in _followers(self._processes).items():
                        self._attach(name, program)
                except (OSError, ValueError):
                    self.follows = False
            for process in processes or ():
                self.add(process)
            self._attach("sys_enter", _program(counts, self._processes))
        except BaseException:
            self.close()
            raise

    def _attach(self, tracepoint: str, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        licence = ctypes.create_string_buffer(b"GPL")
        attributes = struct.pack(
            "=IIQQ", _RAW_TRACEPOINT, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence)
        )
        loaded = self._keep(_bpf(_PROG_LOAD, attributes))
        name = ctypes.create_string_buffer(tracepoint.encode())
        self._keep(_bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", ctypes.addressof(name), loaded)))

    def _keep(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def add(self, process: int) -> None:
        """Count the calls of this process too. No effect if the whole host is counted."""
        if self._processes is not None:
            self._change(_MAP_UPDATE, process)

    def remove(self, process: int) -> None:
        """Stop counting it: its number may be reused by another process. Counts so far are kept."""
        if self._processes is not None:
            try:
                self._change(_MAP_DELETE, process)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise

    def _change(self, command: int, process: int) -> None:
        key = ctypes.create_string_buffer(struct.pack("=I", process), 4)
        value = ctypes.create_string_buffer(1)
        assert self._processes is not None
        attributes = struct.pack("=IIQ", self._processes, 0, ctypes.addressof(key))
        if command == _MAP_UPDATE:  # removing takes only a key, and anything after it is rejected
            attributes += struct.pack("=Q", ctypes.addressof(value))
        _bpf(command, attributes)

    def read(self) -> tuple[dict[int, int], dict[int, int]]:
        """Calls so far: by number (or :data:`OTHER_SLOT`, :data:`COMPAT_SLOT`), and by CPU."""
        values = memoryview(self._counts).cast("Q")
        by_number: dict[int, int] = {}
        by_cpu: dict[int, int] = {}
        for cpu in range(self._cpus):
            slots = values[cpu * SLOTS : (cpu + 1) * SLOTS].tolist()
            if total := sum(slots):
                by_cpu[cpu] = total
                for number, count in enumerate(slots):
                    if count:
                        by_number[number] = by_number.get(number, 0) + count
        values.release()
        return by_number, by_cpu

    def close(self) -> None:
        """Stop counting. Idempotent."""
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)
        self._descriptors = []
        if counts := self.__dict__.pop("_counts", None):
            counts.close()

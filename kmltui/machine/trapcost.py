# SPDX-License-Identifier: GPL-2.0-or-later
"""Times a trap on this machine's processor: natively, without KVM, a module or any privilege.

A small C program (``trapcost.c``) does it in some 80 ms; it is compiled once and kept. Without a compiler, or where a
system call cannot be had undisturbed, there is no figure, and nothing that rests on it is shown.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from kmltui import paths
from kmltui.figures.estimate import TrapCost
from kmltui.figures.summary import Range
from kmltui.images.compiler import compile_c
from kmltui.images.errors import GuestError

_SOURCE = Path(__file__).with_name("trapcost.c")
_TRACED = Path("/sys/kernel/tracing/events/raw_syscalls")
_LIMIT_S = 10.0


class TimingError(Exception):
    """There is no timing of a trap here; the text says why."""


def measure(processor: str, mitigations: str, virtual: bool) -> TrapCost:
    """Time a trap on one CPU. What the machine is, is told by the caller.

    Raises TimingError: it cannot be compiled or run here, or system calls are being traced.
    """
    if _is_traced():
        raise TimingError("system calls are being traced here, which makes each of them dearer")
    try:
        output = subprocess.run([str(_program())], capture_output=True, text=True, check=True, timeout=_LIMIT_S).stdout
    except GuestError as error:
        raise TimingError(str(error).partition("\n")[0]) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise TimingError(f"the timing program failed: {error}") from error
    found = {name: Range(float(least), float(median)) for name, least, median in map(str.split, output.splitlines())}
    cost, cycles, call = found["trap_ns"], found["trap_cycles"], found["call_ns"].low
    return TrapCost(cost, cycles, call, processor, mitigations, virtual, _busy())


def _busy() -> str:
    """The load of the last minute, where it is more than half of the CPUs': then another program may have run on the
    other half of the same core, and no number of batches shows what a trap takes by itself."""
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    return f"load {load:.1f} on {cpus} {'CPU' if cpus == 1 else 'CPUs'}" if load > cpus / 2 else ""


def _program() -> Path:
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    program = paths.cache_dir() / "programs" / f"trapcost-{digest}"
    if not program.exists():
        temporary = program.with_name(f"{program.name}.{hashlib.sha256(str(program).encode()).hexdigest()[:8]}.part")
        compile_c([_SOURCE], temporary, ["-O2"])
        temporary.replace(program)
    return program


def _is_traced() -> bool:
    """Whether a tracepoint on system calls is on, as far as this user may know."""
    for event in ("sys_enter", "sys_exit"):
        try:
            if (_TRACED / event / "enable").read_text().strip() == "1":
                return True
        except OSError:
            return False
    return False

# SPDX-License-Identifier: GPL-2.0-or-later
"""The rate of this machine's time-stamp counter, for guests that are emulated.

QEMU's software emulation hands the host's counter to the guest, and the guest's kernel finds out its rate by watching
it during a few milliseconds of an emulated timer. On a busy host those milliseconds stretch, the rate comes out wrong
(four-fold has been seen), and with it every clock and every CPU second of the guest. So the rate is measured out here,
where it can be done well, and given to the kernel (``tsc_early_khz``).
"""

from __future__ import annotations

import ctypes
import mmap
import time
from functools import cache

_RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")
"""rdtsc; shl $32,%rdx; or %rdx,%rax; ret"""

_INTERVAL_S = 0.1
_TRIES = 50

ICOUNT_KHZ = 1_000_000
"""Where an instruction is a nanosecond (``-icount shift=0``), the counter counts those."""


@cache
def host_khz() -> int | None:
    """How often the counter counts in a millisecond; None where it cannot be read (no executable memory allowed).

    Measured once a process, so that all guests of a run are told the same.
    """
    try:
        code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    code.write(_RDTSC)
    buffer = ctypes.c_char.from_buffer(code)
    read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(buffer))
    first_ns, first = _together(read)
    time.sleep(_INTERVAL_S)
    last_ns, last = _together(read)
    del read, buffer
    code.close()
    return round((last - first) / (last_ns - first_ns) * 1e6)


def _together(read: ctypes._CFunctionType) -> tuple[int, int]:
    """The clock and the counter at the same instant: of several readings the one that took the least time."""
    best = (1 << 62, 0, 0)
    for _ in range(_TRIES):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        count = int(read())
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        best = min(best, (after - before, (before + after) // 2, count))
    return best[1], best[2]

"""Run a program that the kernel ends when the process that started it is gone, however that came about.

Usage: ``python -I -S deathsig.py PARENT PROGRAM ARGUMENT…``. The parent's number closes the gap between its death
and this process's request: whoever has another parent by then is an orphan already.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that asked for this is gone")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()

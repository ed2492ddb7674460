# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program that the kernel kills when the process that started it is gone, for whatever reason.

Usage: ``python -I -S deathsig.py PARENT USER /PATH/TO/PROGRAM ARGUMENT…``.
The parent's number closes the gap between its death
and this process's request: whoever has another parent by then is an orphan already. ``USER`` is ``-``, or whom the
program runs as: ``UID:GID:GROUP,…``. (QEMU's own ``-run-with user=`` would come too late: the kernel forgets the
request of a process that changes its user.)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    if sys.argv[2] != "-":
        uid, gid, groups = sys.argv[2].split(":")
        os.setgroups([int(group) for group in groups.split(",") if group])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
        os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this is gone")
    # Not execvp: that imports, and the user may have no way to Python's files.
    # Python sets LC_CTYPE when it starts without a locale; the program gets the environment that was meant for it.
    os.execve(sys.argv[3], sys.argv[3:], {name: os.environ[name] for name in os.environ if name != "LC_CTYPE"})


if __name__ == "__main__":
    main()

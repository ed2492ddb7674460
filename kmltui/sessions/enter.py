# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program with a root directory of its own, and the host's /proc, /sys and /dev.

Usage: ``python -I -S enter.py REPORT PARENT PROGRAMS ROOT PROGRAM ARGUMENT…``. It makes a mount namespace (and, for
anybody who may not do that, a user namespace in which the caller is root), binds ``PROGRAMS``'s /usr and /etc into
``ROOT``, makes that the root directory and executes the program, which the kernel ends when ``PARENT`` is gone.
``REPORT`` is a socket: when all is ready a ``+`` is written to it and the answer waited for, so that the program can be
counted from its first instruction on; else, or if there is no such program, it says what went wrong. It is closed when
the program begins. The program's environment is this one's; a name that begins with ``GIVEN`` loses that, so that what
is meant for the program (LD_PRELOAD, say) does not act on Python.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
GIVEN = "KMLTUI_GIVEN_"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(f"{what}: {os.strerror(code)}")


def _bind(source: str, target: str) -> None:
    _check(_libc.mount(source.encode(), target.encode(), None, MS_BIND | MS_REC, None), f"binding {source}")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as stream:  # noqa: PTH123  (pathlib would double the start-up time)
            stream.write(text)
    except OSError as error:
        raise OSError(f"making a namespace: {path}: {error.strerror}") from error


def _enter(programs: str, root: str) -> None:
    user, group = os.geteuid(), os.getegid()
    # Root in a container may have no rights over mounts, and is then a user like any other.
    if user or _libc.unshare(CLONE_NEWNS):
        _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWUSER), "making a namespace")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {user} 1")
        _write("/proc/self/gid_map", f"0 {group} 1")
    _check(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "keeping mounts private")
    for name in ("usr", "etc"):
        _bind(f"{programs}/{name}", f"{root}/{name}")
    for name in ("proc", "sys", "dev"):
        _bind(f"/{name}", f"{root}/{name}")
    os.chroot(root)
    os.chdir("/")


def _execute(command: list[str]) -> None:
    """Like ``os.execvp``, which imports a module, and modules are out of reach by now."""
    name = command[0]
    environment = {key.removeprefix(GIVEN): value for key, value in os.environ.items()}
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    for directory in [""] if "/" in name else environment.get("PATH", os.defpath).split(":"):
        try:
            os.execve(os.path.join(directory, name), command, environment)  # noqa: PTH118
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            failure = error
    raise failure


def main() -> None:
    report, parent, programs, root, *command = sys.argv[1:]
    descriptor = int(report)
    os.set_inheritable(descriptor, False)
    try:
        _enter(programs, root)
        # Last, because a change of credentials revokes it.
        _check(_libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")
        if os.getppid() != int(parent):
            raise OSError("the process that started this is gone")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.write(descriptor, b"+")
        os.read(descriptor, 1)
        _execute(command)
    except BaseException as error:
        os.write(descriptor, (str(error) or repr(error)).encode())
        os._exit(127)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock that tells that a recording is being written.

It is a write lock on an open file description (fcntl(2), ``F_OFD_SETLK``): it ends with its holder, and only who may
write to a file can hold it. So nobody who may merely read a recording can make it look live.
"""

from __future__ import annotations

import fcntl
import struct
from typing import Protocol

_FLOCK = struct.Struct("hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length (0: to the end, however far), pid (0 is required)."""


class _File(Protocol):
    def fileno(self) -> int: ...


def hold(file: _File) -> None:
    """Lock ``file``, which is open for writing. Raises OSError where it is held already or cannot be locked."""
    fcntl.fcntl(file.fileno(), fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))


def release(file: _File) -> None:
    fcntl.fcntl(file.fileno(), fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, 0, 0, 0, 0))


def is_held(file: _File) -> bool:
    """Whether somebody else holds ``file``. Takes no lock itself, so nobody is disturbed."""
    try:
        answer = fcntl.fcntl(file.fileno(), fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_RDLCK, 0, 0, 0, 0))
    except OSError:  # a file system without locks
        return False
    kind: int = _FLOCK.unpack(answer)[0]
    return kind == fcntl.F_WRLCK

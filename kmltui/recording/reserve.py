# SPDX-License-Identifier: GPL-2.0-or-later
"""Room that a growing file has for certain, whatever becomes of the disk."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from io import FileIO

STEP_BYTES = 64 << 10
"""How much is asked for at a time beyond what is needed."""

_FALLOC_FL_KEEP_SIZE = 1
_NOT_HERE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTTY}

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Reserve:
    """Blocks that belong to a file already and lie behind its end. Its size does not change."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._end = 0
        self._possible = True

    def ensure(self, end: int) -> None:
        """Make sure that the file can be written up to offset ``end``.

        Raises OSError: the disk, a quota or the limit of a file's size does not allow it. Where the file system cannot
        reserve, nothing is promised.
        """
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        if limit != resource.RLIM_INFINITY and end > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if end <= self._end or not self._possible:
            return
        # With the step first: when that is too much, exactly what is needed may still be there.
        for wanted in (end + STEP_BYTES, end):
            error = self._allocate(wanted)
            if not error:
                self._end = wanted
                return
            if error in _NOT_HERE:
                self._possible = False
                return
        raise OSError(error, os.strerror(error))

    def _allocate(self, end: int) -> int:
        while _fallocate(self._file.fileno(), _FALLOC_FL_KEEP_SIZE, self._end, end - self._end):
            error = ctypes.get_errno()
            if error != errno.EINTR:
                return error
        return 0

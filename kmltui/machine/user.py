# SPDX-License-Identifier: GPL-2.0-or-later
"""The user that QEMU runs as: nobody, where it would otherwise be root."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from msgspec import Struct

_KVM = Path("/dev/kvm")
_OVERFLOW_ID = 65534
"""The number of nobody, also where no list of users says so."""


class User(Struct, frozen=True):
    """Numbers of a user and its groups. Nothing of root's is left to a process that has taken them."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    def __str__(self) -> str:
        """As :mod:`kmltui.machine.deathsig` reads it."""
        return f"{self.uid}:{self.gid}:{','.join(map(str, self.groups))}"


def unprivileged(*, kvm: bool, device: Path = _KVM) -> User | None:
    """The user that a guest's QEMU runs as; None: the caller, who is not root.

    ``kvm``: it uses KVM. If only root may, it stays root: a guest is worth more to its user than no guest.
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
        uid, gid = nobody.pw_uid, nobody.pw_gid
    except KeyError:
        uid = gid = _OVERFLOW_ID
    if not kvm:
        return User(uid, gid)
    status = device.stat()
    if status.st_mode & 0o006 == 0o006:
        return User(uid, gid)
    return User(uid, gid, (status.st_gid,)) if status.st_mode & 0o060 == 0o060 and status.st_gid else None


def let_read(path: Path, user: User | None) -> None:
    """Make ``path`` readable for ``user``, who may lack the way to it: it is handed over as a descriptor."""
    if user is not None and not (mode := path.stat().st_mode) & 0o004:
        path.chmod(mode & 0o7777 | 0o044)

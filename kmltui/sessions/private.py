# SPDX-License-Identifier: GPL-2.0-or-later
"""A private root directory for the programs of a local session: the image's programs, and files of the session's own.

Every path of a guest means the same here, below a directory that disappears with the session. Nothing is installed on
the host, nothing listens on a network, and root is not needed if the kernel lets users create namespaces.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kmltui.images.extract import programs_tree
from kmltui.images.image import chosen_spec, find_image
from kmltui.sessions import enter

_NEW, _PREFIX = "kmltui-new-", "kmltui-root-"
"""A directory with the second name is locked while its session lives, so leftovers of killed ones are recognised."""

_OWN = ("run/mysqld", "tmp", "root", "var/lib", "var/log", "var/tmp")
_BOUND = ("usr", "etc", "proc", "sys", "dev")
_LINKS = ("bin", "sbin", "lib", "lib64")
SOCKET = "run/mysqld/mysqld.sock"


class PrivateRoot:
    """Made by :meth:`create`, removed by :meth:`remove`."""

    def __init__(self, root: Path, lock: int, programs: Path, facts: dict[str, str]) -> None:
        self._root = root
        self._lock = lock
        self._programs = programs
        self.facts = facts
        """Facts about the programs, with the keys of an Environment record."""

    @classmethod
    def create(cls, image: str) -> PrivateRoot:
        """Create it for the image of that name, which must exist. Blocks for some seconds.

        Raises GuestError, OSError.
        """
        spec = chosen_spec(image)
        programs = programs_tree(spec)
        manifest = find_image(spec).manifest
        packages = {"libc": "libc6", "mariadb": "mariadb-server-core", "sysbench": "sysbench"}
        facts = {key: manifest.package_version(package) for key, package in packages.items()}
        # Not in the state directory: the path of a socket must not be longer than 107 bytes.
        new = Path(tempfile.mkdtemp(prefix=_NEW))
        lock = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = new.rename(new.with_name(_PREFIX + new.name.removeprefix(_NEW)))
        _sweep(root.parent)
        try:
            for name in (*_OWN, *_BOUND):
                (root / name).mkdir(parents=True, exist_ok=True)
            for name in _LINKS:
                (root / name).symlink_to(f"usr/{name}")
            shutil.copytree(programs / "var/lib/mysql", root / "var/lib/mysql")
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            os.close(lock)
            raise
        return cls(root, lock, programs, facts | {"image": f"{manifest.name} {manifest.key}"})

    @property
    def socket(self) -> Path:
        """Where the session's server listens, seen from the host."""
        return self._root / SOCKET

    def path(self, path: str) -> Path:
        """A file of the session's own, seen from the host. Raises PermissionError outside of them."""
        parts = PurePosixPath(path).parts[1:]
        if not path.startswith("/") or ".." in parts or parts[:1] in [(name,) for name in (*_BOUND, *_LINKS)]:
            raise PermissionError(f"{path}: is not one of the session's own files")
        return self._root.joinpath(*parts)

    def command(self, argv: Sequence[str], report: int) -> list[str]:
        """``argv`` as a command of the host; ``report`` is the descriptor that :mod:`enter` writes to."""
        where = [str(report), str(os.getpid()), str(self._programs), str(self._root)]
        return [sys.executable, "-I", "-S", str(enter.__file__), *where, *argv]

    def remove(self) -> None:
        """Remove the session's own files; the programs stay."""
        shutil.rmtree(self._root, ignore_errors=True)
        os.close(self._lock)


def _sweep(directory: Path) -> None:
    """Remove what killed sessions have left behind."""
    for root in directory.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid():
                shutil.rmtree(root, ignore_errors=True)
        except BlockingIOError:
            pass  # its session lives
        finally:
            os.close(lock)

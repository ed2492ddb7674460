# SPDX-License-Identifier: GPL-2.0-or-later
"""Where kmltui's files are, by the XDG rules.

``KMLTUI_HOME`` puts all of them below one directory (tests, a throw-away trial, a machine with a small home).
"""

from __future__ import annotations

import errno
import getpass
import os
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import platformdirs

_APP = "kmltui"


def _base(kind: str, default: Callable[[], str]) -> Path:
    home = os.environ.get("KMLTUI_HOME")
    try:
        path = Path(home) / kind if home else Path(default())
        return path.expanduser().absolute()
    except RuntimeError:  # a container with a user of its own choosing
        why = f"user {os.getuid()} has no home directory: it has no entry among the users; set HOME or KMLTUI_HOME"
        raise FileNotFoundError(errno.ENOENT, why, "~") from None


def cache_dir() -> Path:
    """Guest images and what they are made of; can be deleted, is made again."""
    return _base("cache", lambda: platformdirs.user_cache_dir(_APP))


def state_dir() -> Path:
    """Recordings and the register of runs."""
    return _base("state", lambda: platformdirs.user_state_dir(_APP))


def config_dir() -> Path:
    """The screen's remembered settings."""
    return _base("config", lambda: platformdirs.user_config_dir(_APP))


def user_name() -> str:
    """Who we are, for people: the user's name, or the number of one that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def runs_dir() -> Path:
    """Recordings of runs that were not given a place by ``--out``, one ``NAME.kmlrec`` each."""
    return state_dir() / "runs"


def runtime_dir() -> Path:
    """Sockets of live runs: a directory of mode 0700 that belongs to this user alone, made if need be.

    Socket paths are limited to 107 bytes, so a very long ``XDG_RUNTIME_DIR`` falls back to the temporary directory.
    """
    # Not platformdirs' user_runtime_dir: where XDG_RUNTIME_DIR is not set it warns, and falls back to a shared place.
    given = os.environ.get("XDG_RUNTIME_DIR") or None
    path = _base("run", lambda: f"{given}/{_APP}") if given or os.environ.get("KMLTUI_HOME") else None
    if path is None or len(str(path)) > 60 or not _usable(path):
        path = Path(tempfile.gettempdir()) / f"{_APP}-{os.getuid()}"
        if not _usable(path):
            raise PermissionError(f"{path}: is not a directory of your own; remove it, or set XDG_RUNTIME_DIR")
    return path


def _usable(path: Path) -> bool:
    """Make ``path`` private; tell whether it is this user's own directory (in /tmp somebody else may have made it)."""
    try:
        path.parent.mkdir(exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if path.is_symlink() or status.st_uid != os.getuid():
            return False
        path.chmod(0o700)
    except OSError:
        return False
    return True


def data_dir(name: str) -> Path:
    """A directory of files that ship with kmltui: ``styles`` or ``recordings``, installed or in a checkout."""
    installed = Path(str(resources.files("kmltui"))) / "_data" / name
    if installed.is_dir():
        return installed
    return Path(__file__).resolve().parent.parent / name

# SPDX-License-Identifier: GPL-2.0-or-later
"""Removes directory trees that carry somebody else's permissions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def remove(path: Path) -> None:
    """Remove a directory tree, whatever its permissions; nothing happens if it is not there."""
    if path.is_symlink():
        path.unlink()
    if not path.exists():
        return
    for directory, _names, _entries in os.walk(path):
        Path(directory).chmod(0o700)
    shutil.rmtree(path)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Directories in which the kernel's makefiles can work: they take no blank, colon, quote or ``%`` in a path."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmltui.images.errors import ImageError

_PLAIN = re.compile(r"[\w./+-]+")
_PLACES = ("/var/tmp", "/tmp", "/dev/shm")


def suits(directory: Path) -> bool:
    """Whether make can work in ``directory``: its path is plain, and what lies there may be executed."""
    path = directory.resolve()
    return bool(_PLAIN.fullmatch(str(path))) and not os.statvfs(path).f_flag & os.ST_NOEXEC


@contextmanager
def workplace(tree: Path, work: Path) -> Iterator[tuple[Path, Path]]:
    """``tree`` and the empty directory ``work`` themselves where they suit, else a copy and another directory.

    Raises ImageError: there is no place that suits.
    """
    if suits(tree) and suits(work):
        yield tree, work
        return
    places = [place for place in map(Path, (tempfile.gettempdir(), *_PLACES)) if place.is_dir()]
    place = next((place for place in places if suits(place) and os.access(place, os.W_OK | os.X_OK)), None)
    if place is None:
        raise ImageError(
            f"the kernel module cannot be built: make takes no path like {work}, and in none of "
            f"{', '.join(map(str, places))} can programs be run; set TMPDIR to a directory where they can"
        )
    with tempfile.TemporaryDirectory(prefix="kmltui-", dir=place) as temporary:
        copy, other = Path(temporary) / "tree", Path(temporary) / "work"
        other.mkdir()
        shutil.copytree(tree, copy, symlinks=True)
        yield copy, other

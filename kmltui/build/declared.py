# SPDX-License-Identifier: GPL-2.0-or-later
"""The C programs and libraries that workloads need in the guest, found by declarations in their sources.

A C file says in one or more comment lines what is built from it:

    // Guest: usr/lib/mysql/plugin/kml_ring.so = -O2 -fPIC -shared

This is the path in the image and the compiler's flags. A workload that needs a program of its own only has to put
such a file into :mod:`kmltui.clients`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kmltui import clients
from kmltui.images.compiler import compile_c

_DECLARATION = re.compile(r"^// Guest: (?P<path>[^\s=]+) = (?P<flags>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class DeclaredProgram:
    """One file to be compiled: ``path`` is relative to the image's root."""

    path: str
    source: Path
    flags: tuple[str, ...]

    def compile(self, root: Path) -> Path:
        """Compile it into the tree at ``root`` and return the file. Raises what :func:`compile_c` raises."""
        out = root / self.path
        compile_c([self.source], out, self.flags)
        return out


def declared_programs(directory: Path = clients.DIRECTORY) -> Iterator[DeclaredProgram]:
    """What the C files of a directory declare, in a fixed order."""
    for source in sorted(directory.glob("*.c")):
        for found in _DECLARATION.finditer(source.read_text(encoding="utf-8")):
            path = PurePosixPath(found["path"])
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{source}: the path of a guest program is relative to the image's root, not {path}")
            yield DeclaredProgram(str(path), source, tuple(shlex.split(found["flags"])))

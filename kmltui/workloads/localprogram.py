# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings a program of this machine, with the libraries that it needs, into a session.

The C library and the dynamic loader are always the session's own: they belong together, and in a KML session they are
the ones whose system calls are direct.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kmltui.sessions.protocol import Session
from kmltui.workloads.declaration import UsageError, WorkloadError

PROGRAMS, LIBRARIES = "/opt/bin", "/opt/lib"
"""Where this machine's files are put in a session: outside /usr, which a local session shares with all others."""
_ELF64_X86 = b"\x7fELF\x02\x01\x01"
_MACHINE_X86_64 = 62
_SESSIONS_OWN = re.compile(
    r"^(linux-vdso|ld-linux-x86-64|libc|libm|libmvec|libpthread|libdl|librt|libresolv|libutil|libanl|libBrokenLocale)\.so"
)
_IMAGE = ("/usr/", "/bin/", "/sbin/")


@dataclass(frozen=True)
class LocalProgram:
    """The files to be copied: the program and the shared libraries that are not the session's own."""

    program: Path
    libraries: tuple[Path, ...]

    @property
    def path(self) -> str:
        """The program's path in the session."""
        return f"{PROGRAMS}/{self.program.name}"

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": LIBRARIES} if self.libraries else {}

    async def put(self, session: Session) -> list[str]:
        """Copy the program and its libraries into the session. Returns and raises what :func:`bring` does."""
        libraries = {f"{LIBRARIES}/{library.name}": library for library in self.libraries}
        return await bring(session, {self.path: self.program} | libraries, mode=0o755)


async def bring(session: Session, files: Mapping[str, Path], *, mode: int | None = None) -> list[str]:
    """Copy files of this machine into a session, to the given paths. ``mode`` None: their own permissions, but readable
    by everybody and writable only by root.

    The system calls of programs and libraries are rewritten if the session's own are; returns, for each file whose
    calls remain traps, a sentence that says why. Raises :class:`WorkloadError` for a file that cannot be read,
    :class:`SessionError` for one that cannot be written.
    """
    from kmltui.kml.rewrite import rewrite_elf  # noqa: PLC0415  (a disassembler, which few runs need)

    rewritten = session.spec.arm in ("kml", "stock+libc")
    told = []
    for target, source in files.items():
        try:
            data = await asyncio.to_thread(_read_regular, source)
            own = source.stat().st_mode & 0o755 | 0o444
        except OSError as error:
            raise WorkloadError(f"{source} cannot be read: {error.strerror}") from error
        # In a thread: of a large program it takes seconds, and the session may be sampled meanwhile.
        if rewritten and (result := await asyncio.to_thread(rewrite_elf, data, target)) is not None:
            data = data if result.data is None else result.data
            if reason := result.report.mostly_left_alone():
                told.append(f"{source.name} makes its system calls in ring 3: {reason}")
        await session.put(target, data, own if mode is None else mode)
    return told


def _read_regular(path: Path) -> bytes:
    """Raises OSError, also for what is no regular file and might never end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return stream.read()


def is_local(program: str) -> bool:
    """Whether a command's first word means a file of this machine: a path that the image does not have."""
    return "/" in program and not program.startswith(_IMAGE)


def find_local(program: str) -> LocalProgram:
    """Finds the program and its libraries. Raises :class:`UsageError` if it cannot be run in a session."""
    path = Path(program)
    try:
        head = path.open("rb").read(20)
    except OSError as error:
        raise UsageError(f"{program} cannot be read: {error.strerror}") from error
    if head[:7] != _ELF64_X86 or int.from_bytes(head[18:20], "little") != _MACHINE_X86_64:
        raise UsageError(
            f"{program} is not a program for 64-bit x86; scripts can be run with the image's interpreter only"
        )
    return LocalProgram(path, tuple(_libraries(path)))


def _libraries(path: Path) -> list[Path]:
    """What the loader of this machine would load for it, except what belongs to the C library."""
    try:
        done = subprocess.run(["ldd", str(path.absolute())], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"the libraries of {path} cannot be found without ldd: {error}") from error
    if done.returncode != 0:
        return []  # statically linked
    found = []
    for line in done.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if not arrow or _SESSIONS_OWN.match(name):
            continue
        if rest.startswith("not found"):
            raise UsageError(f"{path} needs {name}, which is not on this machine")
        # In the session it has the name by which it is requested, whatever file that resolves to here.
        found.append(Path(rest.partition(" (")[0]).with_name(name))
    return found

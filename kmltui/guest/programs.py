"""The guest's own programs, compiled from the C sources that ship with kmltui."""

from __future__ import annotations

import shutil
import subprocess
from importlib import resources
from pathlib import Path

from kmltui.guest.errors import ImageError, MissingError

_STATIC = ("-static", "-Os", "-s")
_SHARED = ("-shared", "-fPIC", "-Os", "-s", "-nostdlib")
"""Without naming the C library: its symbols are then found in whichever release the guest has."""

PROGRAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "guestd": (_STATIC, ("guestd.c", "boot.c", "port.c", "port_open.c", "child.c", "file.c")),
    "agent": (_STATIC, ("agent.c", "port_open.c")),
    "ring.so": (_SHARED, ("ring.c",)),
}
"""What is made: options and sources of each."""


def source_dir() -> Path:
    """Where the C sources are."""
    return Path(str(resources.files("kmltui.guest"))) / "src"


def build_programs(directory: Path) -> None:
    """Compile every program into ``directory``. Raises :class:`MissingError` without a compiler or static C library."""
    if not shutil.which("gcc"):
        raise MissingError("gcc is not on this machine: it compiles the guest's programs; `kmltui doctor` says how to get it")
    for name, (options, sources) in PROGRAMS.items():
        command = ["gcc", "-std=gnu11", "-Wall", *options, "-o", str(directory / name), *sources]
        result = subprocess.run(command, cwd=source_dir(), capture_output=True, text=True, check=False)
        if result.returncode:
            if "cannot find -lc" in result.stderr or "No such file or directory" in result.stderr:
                raise MissingError(f"cannot compile {name}: the C library's development files are missing (libc6-dev)")
            raise ImageError(f"cannot compile {name}:\n{result.stderr.strip()}")

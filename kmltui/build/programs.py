"""The guest's own programs, compiled from the C sources that ship with kmltui."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from kmltui.images.errors import ImageError, MissingError

_STATIC = ("-static", "-Os", "-s")
PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "guestd": ("init", ("guestd.c", "boot.c", "port.c", "port_open.c", "child.c", "file.c")),
    "agent": ("kmltui/agent", ("agent.c", "port_open.c")),
}
"""The guest's own: where each lies in the guest, and its sources."""


def source_dir() -> Path:
    """Where the C sources are."""
    return Path(str(resources.files("kmltui.machine"))) / "guestd"


def build_programs(directory: Path) -> dict[str, Path]:
    """Compile every program into ``directory``: what was made, by its path in the guest.

    Raises :class:`MissingError` without a compiler or static C library.
    """
    if not shutil.which("gcc"):
        raise MissingError("gcc is not on this machine; it compiles the guest's programs. See `kmltui doctor`")
    made: dict[str, Path] = {}
    for name, (place, sources) in PROGRAMS.items():
        made[place] = directory / name
        _compile(made[place], [source_dir() / source for source in sources])
    return made


def _compile(output: Path, sources: Sequence[Path]) -> None:
    command = ["gcc", "-std=gnu11", "-Wall", *_STATIC, "-o", str(output), *map(str, sources)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        if "cannot find -lc" in result.stderr or "No such file or directory" in result.stderr:
            raise MissingError(
                f"cannot compile {output.name}: the C library's headers are missing. See `kmltui doctor`"
            )
        raise ImageError(f"cannot compile {output.name}:\n{result.stderr.strip()}")

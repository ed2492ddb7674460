# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's own programs, compiled from the C sources that ship with kmltui."""

from __future__ import annotations

from pathlib import Path

from kmltui.images.compiler import compile_c
from kmltui.machine import GUESTD

_STATIC = ("-static", "-Os", "-s")
PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "guestd": ("init", ("guestd.c", "boot.c", "port.c", "port_open.c", "child.c", "file.c", "agent.c", "hardware.c")),
}
"""The guest's own programs: their paths in the guest, and their sources."""


def build_programs(directory: Path) -> dict[str, Path]:
    """Compile every program into ``directory``; returns the results by their paths in the guest.

    Raises what :func:`compile_c` raises.
    """
    made: dict[str, Path] = {}
    for name, (place, sources) in PROGRAMS.items():
        made[place] = directory / name
        compile_c([GUESTD / source for source in sources], made[place], _STATIC)
    return made

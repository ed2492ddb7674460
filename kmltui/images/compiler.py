# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiling the C sources that ship with kmltui, with this machine's gcc."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kmltui.images.errors import ImageError, MissingError

COMMON_FLAGS = ("-std=gnu11", "-Wall", "-Wextra")

_NO_HEADERS = re.compile(r"cannot find -lc\b|fatal error: \S+: No such file or directory")


def compile_c(sources: Sequence[Path], output: Path, flags: Sequence[str]) -> None:
    """Compile and link ``sources`` into the file ``output``, whose directory is created.

    ``flags`` come after the sources, so libraries may be among them.

    Raises MissingError: there is no gcc on this machine, or it finds no C library to link with.
    Raises ImageError: it rejects the sources; the text contains the command and the compiler's messages.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    name = sources[0].name
    command = ["gcc", *COMMON_FLAGS, *map(str, sources), *flags, "-o", str(output)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        what = f"{name} cannot be compiled: gcc is not on this machine"
        raise MissingError(f"{what}; `kmltui doctor` says how to install it") from None
    if done.returncode == 0:
        return
    messages = f"({shlex.join(command)}):\n{done.stderr.strip()}"
    if _NO_HEADERS.search(done.stderr):
        raise MissingError(f"{name} cannot be compiled: a header or the C library is missing {messages}")
    raise ImageError(f"{name} does not compile {messages}")

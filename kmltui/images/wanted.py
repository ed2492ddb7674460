# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of Debian's packages has a program, as far as this machine knows."""

from __future__ import annotations

import re
import shutil
import subprocess

LIMIT_S = 10.0


def package_of(program: str) -> str:
    """The package that has a program of that name, by apt-file's index or of those installed here; empty if unknown."""
    name = program.rpartition("/")[2]
    questions = (
        ["apt-file", "search", "--package-only", "--regexp", rf"^/?(usr/)?(local/)?s?bin/{re.escape(name)}$"],
        ["dpkg-query", "--search", f"*bin/{name}"],
    )
    for question in questions:
        if not re.fullmatch(r"[\w.+-]+", name) or not shutil.which(question[0]):
            continue
        try:
            done = subprocess.run(question, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        except (OSError, subprocess.SubprocessError):
            continue
        # Lines of dpkg's about diversions are no names of packages.
        if found := re.search(r"^[a-z0-9][a-z0-9.+-]+(?=[:,\n])", done.stdout, re.MULTILINE):
            return found[0]
    return ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""KML itself: the kernel module, and the rewriting of programs so that they can call the kernel directly."""

from pathlib import Path

MODULE = Path(__file__).parent / "module"
"""The sources of the kernel module."""

REWRITER = Path(__file__).parent / "rewrite"
"""The package that rewrites system calls; its output depends on all of its files."""


def module_sources() -> list[Path]:
    """The sources of the kernel module, without anything that a build in that directory may have left."""
    generated = {"offsets.h", "kml.mod.c"}
    kept = (path for path in MODULE.iterdir() if path.suffix in (".c", ".h", ".S") or path.name == "Kbuild")
    return sorted(path for path in kept if path.name not in generated)

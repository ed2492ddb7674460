# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds the system-call instructions of ELF files and redirects them, on disk, to thunks that can enter the kernel
without a trap. A rewritten file behaves as before wherever it runs; see ``rewrite_tree``."""

from kmltui.kml.rewrite.report import FileReport, Site, SiteHits, SiteReport
from kmltui.kml.rewrite.rewrite import Rewritten, rewrite_elf, rewrite_tree

__all__ = [
    "FileReport",
    "Rewritten",
    "Site",
    "SiteHits",
    "SiteReport",
    "rewrite_elf",
    "rewrite_tree",
]

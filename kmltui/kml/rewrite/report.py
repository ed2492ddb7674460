# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of every system-call site of an image, and which of the sites left alone a run actually hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field

from kmltui.model import TrapSite

Method = Literal["jump", "short jump", "moved", "left alone"]
"""How a site reaches its thunk: by a 5-byte jump; by a 2-byte jump to a 5-byte one nearby; because its whole function
was moved into the appended segment; not at all."""


class Site(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ``syscall`` instruction. ``address`` is its virtual address as the file gives it, ``offset`` its position in
    the file."""

    address: int
    offset: int
    method: Method
    symbol: str = ""
    """The nearest symbol at or below it, with the distance: ``read+0x10``; empty if there is none."""
    number: int | None = None
    """The system call's number, where the code before it shows it."""
    reason: str = ""
    """Why it was left alone."""
    bypasses: list[int] = field(default_factory=list)
    """Jumps to the instruction itself, which bypass the thunk and trap."""


class FileReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ELF file that has sites, or starts programs. ``path`` is relative to the image's root."""

    path: str
    build_id: str | None
    rewritten: bool
    sites: list[Site]
    reason: str = ""
    """Why the file as a whole was left as it was."""

    def mostly_left_alone(self) -> str:
        """Why most of its sites still trap; empty if most do not, or there are none."""
        reasons = Counter(site.reason for site in self.sites if site.method == "left alone")
        if 2 * reasons.total() <= len(self.sites):
            return self.reason
        return f"of {len(self.sites)} system-call instructions {reasons.total()} were left alone, most because " + (
            self.reason or reasons.most_common(1)[0][0]
        )


class SiteHits(Struct, frozen=True):
    """A site and how often it trapped. ``site`` is None where the report has no site at that place."""

    path: str
    site: Site | None
    offset: int
    count: int


class SiteReport(Struct, frozen=True, kw_only=True):
    """Every file of an image that has system-call sites."""

    files: list[FileReport]

    @property
    def sites(self) -> int:
        return sum(len(f.sites) for f in self.files)

    def left_alone(self) -> list[tuple[FileReport, Site]]:
        """The sites that still trap, in the order of the files."""
        return [(f, s) for f in self.files for s in f.sites if s.method == "left alone"]

    def with_hits(self, hits: Iterable[TrapSite]) -> list[SiteHits]:
        """The traps of a run by site, most frequent first; hits at the same site are added up."""
        known: dict[tuple[str, int], tuple[FileReport, Site]] = {}
        for file in self.files:
            for name in (file.path, "/" + file.path, file.build_id):
                if name:
                    known |= {(name, site.offset + behind): (file, site) for site in file.sites for behind in (0, 2)}
        counts: dict[tuple[str, int], SiteHits] = {}
        for hit in hits:
            file_and_site = known.get((hit.file.removeprefix("/trusted"), hit.offset))
            path, site, offset = hit.file, None, hit.offset
            if file_and_site:
                path, site, offset = file_and_site[0].path, file_and_site[1], file_and_site[1].offset
            before = counts[path, offset].count if (path, offset) in counts else 0
            counts[path, offset] = SiteHits(path, site, offset, before + hit.count)
        return sorted(counts.values(), key=lambda h: -h.count)

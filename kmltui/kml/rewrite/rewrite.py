# SPDX-License-Identifier: GPL-2.0-or-later
"""Rewrites one ELF file, or every one of a directory tree."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from kmltui.kml.rewrite.code import SYSCALL, Code
from kmltui.kml.rewrite.elf import MALFORMED, Elf, ElfError
from kmltui.kml.rewrite.entry import add_entry
from kmltui.kml.rewrite.image import TEXT_SECTION, Appended, Tables
from kmltui.kml.rewrite.plan import Names, Planner, SitePlan
from kmltui.kml.rewrite.report import FileReport, Site, SiteReport
from kmltui.kml.rewrite.thunks import Thunks
from kmltui.kml.rewrite.unwind import Frames, UnwindError, header_size, write_debug_frame, write_frames, write_header


@dataclass(frozen=True)
class Rewritten:
    """The outcome of rewriting a file. ``data`` is None if the file stays as it is."""

    data: bytes | None
    report: FileReport
    is_loader: bool = False
    """Whether it is the interpreter of other programs: without its entry code no rewritten program could run."""


def rewrite_elf(data: bytes, path: str = "") -> Rewritten | None:
    """Rewrite the ELF file ``data``, named ``path`` in the report.

    None if it is not an ELF file for x86-64, or has no system-call site and starts no program. Never raises because of
    a file's contents: a file that is not understood stays as it is, and the report says why.
    """
    if data[:4] != b"\x7fELF":
        return None
    report = FileReport(path=path, build_id=None, rewritten=False, sites=[])
    is_loader = False
    try:
        elf = Elf.parse(data)
        is_loader = elf.is_loader
        report = structs.replace(report, build_id=elf.build_id)
        if any(s.name == TEXT_SECTION for s in elf.sections):
            raise ElfError("it is rewritten already")
        planner = Planner(elf, Code(elf, Frames(elf)))
        if not (planner.sites or elf.starts_programs):
            return None
        plans = planner.plans()
        report = structs.replace(report, sites=_sites(elf, plans))
        if not elf.starts_programs and all(p.method == "left alone" for p in plans):
            raise ElfError("nothing in it can be redirected")
        return Rewritten(_build(planner, plans), structs.replace(report, rewritten=True), is_loader)
    except (ElfError, UnwindError) as error:
        reason = str(error)
    except MALFORMED as error:
        reason = f"malformed: {error}"
    if SYSCALL not in data and not is_loader:
        return None
    return Rewritten(None, _left_alone(report, reason), is_loader)


def _build(planner: Planner, plans: list[SitePlan]) -> bytes:
    elf, frames = planner.elf, planner.code.frames
    # No tables are needed for thunks whose sites cannot be unwound: musl's has only a few entries, for gcc's own code.
    described = any(p.function and p.function.fde for p in plans if p.method != "left alone")
    unwinding = frames.eh_frame is not None and (frames.header is not None or described)
    appended = Appended(elf, unwinding=unwinding)
    for address, room in appended.places():
        thunks = Thunks(planner.code, address)
        if elf.starts_programs:
            add_entry(planner.code, thunks, planner.targets)
        for plan in plans:
            if plan.method != "left alone":
                thunks.add(plan)
        if len(thunks.text) <= room:
            break
    for place, patch in thunks.patches:
        appended.patch(place, patch)
    tables = Tables()
    if unwinding and frames.eh_frame is not None:
        header_address = appended.tables(thunks.base, len(thunks.text))
        records_address = header_address + header_size(len(frames.entries) + len(thunks.frames))
        records_address += -records_address % 8
        records, entries = write_frames(thunks.frames, records_address)
        header = write_header([*frames.entries, *entries], frames.eh_frame, header_address)
        tables = Tables(header, records, write_debug_frame(thunks.frames))
    return appended.close(thunks.base, bytes(thunks.text), tables)


def _sites(elf: Elf, plans: list[SitePlan]) -> list[Site]:
    names = Names(elf)
    return [
        Site(
            address=plan.address,
            offset=elf.offset(plan.address) or 0,
            method=plan.method,
            symbol=names.name(plan.address),
            number=plan.number,
            reason=plan.reason,
            bypasses=plan.bypasses,
        )
        for plan in plans
    ]


def rewrite_tree(root: Path, out: Path, *, jobs: int | None = None) -> SiteReport:
    """Rewrite every ELF file below ``root`` that has system-call sites; the result goes to the same path below ``out``.

    Symbolic links are not followed. Files that stay as they are do not appear in ``out``. If a loader cannot be made to
    map the page, its programs could not run any rewritten library; then nothing at all is written and the report gives
    that reason. OSError if a file cannot be read or written.
    """
    names = sorted(_elf_files(root))
    with ProcessPoolExecutor(jobs or os.cpu_count(), initializer=_die_with_parent) as pool:
        results = [r for r in pool.map(_rewrite_file, [root] * len(names), names, chunksize=4) if r is not None]
    broken = next((r.report for r in results if r.is_loader and r.data is None), None)
    if broken is not None:
        reason = f"nothing is rewritten, since {broken.path} is not: {broken.reason}"
        return SiteReport(files=[_left_alone(r.report, reason) for r in results])
    for result in results:
        if result.data is not None:
            target = out / result.report.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(result.data)
            target.chmod((root / result.report.path).stat().st_mode & 0o7777)
    return SiteReport(files=[r.report for r in results])


_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Let the kernel end this worker with the process that started it: a worker of a killed one would work on alone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # already, before the kernel was asked
        os._exit(1)


def _left_alone(report: FileReport, reason: str) -> FileReport:
    sites = [structs.replace(site, method="left alone", reason=site.reason or reason) for site in report.sites]
    return structs.replace(report, rewritten=False, sites=sites, reason=reason)


def _elf_files(root: Path) -> list[str]:
    found = []
    for directory, _, files in os.walk(root):
        for name in files:
            path = Path(directory, name)
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(str(path.relative_to(root)))
    return found


def _rewrite_file(root: Path, name: str) -> Rewritten | None:
    return rewrite_elf((root / name).read_bytes(), name)

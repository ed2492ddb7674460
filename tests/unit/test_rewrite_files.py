# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and trees: what comes out, whatever goes in."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil
import pytest
from elftools.dwarf.callframe import FDE, CallFrameInfo
from elftools.dwarf.structs import DWARFStructs
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rewrite_support import LIBC, LOADER, Rewritten, assemble, function

from kmltui.counters import parse_trap_sites
from kmltui.kml.rewrite import SiteReport, rewrite_elf, rewrite_tree
from kmltui.kml.rewrite.elf import Elf
from kmltui.model import TrapSite

Rows = tuple[int, int, list[dict[object, object]]]

HOT = {0, 1, 7, 17, 18, 20, 35, 39, 44, 45, 46, 47, 56, 202, 230, 232, 270, 271, 281, 288, 435}
"""read write poll pread64 pwrite64 writev nanosleep getpid send* recv* clone futex sleeps epoll* accept4 clone3"""


def test_every_system_call_of_the_c_library_is_redirected_but_exits_and_signal_returns(rewritten: Rewritten) -> None:
    left = [site for _, site in rewritten.report.left_alone()]
    assert rewritten.report.sites > 400
    assert len(left) <= 6
    assert not {site.number for site in left} & HOT
    assert sum("signal return" in site.reason for site in left) == 2
    assert all(site.reason for site in left)


def test_nothing_jumps_past_a_thunk_in_the_c_library(rewritten: Rewritten) -> None:
    assert [s for f in rewritten.report.files for s in f.sites if s.bypasses] == []


@pytest.mark.parametrize("name", [LOADER, LIBC])
def test_the_syscall_instructions_themselves_stay(rewritten: Rewritten, name: str) -> None:
    new = Elf.parse((rewritten.lib / name).read_bytes())
    assert all(new.read(site.address, 2) == b"\x0f\x05" for site in rewritten.file(name).sites)


@pytest.mark.parametrize("name", [LOADER, LIBC])
def test_identity_and_exports_stay(rewritten: Rewritten, name: str) -> None:
    old, new = (Elf.parse((d / name).read_bytes()) for d in (rewritten.original, rewritten.lib))
    assert old.build_id is not None
    assert new.build_id == old.build_id == rewritten.file(name).build_id
    assert new.entry == old.entry
    assert set(new.code_symbols()) == set(old.code_symbols())


@pytest.mark.parametrize("name", [LOADER, LIBC])
def test_readelf_finds_nothing_to_complain_about(rewritten: Rewritten, name: str) -> None:
    command = ["readelf", "-aW", rewritten.lib / name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_segments_do_not_overlap_and_the_program_headers_are_where_they_were(rewritten: Rewritten) -> None:
    for name in (LOADER, LIBC):
        new = Elf.parse((rewritten.lib / name).read_bytes())
        assert new.program_headers == 64
        loads = new.loads
        assert all(a.vaddr + a.memsz <= b.vaddr for a, b in pairwise(loads))
        assert all((s.vaddr - s.offset) % 4096 == 0 for s in loads)
        assert all(s.offset + s.filesz <= len(new.data) for s in loads)
        # Kernels before 6.6 clear the last page behind a loader's last segment: there must be nothing to clear.
        if name == LOADER:
            assert (loads[-1].vaddr + loads[-1].filesz) % 4096 == 0
            assert all(s.memsz == s.filesz for s in loads)


def test_stripped_copies_still_work(rewritten: Rewritten, tmp_path: Path) -> None:
    for name in (LOADER, LIBC):
        subprocess.run(["strip", "-o", tmp_path / name, rewritten.lib / name], check=True)
    done = rewritten.run(tmp_path / LOADER, "--library-path", tmp_path, "/bin/echo", "works")
    assert done.stdout == "works\n"


@pytest.mark.slow
def test_every_thunk_has_the_unwinding_rules_of_its_site(rewritten: Rewritten) -> None:
    """Decoded by pyelftools, which has no part in writing them: the row at the jump to the kernel is the site's."""
    for name in (LIBC, LOADER):
        with (rewritten.lib / name).open("rb") as stream:
            elf = ELFFile(stream)
            rows = _rows(elf, ".eh_frame")
            new = _rows(elf, ".kml.eh_frame")
        data = Elf.parse((rewritten.lib / name).read_bytes())
        compared = 0
        for site in rewritten.file(name).sites:
            thunk = _thunk(data, site.address) if site.method == "jump" else None
            before = _row_at(rows, site.address)
            if thunk is None or before is None:
                continue
            assert _row_at(new, thunk) == before, f"{site.symbol} {site.address:#x}"
            compared += 1
        assert compared > 30


def _rows(elf: ELFFile, section: str) -> list[Rows]:
    """(start, end, decoded table) of every entry; those that pyelftools cannot decode are left out."""
    found = elf.get_section_by_name(section)
    structs = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8)
    stream = io.BytesIO(found.data())
    rows = []
    for entry in CallFrameInfo(stream, found.data_size, found["sh_addr"], structs, for_eh_frame=True).get_entries():
        if isinstance(entry, FDE):
            with suppress(ValueError):
                start = entry["initial_location"]
                rows.append((start, start + entry["address_range"], entry.get_decoded().table))
    return rows


def _row_at(functions: list[Rows], address: int) -> dict[object, str] | None:
    for start, end, table in functions:
        if start <= address < end:
            row = [r for r in table if r["pc"] <= address][-1]  # type: ignore[operator]
            return {k: repr(vars(v)) if hasattr(v, "__dict__") else repr(v) for k, v in row.items() if k != "pc"}
    return None


def _thunk(elf: Elf, site: int) -> int | None:
    """The address of the ``lea`` of the thunk that the 5-byte jump before a site leads to."""
    text = next(s for s in elf.sections if s.name == ".kml.text")
    code = elf.data[text.offset : text.offset + text.size]
    position = 0
    while (position := code.find(b"\x48\x8d\x0d", position)) >= 0:
        behind = text.addr + position + 7
        if behind + int.from_bytes(code[position + 3 : position + 7], "little", signed=True) == site + 2:
            return text.addr + position
        position += 1
    return None


def test_a_rewritten_file_is_not_rewritten_again(rewritten: Rewritten) -> None:
    result = rewrite_elf((rewritten.lib / LIBC).read_bytes(), LIBC)
    assert result is not None
    assert result.data is None
    assert "already" in result.report.reason


def test_the_same_file_gives_the_same_bytes(rewritten: Rewritten) -> None:
    result = rewrite_elf((rewritten.original / LOADER).read_bytes(), LOADER)
    assert result is not None
    assert result.data == (rewritten.lib / LOADER).read_bytes()


def test_a_tree_keeps_places_and_modes_and_leaves_out_what_has_no_calls(rewritten: Rewritten, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    shutil.copy(rewritten.original / LOADER, root / "usr/lib/loader")
    (root / "usr/lib/loader").chmod(0o751)
    (root / "usr/lib/link").symlink_to("loader")
    (root / "usr/lib/text").write_text("\x7fELF no more")
    assemble(function("f", "ret"), root / "usr/lib/quiet.so")
    report = rewrite_tree(root, tmp_path / "out", jobs=1)
    files = [p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert files == [Path("usr/lib/loader")]
    assert (tmp_path / "out/usr/lib/loader").stat().st_mode & 0o7777 == 0o751
    assert [f.path for f in report.files] == ["usr/lib/loader"]


@pytest.mark.slow
def test_nothing_is_rewritten_if_the_loader_cannot_be(rewritten: Rewritten, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(rewritten.original / LIBC, root)
    loader = bytearray((rewritten.original / LOADER).read_bytes())
    entry = Elf.parse(bytes(loader)).offset(Elf.parse(bytes(loader)).entry)
    assert entry is not None
    loader[entry : entry + 2] = b"\xeb\x00"  # a jump: what moves it must not be
    (root / LOADER).write_bytes(loader)
    report = rewrite_tree(root, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()
    assert report.sites > 400
    assert all(s.method == "left alone" and s.reason for f in report.files for s in f.sites)


def test_the_report_survives_json(rewritten: Rewritten) -> None:
    assert msgspec.json.decode(msgspec.json.encode(rewritten.report), type=SiteReport) == rewritten.report


def test_hits_are_told_by_site(rewritten: Rewritten) -> None:
    libc = rewritten.file(LIBC)
    left = next(s for s in libc.sites if s.method == "left alone")
    assert libc.build_id
    hits = [
        TrapSite(libc.build_id, left.offset + 2, 5),
        TrapSite("/" + libc.path, left.offset, 2),
        TrapSite("/usr/bin/other", 0x123, 9),
    ]
    told = rewritten.report.with_hits(hits)
    assert [(t.path, t.count, t.site) for t in told] == [("/usr/bin/other", 9, None), (libc.path, 7, left)]


def test_the_modules_list_of_traps_is_read(rewritten: Rewritten) -> None:
    libc = rewritten.file(LIBC)
    known = f"3 77 7f0012345678 /trusted/{libc.path} {libc.sites[0].offset + 2:x}\n"
    text = known + "4 78 1234 - 0\n1 79 1 /a\\040b 10\nlost 0\n"
    hits = parse_trap_sites(text)
    assert [(h.file, h.count) for h in hits] == [(f"/trusted/{libc.path}", 3), ("", 4), ("/a b", 1)]
    assert (libc.path, libc.sites[0], 3) in [(t.path, t.site, t.count) for t in rewritten.report.with_hits(hits)]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
def test_damaged_files_never_raise(tmp_path: Path, changes: list[tuple[int, int]], cut: bool) -> None:
    path = tmp_path / "small.so"
    if not path.exists():
        assemble(function("f", "mov $39, %eax\nsyscall\nret") + function("g", "jmp f"), path)
    data = bytearray(path.read_bytes())
    for position, value in changes:
        data[position % len(data)] = value
    if cut:
        del data[changes[0][0] % len(data) :]
    result = rewrite_elf(bytes(data), "small.so")
    assert result is None or result.report.path == "small.so"


def test_workers_do_not_outlive_what_started_them(tmp_path):
    for number in range(8):
        (tmp_path / str(number)).write_bytes(b"\x7fELF")
    script = (
        "import sys, time, pathlib\n"
        "from kmltui.kml.rewrite import rewrite\n"
        "rewrite.rewrite_elf = lambda *_: time.sleep(300)\n"
        "rewrite.rewrite_tree(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]), jobs=2)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path]) as process:
        while len(workers := psutil.Process(process.pid).children()) < 2:
            time.sleep(0.05)
        process.kill()
    _, left = psutil.wait_procs(workers, 30)
    for worker in left:
        worker.kill()
    assert not left

# SPDX-License-Identifier: GPL-2.0-or-later
"""A rewritten C library to run programs with, and a compiler for them."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from kmltui.kml.rewrite import FileReport, SiteReport, rewrite_tree
from kmltui.kml.rewrite.elf import Elf

LOADER = "ld-linux-x86-64.so.2"
LIBC = "libc.so.6"


def host_file(name: str) -> Path:
    """A library of this machine by its name."""
    if name == LOADER:
        interpreter = Elf.parse(Path("/bin/true").resolve().read_bytes()).interpreter
        assert interpreter
        return Path(interpreter).resolve()
    found = subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout
    return Path(found.strip()).resolve()


@dataclass
class Rewritten:
    """Directories: ``original`` and ``lib`` hold the same libraries before and after rewriting."""

    root: Path
    original: Path
    lib: Path
    report: SiteReport = field(repr=False)
    _built: dict[tuple[object, ...], Path] = field(default_factory=dict, repr=False)

    def file(self, name: str) -> FileReport:
        return next(f for f in self.report.files if f.path == name)

    def compile(self, source: Path | str, *flags: str, plain: bool = False) -> Path:
        """A program from a C or C++ file, or from C text, that runs with the rewritten libraries (or, ``plain``,
        with this machine's own)."""
        key = (source, flags, plain)
        if key not in self._built:
            out = self.root / f"program{len(self._built)}"
            if isinstance(source, str):
                text, source = source, out.with_suffix(".c")
                source.write_text(text)
            compiler = "g++" if source.suffix == ".cc" else "gcc"
            where = [] if plain else [f"-Wl,--dynamic-linker={self.lib / LOADER}", f"-Wl,-rpath,{self.lib}"]
            quiet = ["-Wno-infinite-recursion", "-Wno-array-bounds", "-Wno-unused-result"]
            command = [compiler, "-O2", "-pthread", *quiet, *flags, "-o", str(out), str(source), *where, "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            self._built[key] = out
        return self._built[key]

    def run(self, program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)


def make_rewritten(root: Path, shared: Path) -> Rewritten:
    """``root``: where this process compiles programs. ``shared``: where the first of several processes rewrites the
    libraries for all of them."""
    if not _page_can_be_mapped():
        pytest.skip("vm.mmap_min_addr of this machine is above 0x10000")
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    original, lib, known = shared / "original", shared / "lib", shared / "report.json"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            original.mkdir(exist_ok=True)
            for name in (LOADER, LIBC):
                shutil.copy(host_file(name), original / name)
            known.write_bytes(msgspec.json.encode(rewrite_tree(original, lib, jobs=1)))
    return Rewritten(root, original, lib, msgspec.json.decode(known.read_bytes(), type=SiteReport))


def _page_can_be_mapped() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    fixed = 0x100000  # MAP_FIXED_NOREPLACE
    got = libc.mmap(0x10000, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed, -1, 0)
    if got == 0x10000:
        libc.munmap(ctypes.c_void_p(got), 4096)
    return bool(got == 0x10000)


def assemble(text: str, out: Path, *flags: str) -> bytes:
    """A shared object from assembly text; it is kept at ``out``."""
    source = out.with_suffix(".s")
    source.write_text(text)
    command = ["gcc", "-shared", "-nostdlib", "-fno-lto", *flags, "-o", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def function(name: str, body: str) -> str:
    """Assembly text of a function with unwinding information."""
    return (
        f".globl {name}\n.type {name},@function\n{name}:\n.cfi_startproc\n{body}\n.cfi_endproc\n.size {name},.-{name}\n"
    )

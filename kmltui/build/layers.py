# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of an image, each built only from what it depends on: packages, KML and the guest's own programs, the data.

Every function writes one finished file; everything it depends on is in the key that the caller gives it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from kmltui import kml
from kmltui.build.cpio import CpioWriter
from kmltui.build.declared import declared_programs
from kmltui.build.kernel import build_module
from kmltui.build.programs import build_programs
from kmltui.build.tree import files
from kmltui.images.errors import ImageError
from kmltui.images.progress import Step

_DIRECTORIES = ("dev", "proc", "sys", "run", "root", "tmp", "etc", "var/lib", "var/log", "var/tmp", "kmltui", "kml")

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmysql:x:106:106:MariaDB:/nonexistent:/bin/false\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nmysql:x:106:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "guest\n",
    "etc/resolv.conf": "",
    "root/.profile": "PS1='\\h:\\w# '\n",
}


def write_base(tree: Path, output: Path, step: Step) -> None:
    """Writes the unpacked packages, and a few files that they expect."""
    with output.open("wb") as stream:
        archive = CpioWriter(stream)
        for directory in _DIRECTORIES:
            archive.directory(directory)
        archive.device("dev/console", 0o600, 5, 1)
        archive.device("dev/null", 0o666, 1, 3)
        for name, text in _FILES.items():
            archive.data(name, text.encode())
        _add_tree(archive, tree, step)
        archive.close()


_SERVERS = {
    "www-data": (33, "/var/www"),
    "postgres": (103, "/var/lib/postgresql"),
    "redis": (104, "/var/lib/redis"),
    "memcache": (105, "/nonexistent"),
}
"""Users, with id and home, that the maintainer scripts of Debian's servers would create; no package script is run
here."""


def write_extra(tree: Path, output: Path, step: Step) -> None:
    """Writes the user's unpacked packages, and the users that servers among them run as."""
    own = dict(_FILES)
    for name, (number, home) in _SERVERS.items():
        own["etc/passwd"] += f"{name}:x:{number}:{number}:{name}:{home}:/bin/false\n"
        own["etc/group"] += f"{name}:x:{number}:\n"
    with output.open("wb") as stream:
        archive = CpioWriter(stream)
        for name in ("etc/passwd", "etc/group"):
            archive.data(name, own[name].encode())
        _add_tree(archive, tree, step)
        archive.close()


def _add_tree(archive: CpioWriter, tree: Path, step: Step) -> None:
    """All of ``tree`` except files that we replace by our own."""
    entries = list(files(tree))
    for number, (name, path) in enumerate(entries):
        if number % 64 == 0:
            step.at(number / len(entries))
        if name in _FILES:
            continue
        if path.is_symlink():
            archive.symlink(name, str(path.readlink()))
        elif path.is_dir():
            archive.directory(name)
        else:
            archive.file(name, path)


def write_rewritten(tree: Path, work: Path, output: Path, report: Path) -> None:
    """Writes the ELF files of ``tree`` whose system calls are redirected; ``report`` gets what became of every site
    (JSON).

    They are below ``/kml/rewritten``; guestd installs them in the arms that use them.
    """
    work.mkdir()
    command = [sys.executable, "-m", "kmltui.kml.rewrite", str(tree), str(work), str(report)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ImageError(f"the image's programs cannot be rewritten:\n{result.stderr.strip()[-2000:]}")
    with output.open("wb") as stream:
        archive = CpioWriter(stream)
        for name, path in files(work):
            if path.is_file():
                archive.file(f"kml/rewritten/{name}", path)
        archive.close()


def write_kml(*, kernel: Path, work: Path, output: Path, step: Step) -> None:
    """Writes what turns the packages into a guest: init, drivers, KML's module, the programs of workloads.

    ``kernel`` is an unpacked kernel with its headers (:mod:`kmltui.build.kernel`), ``work`` an empty directory.
    """
    programs = work / "programs"
    programs.mkdir()
    made = build_programs(programs)
    declared = {program.path: program.compile(work / "declared") for program in declared_programs()}
    step.at(0.3)
    sources = work / "module"
    sources.mkdir()
    for path in kml.module_sources():
        shutil.copy(path, sources)
    build_module(sources, kernel, work / "kml.ko")
    step.at(0.9)
    with output.open("wb") as stream:
        archive = CpioWriter(stream)
        for place, program in made.items():
            archive.file(place, program, mode=0o755)
        # Not rewritten: a workload's program may have to trap.
        for name, path in declared.items():
            archive.file(name, path)
        boot = kernel / "boot"
        names = (boot / "drivers").read_text().split()
        for name in names:
            archive.file(f"kmltui/modules/{name}.ko", boot / f"{name}.ko")
        archive.data("kmltui/drivers", "".join(f"/kmltui/modules/{name}.ko\n" for name in names).encode())
        archive.file("kml/kml.ko", work / "kml.ko")
        archive.close()


def write_data(archive: BinaryIO, output: Path) -> None:
    """Writes a data directory, fetched from a guest as a tar stream of ``var/lib/mysql``."""
    with output.open("wb") as stream, tarfile.open(fileobj=archive, mode="r|") as source:
        target = CpioWriter(stream)
        for member in source:
            name = member.name.lstrip("./")
            if member.isdir():
                target.directory(name)
            elif contents := source.extractfile(member):
                target.data(name, contents.read(), 0o600)
        target.close()


def join(parts: Sequence[Path], output: Path) -> None:
    """Joins several archives into one file; the kernel unpacks them one after the other."""
    with output.open("wb") as stream:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, stream, 1 << 22)

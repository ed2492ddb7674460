# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's kernel from its Debian packages: what boots, the drivers the guest needs, and what builds a module.

The headers are meant for installation below /usr/src and for the distribution's own compiler and C library. Here they
are in a private directory: absolute paths in them are changed, and the programs among them (modpost, objtool, …) run
with the C library of their own release, so that any host can build a module for any of the kernels.
"""

from __future__ import annotations

import io
import lzma
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from kmltui.build.tree import unpack_all
from kmltui.images.errors import ImageError, MissingError
from kmltui.images.progress import Step

DRIVERS = ("virtio_pci", "virtio_console", "virtio_net")
"""Drivers that a guest needs in addition to the built-in ones; the modules that these depend on are added."""

_COMPILER_OPTIONS = {"CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT": "-fmin-function-alignment=16"}
"""Settings in a kernel's configuration that add an option to every gcc command line which an older gcc may not know."""

_MODULE = re.compile(r"lib/modules/[^/]+/kernel/.*/(?P<name>[^/]+)\.ko(?P<packed>\.xz)?$")


_KERNEL = re.compile(r"boot/vmlinuz-[^/]+$|lib/modules/[^/]+/vmlinuz$")


def _read_members(package: Path, wanted: dict[str, bytes | None], kernel: Path | None) -> set[str]:
    """One pass over a package: fills in the modules in ``wanted``; a kernel is written to ``kernel``.

    Returns the names of the built-in modules, if the package lists them.
    """
    builtin: set[str] = set()
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                module = _MODULE.search(member.name)
                contents = archive.extractfile(member) if member.isfile() else None
                if contents is None:
                    continue
                if module and module["name"].replace("-", "_") in wanted:
                    data = contents.read()
                    wanted[module["name"].replace("-", "_")] = lzma.decompress(data) if module["packed"] else data
                elif member.name.endswith("/modules.builtin"):
                    builtin = {Path(line).stem.replace("-", "_") for line in contents.read().decode().splitlines()}
                elif kernel and _KERNEL.search(member.name):
                    with kernel.open("wb") as stream:
                        shutil.copyfileobj(contents, stream)
        process.stdout.read()
    if process.returncode:
        raise ImageError(f"cannot unpack {package}; delete it and build again")
    return builtin


def _depends(module: bytes, name: str) -> list[str]:
    """The modules that ``module`` declares it depends on."""
    try:
        section = ELFFile(io.BytesIO(module)).get_section_by_name(".modinfo")
    except ELFError as error:
        raise ImageError(f"driver {name} is not a kernel module: {error}") from error
    for field in section.data().split(b"\0") if section else ():
        if field.startswith(b"depends="):
            return [part.replace("-", "_") for part in field[8:].decode().split(",") if part]
    return []


def unpack_kernel(packages: Sequence[Path], directory: Path) -> None:
    """Make ``directory``: ``vmlinuz``, the drivers ``*.ko``, and ``drivers``, which has their names in the order of
    loading.

    ``packages`` contain the kernel, its modules and the list of the built-in ones, together or separately. Raises
    :class:`ImageError`.
    """
    directory.mkdir(parents=True)
    found: dict[str, bytes | None] = dict.fromkeys(DRIVERS)
    needs: dict[str, list[str]] = {}
    kernel: Path | None = directory / "vmlinuz"
    while missing := {name: None for name, data in found.items() if data is None}:
        read: dict[str, bytes | None] = dict(missing)
        builtin = set().union(*(_read_members(package, read, kernel) for package in packages))
        kernel = None
        for name, data in read.items():
            if name in builtin:
                del found[name]
            elif data is None:
                names = " and ".join(package.name for package in packages)
                raise ImageError(f"{names}: no driver {name}; choose another kernel flavour")
            else:
                found[name] = data
                needs[name] = [need for need in _depends(data, name) if need not in builtin]
                for need in needs[name]:
                    found.setdefault(need, None)
    order: list[str] = []

    def place(name: str) -> None:
        for need in needs.get(name, ()):
            place(need)
        if name not in order:
            order.append(name)

    for name in sorted(found):
        place(name)
    for name in order:
        (directory / f"{name}.ko").write_bytes(found[name] or b"")
    (directory / "drivers").write_text("".join(f"{name}\n" for name in order))
    if not (directory / "vmlinuz").exists():
        raise ImageError(f"no kernel in {' and '.join(package.name for package in packages)}")


def unpack_headers(packages: Sequence[Path], libraries: Sequence[Path], directory: Path, step: Step) -> None:
    """Unpack headers and kbuild ``packages`` into ``directory``, which may be moved afterwards.

    ``libraries`` are the packages that kbuild's own programs need.
    """
    here = "$(dir $(realpath $(lastword $(MAKEFILE_LIST))))"
    for number, package in enumerate(packages):
        step.at(number / (len(packages) + 1))
        subprocess.run(["dpkg-deb", "-x", package, directory], check=True)
    unpack_all(libraries, directory / "host", step)
    for path in directory.glob("usr/src/linux-headers-*/Makefile"):
        path.write_text(path.read_text().replace("/usr/src/linux-headers", f"{here}../linux-headers"))
    for path in sorted(directory.glob("usr/lib/linux-kbuild-*/**/*")):
        if path.is_file() and not path.is_symlink() and _is_program(path):
            _wrap(path, directory)


def _is_program(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(20)
    return head[:6] == b"\x7fELF\x02\x01" and head[16:18] in (b"\x02\0", b"\x03\0") and path.suffix not in (".o", ".so")


def _wrap(program: Path, directory: Path) -> None:
    """Replace ``program`` by a script that runs it with the C library unpacked beside it."""
    real = program.with_name(program.name + ".elf")
    program.rename(real)
    host = "/".join([".."] * (len(program.relative_to(directory).parts) - 1)) + "/host"
    program.write_text(
        "#!/bin/sh\n"
        "# Run with the C library of the release that it was made for.\n"
        f'here="${{0%/*}}"; host="$here/{host}/usr"; libraries="$host/lib/x86_64-linux-gnu"\n'
        # Some find another program by their own name.
        f'exec "$host/lib64/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$libraries" "$here/{real.name}" "$@"\n'
    )
    program.chmod(0o755)


def _understands(option: str) -> bool:
    """Whether the host's gcc knows ``option``."""
    command = ["gcc", option, "-E", "-x", "c", "/dev/null"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build_module(sources: Path, headers: Path, output: Path) -> None:
    """Build the out-of-tree module in ``sources`` (``kml.ko``), in place, against ``headers`` with the host's gcc."""
    for program in ("make", "gcc"):
        if not shutil.which(program):
            raise MissingError(f"{program} is not on this machine; it builds the kernel module. See `kmltui doctor`")
    trees = [path for path in headers.glob("usr/src/linux-headers-*") if (path / ".config").exists()]
    if len(trees) != 1:
        raise ImageError(f"{headers} does not hold one kernel's headers")
    # The kernel's configuration relies on features of its own compiler and on tools that a host need not have.
    settings = ["CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES="]
    settings += [f"{name}=" for name, option in _COMPILER_OPTIONS.items() if not _understands(option)]
    command = ["make", "-s", "-C", str(trees[0]), f"M={sources}", *settings, "modules"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    module = sources / "kml.ko"
    if result.returncode or not module.exists():
        last = "\n".join((result.stderr or result.stdout).strip().splitlines()[-20:])
        raise ImageError(f"the kernel module does not build against {trees[0].name}:\n{last}")
    subprocess.run(["strip", "--strip-debug", "-o", output, module], check=True)

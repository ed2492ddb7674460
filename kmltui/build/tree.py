# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages unpacked into a directory: the guest's file system before it is archived.

Only files are taken: nothing from a package is run, neither on the host nor in the guest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from kmltui.images.errors import ImageError
from kmltui.images.progress import Step

_MERGED = ("bin", "sbin", "lib", "lib64")
"""Directories that are symbolic links into /usr on current Debian."""

DOCUMENTATION = (
    "usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/",
    "usr/share/bash-completion/", "usr/share/menu/", "usr/share/pixmaps/", "usr/share/applications/",
    "usr/share/icons/",
)  # fmt: skip
"""Prefixes of files that only people read: left out of every package."""

_LEFT_OUT = (
    *DOCUMENTATION,
    "usr/share/gcc/", "usr/share/gdb/auto-load/", "usr/share/perl5/Debconf/", "usr/share/debconf/", "usr/include/",
    "usr/lib/systemd/", "usr/lib/tmpfiles.d/", "usr/lib/sysusers.d/", "usr/share/apport/",
    "usr/lib/mysql/plugin/",
    "usr/lib/x86_64-linux-gnu/gconv/", "usr/lib/x86_64-linux-gnu/perl/", "etc/cron", "etc/init.d/", "etc/logcheck/",
    # Large programs and scripts for installing and repairing databases; a guest's database is always new.
    "usr/bin/mariadb-upgrade", "usr/bin/mysql_upgrade", "usr/bin/mariadb-check", "usr/bin/mysqlcheck",
    "usr/bin/innochecksum", "usr/bin/my_print_defaults", "usr/bin/resolveip", "usr/bin/mariadb-install-db",
    "usr/bin/mysql_install_db", "usr/share/mysql/fill_help_tables.sql", "usr/share/mysql/mysql_sys_schema.sql",
    "usr/share/mariadb/fill_help_tables.sql", "usr/share/mariadb/mariadb_sys_schema.sql",
    "etc/apparmor.d/", "usr/share/tests/", "usr/share/sysbench/tests/", "var/",
)  # fmt: skip
"""Prefixes of files that no program of the image's own packages reads."""


def _merged(path: str) -> str:
    first = path.split("/", 1)[0]
    return f"usr/{path}" if first in _MERGED else path


def _relative(link: str, target: str) -> str:
    """An absolute ``target`` as the equivalent relative one at ``link``, so that it is also right inside the tree."""
    if not target.startswith("/"):
        return target
    return os.path.relpath(_merged(target.lstrip("/")), PurePosixPath(link).parent)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: Path, left_out: tuple[str, ...]) -> None:
    """Put ``member`` into ``tree``; owners, times and special permission bits are not kept."""
    name = _merged(str(PurePosixPath(member.name.lstrip("./"))))
    if ".." in PurePosixPath(name).parts:
        raise tarfile.TarError(f"{member.name} points out of the package")
    if name in (".", *_MERGED) or name.startswith(left_out) or f"{name}/" in left_out:
        return
    path = tree / name
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(_relative(name, member.linkname))
    elif member.islnk():
        path.hardlink_to(tree / _merged(member.linkname.lstrip("./")))
    elif contents := archive.extractfile(member):
        with path.open("wb") as stream:
            shutil.copyfileobj(contents, stream, 1 << 20)
        path.chmod(member.mode & 0o755 | 0o600)


def unpack(package: Path, tree: Path, left_out: tuple[str, ...] = _LEFT_OUT) -> None:
    """Unpack ``package`` into ``tree`` without paths that begin with one of ``left_out``. What belongs in /bin or /lib
    goes below /usr, as on current Debian.

    Raises :class:`ImageError` for a damaged package.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    _extract(archive, member, tree, left_out)
            process.stdout.read()
        except (tarfile.TarError, OSError) as error:
            process.kill()
            raise ImageError(f"cannot unpack {package}: {error}; delete it and build again") from error
        message = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise ImageError(f"cannot unpack {package}: {message}; delete it and build again")


def unpack_all(packages: Sequence[Path], tree: Path, step: Step, left_out: tuple[str, ...] = _LEFT_OUT) -> None:
    """Unpack all of ``packages`` into ``tree``, which may not exist yet; see :func:`unpack`."""
    tree.mkdir(parents=True, exist_ok=True)
    for name in _MERGED:
        (tree / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (tree / name).is_symlink():
            (tree / name).symlink_to(f"usr/{name}")
    for number, package in enumerate(packages):
        step.at(number / len(packages))
        unpack(package, tree, left_out)


def files(tree: Path) -> Iterator[tuple[str, Path]]:
    """All entries of ``tree``, sorted: path relative to it, and full path. Directories only if empty."""
    for directory, names, entries in os.walk(tree):
        names.sort()
        here = Path(directory)
        for name in sorted([*entries, *(n for n in names if (here / n).is_symlink())]):
            path = here / name
            yield str(path.relative_to(tree)), path
        if not names and not entries:
            yield str(here.relative_to(tree)), here

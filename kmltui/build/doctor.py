# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests need on this machine: each thing, whether it is there, what it is for, and the command that fixes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from kmltui.build.sources import EXAMPLE, host_mirror, named_mirror, read_sources
from kmltui.images import store
from kmltui.images.errors import GuestError
from kmltui.images.spec import check_host
from kmltui.machine import accel, memory
from kmltui.machine.qemu import PROGRAM, qemu_version
from kmltui.model import SessionSpec


class Check(Struct, frozen=True):
    """One check. ``note``: things work without it, but not as well."""

    name: str
    status: Literal["ok", "note", "missing"]
    detail: str
    remedy: str = ""


def check_all() -> list[Check]:
    """All checks, in the order in which a newcomer would fix them. Starts no guest."""
    return list(_checks())


def _checks() -> Iterator[Check]:
    yield _system()
    yield _qemu()
    if not shutil.which("apt-get"):
        yield _no_apt()
        yield from _machine()
        return
    for program, package, purpose in (
        ("gcc", "gcc", "compiles the kernel module and the guest's programs"),
        ("make", "make", "builds the kernel module"),
        ("strip", "binutils", "makes the kernel module small"),
        ("dpkg-deb", "dpkg", "unpacks the guest's packages"),
    ):
        yield _program(program, package, purpose)
    yield _static_library()
    yield _mirror()
    yield from _machine()


def _machine() -> Iterator[Check]:
    """What running guests needs, wherever their image comes from."""
    yield _kvm()
    yield _memory()
    yield _disk()


ELSEWHERE = "import an image built elsewhere: 'kmltui guest import FILE' or 'kmltui guest fetch URL'"


def _install(package: str) -> str:
    if not shutil.which("apt-get"):
        return f"install what Debian calls {package} with this system's package manager"
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install -y {package}"


def _system() -> Check:
    try:
        check_host()
    except GuestError as error:
        return Check("system", "missing", str(error), "replay recordings here, or use another machine")
    return Check("system", "ok", "Linux on x86-64")


def _qemu() -> Check:
    try:
        return Check("qemu", "ok", f"QEMU {qemu_version()}: runs the guests")
    except GuestError:
        return Check("qemu", "missing", f"{PROGRAM}: runs the guests", _install("qemu-system-x86"))


def _no_apt() -> Check:
    what = "images are built with Debian's apt, which is missing here"
    return Check("apt-get", "note" if store.has_images() else "missing", what, ELSEWHERE)


def _program(program: str, package: str, purpose: str) -> Check:
    if shutil.which(program):
        return Check(program, "ok", purpose)
    return _needed_to_build(program, purpose, package)


def _needed_to_build(name: str, purpose: str, package: str) -> Check:
    """A missing program; not needed if there is already an image."""
    if store.has_images():
        return Check(name, "note", f"{purpose}; needed only to build another image", _install(package))
    return Check(name, "missing", purpose, _install(package))


def _static_library() -> Check:
    purpose = "the guest's own programs are linked against it"
    if shutil.which("gcc"):
        command = ["gcc", "-print-file-name=libc.a"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if Path(answer).is_file():
            return Check("libc.a", "ok", purpose)
    return _needed_to_build("libc.a", purpose, "libc6-dev")


def _mirror() -> Check:
    try:
        mirror = host_mirror(read_sources())
    except GuestError as error:
        return Check("mirror", "note" if store.has_images() else "missing", str(error), _mirror_remedy())
    without = "" if mirror.security else ", without security updates"
    return Check("mirror", "ok", f"the guest's packages come from this system's mirror{without}")


def _mirror_remedy() -> str:
    build = f"kmltui guest build --mirror {EXAMPLE} (www.debian.org/mirror/list has them all)"
    try:
        named_mirror(EXAMPLE)
    except GuestError:
        return f"{_install('debian-archive-keyring')}, then {build}"
    return build


def _kvm() -> Check:
    slower = "guests run in software emulation: everything works, several times slower"
    if not Path("/dev/kvm").exists():
        return Check("kvm", "note", f"there is no /dev/kvm: {slower}")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        join = f"{'' if os.geteuid() == 0 else 'sudo '}adduser $USER kvm"
        return Check("kvm", "note", f"you may not open /dev/kvm: {slower}", f"{join}, then log in again")
    known = accel.remembered()
    if known is None:
        return Check("kvm", "ok", "/dev/kvm exists; the first start will show whether guests boot under it")
    works, reason = known
    return Check("kvm", "ok", "guests run under it") if works else Check("kvm", "note", f"{reason}: {slower}")


def _memory() -> Check:
    free, needed = memory.free_bytes(), memory.needed_bytes([SessionSpec(name="").memory_bytes] * 2)
    detail = f"{free / (1 << 30):.1f} GiB free; two guests need {needed / (1 << 30):.1f}"
    if free >= needed:
        return Check("memory", "ok", detail)
    return Check("memory", "note", detail, "give guests less memory, e.g. --left stock,memory=512M")


def _disk() -> Check:
    try:
        free = store.free_bytes()
    except OSError as error:
        return Check("disk", "missing", f"{store.root()}: {error.strerror}", "set KMLTUI_HOME to a directory you own")
    detail = f"{free / (1 << 30):.1f} GiB free for images in {store.root()}; {store.NEEDED_BYTES >> 30} needed"
    if free >= store.NEEDED_BYTES or store.has_images():
        return Check("disk", "ok", detail)
    return Check("disk", "missing", detail, "make room, or set KMLTUI_HOME to a directory on another disk")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether this host's own kernel could run programs in ring 0, and what that would mean. Loads nothing.

The reasons are those for which the kernel module refuses to load, as far as they are visible from outside; the module
has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from kmltui.build.doctor import Check
from kmltui.kml import MODULE
from kmltui.sessions.host import kml_loaded

RELEASE = re.compile(r"^(6\.1|6\.12|7\.3)\.\d.*-amd64$")
"""Debian's kernels that the module knows, generic and cloud."""

NAME = "local-kml"


class Obstacle(Struct, frozen=True):
    """An obstacle, and how to boot without it (empty: impossible)."""

    what: str
    boot: str = ""


def check(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> Check:
    """The line for ``kmltui doctor``. Never ``missing``: guests need nothing of this."""
    if kml_loaded(proc):
        return Check(NAME, "ok", "the KML module is loaded into this host's kernel; 'kmltui monitor' shows its counts")
    found = list(obstacles(proc, sys))
    if not found:
        return Check(
            NAME,
            "ok",
            "this host's kernel could run programs below /trusted in ring 0: a mistake in one of them would be a "
            "mistake in the kernel. kmltui never does that by itself; guests show the same without the danger",
            f"only if you want it, as root: make -C {MODULE} && mkdir -p /trusted && insmod {MODULE}/kml.ko arm=kml",
        )
    options = [obstacle.boot for obstacle in found if obstacle.boot]
    hopeless = len(options) < len(found)
    return Check(
        NAME,
        "note",
        "this host's own kernel cannot run KML (guests can, and need none of this): "
        + "; ".join(obstacle.what for obstacle in found),
        "" if hopeless else f"only if you want it: boot with {' '.join(options)}; that weakens this machine's defences",
    )


def obstacles(proc: Path, sys: Path) -> Iterator[Obstacle]:
    """The obstacles, those without a remedy first."""
    release = _read(proc / "sys/kernel/osrelease")
    if not RELEASE.match(release):
        yield Obstacle(f"its kernel {release or 'of unknown release'} is not Debian's 6.1, 6.12 or 7.3")
    if not (proc / "modules").exists() or _read(proc / "sys/kernel/modules_disabled") == "1":
        yield Obstacle("it takes no modules")
    if _read(sys / "hypervisor/type") == "xen" and _read(sys / "hypervisor/guest_type") == "PV":
        yield Obstacle("it runs under Xen PV")
    lockdown = re.search(r"\[(\w+)\]", _read(sys / "kernel/security/lockdown"))
    if lockdown and lockdown[1] != "none":
        yield Obstacle(f"it is locked down ({lockdown[1]}" + (", by secure boot)" if _secure_boot(sys) else ")"))
    yield from _cpu(proc, sys)


def _cpu(proc: Path, sys: Path) -> Iterator[Obstacle]:
    flags = re.search(r"^flags\s*:(.*)$", _read(proc / "cpuinfo"), re.MULTILINE)
    words = set(flags[1].split() if flags else ())
    if "PTI" in _read(sys / "devices/system/cpu/vulnerabilities/meltdown"):
        yield Obstacle("page table isolation is on", "pti=off")
    kept_out = [flag for flag in ("smep", "smap", "lass") if flag in words]
    hypervisor = [flag for flag in ("vmx", "svm") if flag in words]
    if present := kept_out + hypervisor:
        names = " and ".join(flag.upper() for flag in kept_out)
        why = [f"ring 0 is kept out of user memory by {names}"] if kept_out else []
        why += [f"a hypervisor would restore entries of its own ({hypervisor[0].upper()})"] if hypervisor else []
        # One option for all: the kernel takes it once.
        yield Obstacle(" and ".join(why), f"clearcpuid={','.join(present)}")
    for flag, what, boot in (
        ("fred", "FRED replaces the system call entry", "fred=off"),
        ("ibt", "indirect branch tracking is on", "ibt=off"),
        ("user_shstk", "user shadow stacks are on", "nousershstk"),
    ):
        if flag in words:
            yield Obstacle(what, boot)
    if re.search(r"(^| )nohz_full=", _read(proc / "cmdline")):
        yield Obstacle("nohz_full is set", "(without nohz_full)")


def _secure_boot(sys: Path) -> bool:
    for variable in (sys / "firmware/efi/efivars").glob("SecureBoot-*"):
        try:
            return variable.read_bytes()[-1:] == b"\1"
        except OSError:
            return False
    return False


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest image is made of: its Debian release, its kernel, and where its packages come from."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct
from msgspec.structs import replace

from kmltui.images.errors import ImageError
from kmltui.printable import printable

Suite = Literal["bookworm", "trixie"]
Kernel = Literal["6.1", "6.12", "7.3"]
Flavour = Literal["cloud", "generic"]

_OWN_KERNEL: dict[Suite, Kernel] = {"bookworm": "6.1", "trixie": "6.12"}

PACKAGES = ("mariadb-server-core", "mariadb-client-core", "sysbench")
TOOLS = ("stress-ng", "strace", "gdb", "python3-minimal", "perl-base", "busybox", "procps", "util-linux", "linux-perf")
"""What KML's tests run besides the server and its client."""


_LABEL = r"[a-z][a-z0-9_-]{0,30}"
_PACKAGE = r"[a-z0-9][a-z0-9+.-]+"


class ImageSpec(Struct, frozen=True):
    """What an image is made of. ``mirror`` empty: the host's own."""

    suite: Suite = "bookworm"
    kernel: Kernel = "6.1"
    flavour: Flavour = "cloud"
    tools: bool = False
    """With the programs that the tests run."""
    mirror: str = ""
    # Both are read from files of unknown origin, too, and the label is part of a path.
    label: Annotated[str, Meta(pattern=rf"\A({_LABEL})?\Z")] = ""
    """The name that the user gave an image; if empty, it is named after what it is made of."""
    extra: tuple[Annotated[str, Meta(pattern=rf"\A{_PACKAGE}\Z")], ...] = ()
    """Debian packages that it has in addition to those of every image, sorted; only with a label."""

    @property
    def name(self) -> str:
        """Its name for people and in ``SessionSpec.image``: its label, or ``suite/kernel[/flavour][+tools]``."""
        if self.label:
            return self.label
        flavour = "" if self.flavour == "cloud" else f"/{self.flavour}"
        return f"{self.suite}/{self.kernel}{flavour}{'+tools' if self.tools else ''}"

    @property
    def file_name(self) -> str:
        return self.name.replace("/", "-").replace("+", "-")

    @property
    def packages(self) -> tuple[str, ...]:
        return (*PACKAGES, *TOOLS) if self.tools else PACKAGES

    @property
    def kernel_suite(self) -> tuple[Suite, str]:
        """The suite that has the kernel, and the release in it to prefer (empty: the suite itself)."""
        match self.kernel:
            case "6.1":
                return "bookworm", ""
            case "6.12":
                return self.suite, ""  # each suite has its own build, which suits its compiler
            case "7.3":
                return "trixie", "trixie-backports"

    @property
    def kernel_packages(self) -> tuple[str, str]:
        """The packages that depend on the newest build of the kernel and on its headers."""
        architecture = "cloud-amd64" if self.flavour == "cloud" else "amd64"
        # Bookworm's kernel is 6.1; its security archive also has 6.12, under a name with the version.
        series = "6.12-" if (self.suite, self.kernel) == ("bookworm", "6.12") else ""
        return f"linux-image-{series}{architecture}", f"linux-headers-{series}{architecture}"


_MIRROR = re.compile(r"(https?://|file:/)[^\s\[\]]+")


def without_login(address: str) -> str:
    """``address`` without user and password, for messages: also what only resembles an address may contain them."""
    return re.sub(r"^(\w[\w+.-]*:/+)?.*@", lambda match: match[1] or "", address, flags=re.DOTALL)


def check_mirror(uri: str) -> str:
    """``uri`` if it can be the address of a mirror. Raises :class:`ImageError`.

    apt is configured with it, so it must contain nothing that could be taken for an option or another source, and no
    method that runs programs or reads from devices.
    """
    if not (_MIRROR.fullmatch(uri) and uri.isprintable()):
        raise ImageError(
            f"{printable(without_login(uri))!r} is not the address of a mirror: write http://…, https://… or file:/…, "
            "without spaces and brackets"
        )
    return uri


def host_suite(os_release: Path = Path("/etc/os-release")) -> Suite | None:
    """The host's Debian release, if images can be made of it."""
    try:
        match = re.search(r'^VERSION_CODENAME="?(\w+)', os_release.read_text(), re.MULTILINE)
    except OSError:
        return None
    known: dict[str, Suite] = {suite: suite for suite in _OWN_KERNEL}
    return known.get(match[1]) if match else None


def make_spec(
    suite: str | None = None,
    kernel: str | None = None,
    flavour: str = "cloud",
    *,
    tools: bool = False,
    mirror: str = "",
    label: str = "",
    extra: Sequence[str] = (),
) -> ImageSpec:
    """A checked spec; defaults are the host's, or the oldest that works. Raises :class:`ImageError`."""
    chosen = suite or host_suite() or "bookworm"
    if chosen not in get_args(Suite):
        raise ImageError(f"no guest image can be built from {chosen!r}: choose one of {', '.join(get_args(Suite))}")
    release: Suite = chosen  # type: ignore[assignment]
    version = kernel or _OWN_KERNEL[release]
    if version not in get_args(Kernel):
        raise ImageError(f"KML does not know the kernel {version!r}: choose one of {', '.join(get_args(Kernel))}")
    if flavour not in get_args(Flavour):
        raise ImageError(f"no kernel flavour {flavour!r}: choose one of {', '.join(get_args(Flavour))}")
    if mirror:
        check_mirror(mirror)
    if label and (not re.fullmatch(_LABEL, label) or label in get_args(Suite)):
        raise ImageError(
            f"{label!r} cannot be an image's name: use lower-case letters, digits, '-' and '_', a letter first, "
            "31 at most, and no release of Debian"
        )
    for package in extra:
        if not re.fullmatch(_PACKAGE, package):
            raise ImageError(f"{package!r} is not the name of a Debian package")
    if extra and not label:
        raise ImageError("an image with packages of your own needs a name of its own: add --name, e.g. --name lab")
    packages = tuple(sorted(set(extra)))
    return ImageSpec(release, version, flavour, tools, mirror, label, packages)  # type: ignore[arg-type]


def is_label(name: str) -> bool:
    """Return whether ``name`` can only be an image's label, because nothing in it says what the image is made of."""
    return re.fullmatch(_LABEL, name) is not None


def parse_spec(name: str) -> ImageSpec:
    """What ``name`` stands for (see :attr:`ImageSpec.name`); empty: the default. Raises :class:`ImageError`."""
    match = re.fullmatch(r"(?:(?P<suite>\w+)/(?P<kernel>[\d.]+)(?:/(?P<flavour>\w+))?)?(?P<tools>\+tools)?", name)
    if not match:
        raise ImageError(f"{name!r} does not name an image: write SUITE/KERNEL, for example bookworm/6.1")
    spec = make_spec(match["suite"], match["kernel"], match["flavour"] or "cloud")
    return replace(spec, tools=bool(match["tools"]))


def check_host() -> None:
    """Raise :class:`ImageError` where no guest can be built or run: not x86-64, not Linux."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ImageError(f"guests need Linux on x86-64; this is {platform.system()} on {platform.machine()}")

"""Where the host's own apt gets Debian from: the mirror to use for the guest's packages.

Reads ``/etc/apt/sources.list`` and ``sources.list.d`` in both formats (one-line and deb822).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from kmltui.images.errors import ImageError

APT_DIR = Path("/etc/apt")
_CODENAMES = r"(buster|bullseye|bookworm|trixie|forky|duke|sid|(old)*stable|testing|unstable)"
_SUITE = re.compile(rf"^{_CODENAMES}$")
_SECURITY = re.compile(rf"^{_CODENAMES}-security$")


class Source(Struct, frozen=True):
    """One place that packages come from: as much of a line of sources.list as matters here."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


class Mirror(Struct, frozen=True):
    """Debian's archive and, where the host has it, its security archive."""

    archive: Source
    security: Source | None = None


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<rest>[^#]+)", line)
        if not match:
            continue
        words = match["rest"].split()
        options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
        if len(words) >= 2 and options.get("arch", "amd64").find("amd64") >= 0:
            yield Source(words[0], (words[1],), tuple(words[2:]), options.get("signed-by", ""))


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and name:
                fields[name] += "\n" + line.strip()
            elif ":" in line:
                key, _, value = line.partition(":")
                name = key.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "amd64" not in fields.get("architectures", "amd64").split():
            continue
        signed_by = fields.get("signed-by", "")
        if "\n" in signed_by:  # a key in the file itself; apt's own trusted keys must do
            signed_by = ""
        for uri in fields.get("uris", "").split():
            suites, components = (tuple(fields.get(name, "").split()) for name in ("suites", "components"))
            yield Source(uri, suites, components, signed_by)


def read_sources(apt_dir: Path = APT_DIR) -> list[Source]:
    """All enabled package sources of the host. Unreadable files are passed over, as apt does for a user."""
    sources: list[Source] = []
    parts = apt_dir / "sources.list.d"
    for path in [apt_dir / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        sources.extend(_deb822(text) if path.suffix == ".sources" else _one_line(text))
    return sources


def host_mirror(sources: list[Source]) -> Mirror:
    """The Debian mirror among ``sources``. Raises :class:`ImageError` if there is none.

    Other vendors use Debian's suite names too, so among several the one that looks most like Debian's own wins:
    signed by Debian's keyring, then with ``/debian`` at the end.
    """

    def likeness(source: Source) -> tuple[bool, bool, bool]:
        path = source.uri.rstrip("/")
        own_name = path.endswith(("/debian", "/debian-security"))
        return "debian-archive" in source.signed_by, own_name, "snapshot" not in path

    def best(pattern: re.Pattern[str]) -> Source | None:
        found = (s for s in sources if "main" in s.components and any(map(pattern.match, s.suites)))
        return max(found, key=likeness, default=None)

    archive = best(_SUITE)
    if archive is None:
        raise ImageError(
            f"no Debian mirror in {APT_DIR}/sources.list or sources.list.d: name one with --mirror URL "
            "(the address that ends in /debian)"
        )
    return Mirror(archive, best(_SECURITY))


def named_mirror(uri: str) -> Mirror:
    """The mirror that the user named: an archive; its security sibling lies beside it where mirrors put it."""
    uri = uri.rstrip("/")
    security = Source(uri + "-security", (), ("main",)) if uri.endswith("/debian") else None
    return Mirror(Source(uri, (), ("main",)), security)

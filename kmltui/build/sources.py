# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the guest's packages come from: the mirror that the user named, or the host's own Debian mirror.

Reads ``/etc/apt/sources.list`` and ``sources.list.d`` in both formats (one-line and deb822; sources.list(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from kmltui.images.errors import ImageError
from kmltui.images.spec import check_mirror, host_suite

APT_DIR = Path("/etc/apt")
_CODENAMES = r"(?:buster|bullseye|bookworm|trixie|forky|duke|sid|(?:old)*stable|testing|unstable)"
_SUITE = re.compile(rf"({_CODENAMES})(-updates|-security|-backports)?")

EXAMPLE = "http://MIRROR/debian"
"""Form of a mirror's address; www.debian.org/mirror/list has them all."""
_KEYRING = "debian-archive-keyring"

_NO = ("no", "false", "0", "without", "off", "disable")
_MULTIPLE = ("languages", "targets")
_NAMES = {"arch": "architectures", "lang": "languages", "target": "targets"}
"""Options of the one-line format whose fields in a stanza have another name."""

_OURS = ("types", "uris", "suites", "components", "enabled", "architectures", *_MULTIPLE)
"""Fields that are not carried over: they are set elsewhere, or concern things that a guest has no use for."""


class Source(Struct, frozen=True):
    """One place that packages come from."""

    uri: str
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    options: Mapping[str, str] = field(default_factory=dict)
    """Whether and how it is trusted: ``signed-by``, ``trusted``, ``check-valid-until`` and so on, as in a stanza."""

    def stanza(self, suite: str) -> str:
        """The source for ``suite`` alone as a stanza of a ``.sources`` file."""
        fields = {"types": "deb", "uris": self.uri, "suites": suite, "components": "main", "architectures": "amd64"}
        lines = {**fields, **self.options}.items()
        return "".join(f"{name}: {value}".replace("\n", "\n ") + "\n" for name, value in lines) + "\n"


class Entry(Struct, frozen=True):
    """A suite of a source. ``optional``: if it is not available, packages are resolved without it."""

    source: Source
    suite: str
    optional: bool = False


class Mirror(Struct, frozen=True):
    """A Debian archive, its security archive if there is one, and what the host's apt takes from each."""

    archive: Source
    security: Source | None = None
    named: Mapping[str, Source] = field(default_factory=dict)
    """The host's own sources by suite, codenames in place of ``stable`` and the like."""

    def entries(self, suite: str, *, backports: bool = False) -> list[Entry]:
        """Where the packages of the release ``suite`` come from.

        A release that the host uses comes from the host's sources; any other one from the same archives.
        """
        found = []
        if suite in self.named:
            wanted = (suite, f"{suite}-updates", f"{suite}-security")
            taken = ((name, self.named[name]) for name in wanted if name in self.named)
            found += [Entry(source, _own_name(source, name), name != suite) for name, source in taken]
        else:
            found += [Entry(self.archive, suite), Entry(self.archive, f"{suite}-updates", optional=True)]
            if self.security:
                found.append(Entry(self.security, f"{suite}-security", optional=True))
        if backports:
            name = f"{suite}-backports"
            source = self.named.get(name)
            found.append(Entry(source, _own_name(source, name)) if source else Entry(self.archive, name))
        return found


def _own_name(source: Source, name: str) -> str:
    """What ``source`` calls the suite ``name``: perhaps ``stable``."""
    return name if name in source.suites else next(s for s in source.suites if _kind(s) == _kind(name))


def _kind(suite: str) -> str | None:
    """Which part of a release a suite is: empty, ``-updates`` and so on; None: of no release of Debian's."""
    match = _SUITE.fullmatch(suite)
    return (match[2] or "") if match else None


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<rest>[^#]+)", line)
        if not match:
            continue
        words = _words(match["rest"])
        options: dict[str, str] = {}
        for option in _words(match["options"] or ""):
            name, sign, value = option.partition("=")
            if sign and name[-1:] not in ("+", "-"):  # which add to and take from what is the default
                name = name.lower()
                options[_NAMES.get(name, name)] = value if name == "signed-by" else value.replace(",", " ")
        if len(words) >= 2 and _serves_amd64(options):
            yield Source(words[0], (words[1],), tuple(words[2:]), _carried(options))


def _words(text: str) -> list[str]:
    """Words as apt reads them: blanks within quotes belong to a word, the quotes do not."""
    return [word.replace('"', "") for word in re.findall(r'(?:"[^"]*"|[^\s"]|")+', text)]


def _deb822(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n[ \t]*\n", text):
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
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in _NO:
            continue
        if not _serves_amd64(fields):
            continue
        for uri in fields.get("uris", "").split():
            suites, components = (tuple(fields.get(name, "").split()) for name in ("suites", "components"))
            yield Source(uri, suites, components, _carried(fields))


def _serves_amd64(options: Mapping[str, str]) -> bool:
    return "amd64" in options.get("architectures", "amd64").split()


def _carried(options: Mapping[str, str]) -> dict[str, str]:
    names = (name for name in options if name not in _OURS and re.fullmatch(r"[\w-]+", name))
    # The latter add to and take from the host's own default, which is not the guest's.
    return {name: options[name] for name in names if not name.endswith(("-add", "-remove"))}


def read_sources(apt_dir: Path = APT_DIR) -> list[Source]:
    """All enabled package sources of the host. Unreadable files are skipped, as apt does for a user."""
    sources: list[Source] = []
    parts = apt_dir / "sources.list.d"
    for path in [apt_dir / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        sources.extend(_deb822(text) if path.suffix == ".sources" else _one_line(text))
    return sources


def host_mirror(sources: list[Source], release: str | None = None) -> Mirror:
    """The Debian mirror among ``sources`` of a host that runs ``release`` (default: this one's).

    Other vendors use Debian's suite names too, so among several the one that looks most like Debian's own wins:
    signed by Debian's keyring, then with ``/debian`` at the end. Raises :class:`ImageError` if there is none.
    """
    release = release or host_suite() or ""

    def likeness(source: Source) -> tuple[bool, bool, bool]:
        path = source.uri.rstrip("/")
        own_name = path.endswith(("/debian", "/debian-security"))
        return "debian-archive" in source.options.get("signed-by", ""), own_name, "snapshot" not in path

    by_suite: dict[str, Source] = {}
    by_kind: dict[str, Source] = {}
    # The likeliest first; of equals the first in the host's own order.
    for source in sorted((s for s in sources if "main" in s.components), key=likeness, reverse=True):
        for suite in source.suites:
            if (match := _SUITE.fullmatch(suite)) is None:
                continue
            kind = match[2] or ""
            by_kind.setdefault(kind, source)
            alias = match[1].endswith("stable") or match[1] == "testing"
            by_suite.setdefault(f"{release}{kind}" if alias and release else suite, source)
    if "" not in by_kind:
        raise ImageError(
            f"there is no Debian mirror in {APT_DIR}/sources.list or sources.list.d; name one, for example with "
            f"'kmltui guest build --mirror {EXAMPLE}' (www.debian.org/mirror/list has them all)"
        )
    return Mirror(by_kind[""], by_kind.get("-security"), by_suite)


def named_mirror(uri: str, etc: Path = Path("/etc"), keyrings: Path = Path("/usr/share/keyrings")) -> Mirror:
    """The mirror that the user named; its security archive is in the usual place beside it.

    If apt does not trust Debian's keys by itself, as on Ubuntu, they are taken from the package that has them.
    Raises :class:`ImageError` if this is not the address of a mirror, or if that package is needed and missing.
    """
    uri = check_mirror(uri).rstrip("/")
    options = _trust(etc, keyrings)
    return Mirror(
        Source(uri, options=options), Source(uri + "-security", options=options) if uri.endswith("/debian") else None
    )


def _trust(etc: Path, keyrings: Path) -> dict[str, str]:
    """The options of a source of Debian's by which this machine's apt trusts it."""
    if any((etc / "apt/trusted.gpg.d").glob("debian-archive-*")):
        return {}
    found = next((path for path in (keyrings / f"{_KEYRING}.{end}" for end in ("pgp", "gpg")) if path.exists()), None)
    if found is not None:
        return {"signed-by": str(found)}
    raise ImageError(
        f"this machine's apt does not know Debian's keys, so that what a mirror says cannot be checked: "
        f"install the package {_KEYRING}"
    )

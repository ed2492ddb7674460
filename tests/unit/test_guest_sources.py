"""Which mirror the guest's packages come from: the host's own, in either format of apt's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmltui.build.sources import host_mirror, named_mirror, read_sources
from kmltui.images.errors import ImageError


def configure(directory: Path, **files: str) -> Path:
    (directory / "sources.list.d").mkdir()
    for name, text in files.items():
        place = {
            "one_line": "sources.list",
            "more": "sources.list.d/more.list",
            "deb822": "sources.list.d/debian.sources",
        }
        (directory / place[name]).write_text(text)
    return directory


def test_one_line_format(tmp_path: Path) -> None:
    text = (
        "# a comment\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        "http://mirror.example/debian bookworm main contrib # why\n"
        "deb http://mirror.example/debian-security bookworm-security main\n"
    )
    mirror = host_mirror(read_sources(configure(tmp_path, one_line=text)))
    assert mirror.archive.uri == "http://mirror.example/debian"
    assert mirror.archive.signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert mirror.security is not None and mirror.security.uri == "http://mirror.example/debian-security"


def test_deb822_format(tmp_path: Path) -> None:
    text = (
        "Types: deb deb-src\n# a comment\nURIs: http://one.example/debian\nSuites: trixie trixie-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://two.example/debian-security\nSuites: trixie-security\nComponents:\n main\n contrib\n"
    )
    mirror = host_mirror(read_sources(configure(tmp_path, deb822=text)))
    assert mirror.archive.uri == "http://one.example/debian"
    assert mirror.security is not None and mirror.security.uri == "http://two.example/debian-security"


def test_a_key_within_the_file_is_left_to_apts_own_keyring(tmp_path: Path) -> None:
    text = (
        "Types: deb\nURIs: http://one.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    assert host_mirror(read_sources(configure(tmp_path, deb822=text))).archive.signed_by == ""


@pytest.mark.parametrize(
    "text",
    [
        "Types: deb\nEnabled: no\nURIs: http://one.example/debian\nSuites: trixie\nComponents: main\n",
        "Types: deb-src\nURIs: http://one.example/debian\nSuites: trixie\nComponents: main\n",
        "Types: deb\nURIs: http://one.example/debian\nSuites: trixie\nComponents: main\nArchitectures: arm64\n",
        "Types: deb\nURIs: http://one.example/tools\nSuites: nodistro\nComponents: main\n",
    ],
)
def test_sources_that_hold_no_debian_are_no_mirror(tmp_path: Path, text: str) -> None:
    with pytest.raises(ImageError, match="--mirror"):
        host_mirror(read_sources(configure(tmp_path, deb822=text)))


def test_another_vendor_with_debians_suite_names_does_not_win(tmp_path: Path) -> None:
    vendor = "deb http://vendor.example/project bookworm main\n"
    debian = "deb http://mirror.example/debian bookworm main\n"
    assert host_mirror(read_sources(configure(tmp_path, one_line=vendor, more=debian))).archive.uri.endswith("/debian")


def test_a_host_without_configuration_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no Debian mirror"):
        host_mirror(read_sources(tmp_path / "nowhere"))


def test_a_named_mirror_has_its_security_archive_beside_it() -> None:
    mirror = named_mirror("http://mirror.example/debian/")
    assert mirror.archive.uri == "http://mirror.example/debian"
    assert mirror.security is not None and mirror.security.uri == "http://mirror.example/debian-security"
    assert named_mirror("http://mirror.example/snapshot").security is None

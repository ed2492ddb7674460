# SPDX-License-Identifier: GPL-2.0-or-later
"""Which mirror the guest's packages come from: the host's own, in either format of apt's configuration."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from kmltui import cli
from kmltui.build import apt
from kmltui.build.sources import Mirror, host_mirror, named_mirror, read_sources
from kmltui.images.errors import ImageError
from kmltui.images.spec import make_spec


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
    assert mirror.archive.options["signed-by"] == "/usr/share/keyrings/debian-archive-keyring.gpg"
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


def test_a_key_within_the_file_is_handed_on(tmp_path: Path) -> None:
    text = (
        "Types: deb\nURIs: http://one.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    archive = host_mirror(read_sources(configure(tmp_path, deb822=text))).archive
    assert "signed-by: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n" in archive.stanza("trixie")


def test_what_the_host_says_of_its_sources_holds_for_the_guest_too(tmp_path: Path) -> None:
    text = (
        "deb [trusted=yes check-valid-until=no arch=amd64,i386 lang=de signed-by=/a.gpg,/b.gpg] "
        "file:/srv/debian bookworm main\n"
    )
    (one,) = host_mirror(read_sources(configure(tmp_path, one_line=text)), "bookworm").entries("bookworm")
    assert one.source.stanza(one.suite) == (
        "types: deb\nuris: file:/srv/debian\nsuites: bookworm\ncomponents: main\narchitectures: amd64\n"
        "trusted: yes\ncheck-valid-until: no\nsigned-by: /a.gpg,/b.gpg\n\n"
    )


def suites(mirror: Mirror, suite: str, *, backports: bool = False) -> list[str]:
    entries = mirror.entries(suite, backports=backports)
    return [f"{e.source.uri.rpartition('/')[2]} {e.suite}{'?' if e.optional else ''}" for e in entries]


def test_the_suites_are_those_that_the_host_names(tmp_path: Path) -> None:
    text = "deb http://m.example/debian bookworm main\ndeb http://m.example/other bookworm-updates main\n"
    mirror = host_mirror(read_sources(configure(tmp_path, one_line=text)), "bookworm")
    assert suites(mirror, "bookworm") == ["debian bookworm", "other bookworm-updates?"]
    assert suites(mirror, "trixie") == ["debian trixie", "debian trixie-updates?"], "a release that the host has not"
    assert suites(mirror, "bookworm", backports=True)[-1] == "debian bookworm-backports"


def test_a_host_that_says_stable_is_asked_for_stable(tmp_path: Path) -> None:
    text = "deb http://m.example/debian stable main\ndeb http://m.example/debian-security stable-security main\n"
    mirror = host_mirror(read_sources(configure(tmp_path, one_line=text)), "bookworm")
    assert suites(mirror, "bookworm") == ["debian stable", "debian-security stable-security?"]
    assert suites(mirror, "trixie")[-1] == "debian-security trixie-security?"


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


@pytest.mark.parametrize(
    "uri",
    [
        "[trusted=yes] file:///srv/evil",
        "http://mirror.example/debian bookworm main\ndeb [trusted=yes] file:///srv/evil",
        "http://mirror.example/debian\n",
        "http://mirror.example/de bian",
        "http://mirror.example/[x]/debian",
        "copy:/srv/evil",
        "cdrom:/x",
        "ssh://mirror.example/debian",
        "/srv/debian",
        "http:",
        "http://a\u202eb",
        "\x1b[31mhttp://a",
    ],
)
def test_what_is_not_the_address_of_a_mirror_never_reaches_apt(uri: str) -> None:
    for entrance in (named_mirror, lambda uri: make_spec(mirror=uri)):
        with pytest.raises(ImageError, match="not the address of a mirror") as error:
            entrance(uri)
        assert str(error.value).isprintable()


def test_the_mirrors_that_apt_knows_for_everybody_are_taken() -> None:
    for uri in ("http://m.example/debian", "https://u:p@m.example:8080/x", "file:/srv/debian", "file:///srv/debian"):
        assert named_mirror(uri).archive.uri == make_spec(mirror=uri).mirror == uri


class TestWhoVouchesForANamedMirror:
    @pytest.fixture
    def etc(self, tmp_path: Path) -> Path:
        (tmp_path / "etc/apt/trusted.gpg.d").mkdir(parents=True)
        return tmp_path / "etc"

    def test_an_apt_that_trusts_debian_needs_no_keyring(self, etc: Path, tmp_path: Path) -> None:
        (etc / "apt/trusted.gpg.d/debian-archive-bookworm-stable.asc").touch()
        assert named_mirror("http://m/debian", etc, tmp_path).archive.options == {}

    @pytest.mark.parametrize("end", ["gpg", "pgp"])
    def test_on_ubuntu_it_is_the_keyring_of_the_package(self, etc: Path, tmp_path: Path, end: str) -> None:
        keyring = tmp_path / f"debian-archive-keyring.{end}"
        keyring.touch()
        mirror = named_mirror("http://m/debian", etc, tmp_path)
        assert mirror.security is not None
        assert mirror.archive.options == mirror.security.options == {"signed-by": str(keyring)}

    def test_without_it_the_package_is_named(self, etc: Path, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="install the package debian-archive-keyring"):
            named_mirror("http://m/debian", etc, tmp_path)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://user:S3cret@mirror.example/debian",
        "http://user:S3cret@mirror.example/deb ian",
        "http://user:S3c ret@mirror.example/debian",
        "http://user:p@S3cret@mirror.example/[debian",
        "http:user:S3cret@mirror.example/debian",
        "user:S3cret@mirror.example/debian",
        "http//user:S3cret@mirror.example/debian",
        "user:S3cret@mirror.example//debian",
    ],
)
def test_a_mirrors_password_is_not_repeated_in_the_error(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, why in (["--mirror", uri], "not the address of a mirror"), ([uri], "one argument too many"):
        assert cli.run(["guest", "build", *arguments]) != 0
        said = "".join(capsys.readouterr())
        assert why in said and "mirror.example" in said
        assert "S3c" not in said and "ret@" not in said and "user" not in said


def test_quotes_in_the_one_line_format_are_those_of_apt(tmp_path: Path) -> None:
    text = 'deb [signed-by="/usr/share/key rings/a.gpg" "trusted=yes"] "http://m.example/debian" bookworm main\n'
    (source,) = read_sources(configure(tmp_path, one_line=text))
    assert source.uri == "http://m.example/debian"
    assert source.options == {"signed-by": "/usr/share/key rings/a.gpg", "trusted": "yes"}


def test_what_adds_to_the_hosts_defaults_is_not_carried_over(tmp_path: Path) -> None:
    text = (
        "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\nTrusted: yes\n"
        "Architectures-Add: i386\nArchitectures-Remove: amd64\nTargets-Add: Contents-deb\nLanguages-Remove: en\n"
    )
    (source,) = read_sources(configure(tmp_path, deb822=text))
    assert source.options == {"trusted": "yes"}


@pytest.mark.skipif(not shutil.which("apt-get"), reason="there is no apt here")
def test_a_mirrors_password_is_not_repeated_when_it_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(apt, "_host_access", lambda: 'Acquire::Retries "0";\n')  # it would wait between them
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "ho\"me';[x] \\"))
        mirror = f"http://user:S3cret@127.0.0.1:{port}/debian"
        assert cli.run(["guest", "build", "--mirror", mirror]) != 0
    said = "".join(capsys.readouterr())
    assert f"127.0.0.1:{port}" in said, "apt was asked, from a directory with quotes in its name, too"
    assert "S3cret" not in said and "user" not in said

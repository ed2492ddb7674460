# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``doctor`` finds, and what it advises."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmltui.build import doctor
from kmltui.build.doctor import Check
from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.machine import memory, qemu


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    return tmp_path


def found(name: str) -> Check:
    return next(check for check in doctor.check_all() if check.name == name)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: "/usr/bin/apt-get" if program == "apt-get" else None)
    qemu.qemu_version.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("name", "package"),
    [("qemu", "qemu-system-x86"), ("gcc", "gcc"), ("make", "make"), ("dpkg-deb", "dpkg"), ("libc.a", "libc6-dev")],
)
def test_what_is_missing_comes_with_the_command_that_mends_it(name: str, package: str) -> None:
    check = found(name)
    assert check.status == "missing" and check.remedy.endswith(f"apt-get install -y {package}")


@pytest.mark.usefixtures("nothing_installed")
def test_a_kvm_that_was_tried_with_a_qemu_that_has_gone_is_one_that_was_not_tried(home: Path) -> None:
    (home / "cache/guest").mkdir(parents=True)
    (home / "cache/guest/kvm.json").write_text('{"6.1 7.2 boot": {"works": true, "reason": ""}}')
    assert found("qemu").status == "missing"


@pytest.mark.usefixtures("nothing_installed")
def test_with_an_image_at_hand_no_compiler_is_needed() -> None:
    (store.root() / "images").mkdir(parents=True)
    (store.root() / "images/some.json").touch()
    assert found("gcc").status == "note"
    assert found("qemu").status == "missing"


@pytest.mark.usefixtures("nothing_installed")
def test_a_user_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert found("make").remedy == "sudo apt-get install -y make"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert found("make").remedy == "apt-get install -y make"


def test_where_there_is_no_apt_an_image_comes_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    qemu.qemu_version.cache_clear()
    assert "guest import FILE" in found("apt-get").remedy and "guest fetch URL" in found("apt-get").remedy
    assert "apt-get install" not in " ".join(check.remedy for check in doctor.check_all())
    assert "qemu-system-x86 with this system's package manager" in found("qemu").remedy


class TestUbuntu:
    """apt without a Debian mirror in its sources."""

    @pytest.fixture(autouse=True)
    def no_debian_mirror(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "read_sources", list)
        monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")

    def test_the_question_of_the_mirror_comes_before_a_run(self) -> None:
        check = found("mirror")
        assert check.status == "missing"
        assert check.remedy.startswith("kmltui guest build --mirror http://MIRROR/debian")

    def test_debians_keys_are_named_with_their_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_uri: str) -> None:
            raise ImageError("no keys")

        monkeypatch.setattr(doctor, "named_mirror", refuse)
        assert "apt-get install -y debian-archive-keyring, then kmltui guest build" in found("mirror").remedy

    def test_with_an_image_at_hand_none_is_needed(self) -> None:
        (store.root() / "images").mkdir(parents=True)
        (store.root() / "images/some.json").touch()
        assert found("mirror").status == "note"


def test_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 1536 << 20)
    check = found("memory")
    assert check.status == "note" and check.detail.startswith("1.5 GiB free; two guests need 2.4")


def test_a_machine_of_another_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert found("system").status == "missing" and "aarch64" in found("system").detail


def test_a_small_disk_is_told_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: 5 << 20)
    assert found("disk").status == "missing" and "KMLTUI_HOME" in found("disk").remedy


def test_without_kvm_it_is_slow_but_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    check = found("kvm")
    assert check.status == "note" and "emulation" in check.detail

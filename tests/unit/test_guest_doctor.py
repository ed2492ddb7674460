"""What ``doctor`` finds, and what it advises."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmltui.build import doctor
from kmltui.build.doctor import Check
from kmltui.images import store
from kmltui.machine import qemu


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    return tmp_path


def found(name: str) -> Check:
    return next(check for check in doctor.check_all() if check.name == name)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    qemu.qemu_version.cache_clear()


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("name", "package"),
    [("qemu", "qemu-system-x86"), ("gcc", "gcc"), ("make", "make"), ("apt-get", "apt"), ("libc.a", "libc6-dev")],
)
def test_what_is_missing_comes_with_the_command_that_mends_it(name: str, package: str) -> None:
    check = found(name)
    assert check.status == "missing" and check.remedy.endswith(f"apt-get install -y {package}")


@pytest.mark.usefixtures("nothing_installed")
def test_with_an_image_at_hand_no_compiler_is_needed() -> None:
    (store.root() / "images").mkdir(parents=True)
    (store.root() / "images/some.json").touch()
    assert found("gcc").status == "note"
    assert found("qemu").status == "missing"


def test_a_user_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _program: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert found("make").remedy == "sudo apt-get install -y make"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert found("make").remedy == "apt-get install -y make"


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

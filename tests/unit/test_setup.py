# SPDX-License-Identifier: GPL-2.0-or-later
"""``tools/setup`` on machines that lack things, with made-up programs in a PATH of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cksum", "cp", "dirname", "env", "head", "mkdir", "rm", "tee", "tr", "uname")

PYTHON = f"""
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "venv" >>"$LOG" ;;
"-m pip") echo "pip ${{@: -1}}" >>"$LOG" ;;
"-c import kmltui.model" | "-c import pip" | "-c import ensurepip, venv") ;;
*) exec {sys.executable} "$@" ;;
esac
"""
APT = 'echo "apt-get $*" >>"$LOG"'
THERE = {
    "python3": PYTHON,
    "qemu-system-x86_64": "",
    "gcc": "",
    "g++": "",
    "make": "",
    "apt-get": APT,
    "chromedriver": "",
    "id": "echo 1000",
}


class Machine:
    """A checkout on a machine that has nothing but ``programs``."""

    def __init__(self, home: Path, programs: dict[str, str]) -> None:
        self.checkout = home / "a checkout"
        self.log = home / "log"
        self._bin = home / "bin"
        self._bin.mkdir()
        for name in TOOLS:
            (self._bin / name).symlink_to(shutil.which(name) or name)
        for name, script in programs.items():
            self.add(name, script)
        (self.checkout / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools/setup", self.checkout / "tools")
        shutil.copy(ROOT / "pyproject.toml", self.checkout)

    def add(self, name: str, script: str) -> None:
        program = self._bin / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        environment = {"PATH": str(self._bin), "LOG": str(self.log), "HOME": str(self.checkout)}
        command = [self.checkout / "tools/setup", *arguments]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    @property
    def done(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture(autouse=True)
def _has_debians_keys() -> None:
    if not any(Path(f"/usr/share/keyrings/debian-archive-keyring.{end}").exists() for end in ("gpg", "pgp")):
        pytest.skip("the script asks for Debian's keys here")


def test_where_everything_is_there_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THERE)  # no sudo, and nothing of /usr/sbin in PATH
    result = machine.setup()
    assert result.returncode == 0, result.stderr
    assert machine.done == ["venv", "pip ."]


def test_the_second_time_nothing_is_done(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THERE)
    machine.setup()
    assert machine.setup().stderr == ""
    assert machine.done == []


@pytest.mark.parametrize(
    ("gone", "packages"),
    [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("gcc", "gcc libc6-dev"),
        ("make", "make"),
        ("python3", "python3 python3-venv"),
    ],
)
def test_what_is_missing_is_installed_with_what_it_is_for(tmp_path: Path, gone: str, packages: str) -> None:
    machine = Machine(tmp_path, {**THERE, "sudo": 'shift 0; case $1 in --version|true) ;; *) exec "$@" ;; esac'})
    (tmp_path / "bin" / gone).unlink()
    result = machine.setup()
    wanted = [
        "apt-get --version",
        "apt-get update -qq",
        f"apt-get install -y -qq --no-install-recommends {packages}",
    ]
    assert machine.done[:3] == wanted, result.stderr
    for package in packages.split():
        assert f"{package}: " in result.stderr


def test_a_c_library_that_cannot_be_linked_with_is_asked_for(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {**THERE, "gcc": '[ "$1" = --version ]'})
    result = machine.setup()
    assert result.returncode == 3
    assert "apt-get install -y --no-install-recommends libc6-dev" in result.stderr


def test_without_sudo_the_command_for_root_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THERE)
    (tmp_path / "bin/make").unlink()
    result = machine.setup()
    assert result.returncode == 3
    assert "as root, run: apt-get install -y --no-install-recommends make" in result.stderr


def test_a_refused_sudo_is_told_as_that(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {**THERE, "sudo": '[ "$1" = --version ]'})
    (tmp_path / "bin/make").unlink()
    result = machine.setup()
    assert result.returncode == 3
    assert "sudo did not let you in" in result.stderr
    assert "network" not in result.stderr


def test_where_there_is_no_apt_the_way_to_an_image_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path, THERE)
    for name in ("apt-get", "qemu-system-x86_64"):
        (tmp_path / "bin" / name).unlink()
    result = machine.setup()
    assert result.returncode == 0
    assert "qemu-system-x86: the virtual machines" in result.stderr
    assert "kmltui guest import FILE" in result.stderr
    assert "apt-get install" not in result.stderr


@pytest.mark.parametrize(("gone", "packages"), [("g++", "g++"), ("chromedriver", "chromium chromium-driver")])
def test_what_only_the_tests_need_is_installed_for_them_alone(tmp_path: Path, gone: str, packages: str) -> None:
    machine = Machine(tmp_path, {**THERE, "id": "echo 0"})
    (tmp_path / "bin" / gone).unlink()
    assert "missing" not in machine.setup().stderr
    machine.setup("dev")
    assert any(line.endswith(f"--no-install-recommends {packages}") for line in machine.done), machine.done


class TestAnEnvironmentThatIsNoGoodHeals:
    @pytest.fixture
    def machine(self, tmp_path: Path) -> Machine:
        machine = Machine(tmp_path, THERE)
        assert machine.setup("dev").returncode == 0
        assert machine.done == ["venv", "pip .[dev]"]
        return machine

    def test_the_tests_environment_does_for_the_demo(self, machine: Machine) -> None:
        machine.setup()
        assert machine.done == []
        machine.setup("dev")
        assert machine.done == []

    def test_moved(self, machine: Machine) -> None:
        machine.checkout = machine.checkout.rename(machine.checkout.parent / "elsewhere")
        machine.setup("dev")
        assert machine.done == ["venv", "pip .[dev]"]

    def test_interrupted_while_it_was_made(self, machine: Machine) -> None:
        for stamp in (machine.checkout / ".venv").glob(".installed*"):
            stamp.unlink()
        machine.setup()
        assert machine.done == ["venv", "pip ."]

    def test_its_python_has_gone(self, machine: Machine) -> None:
        python = machine.checkout / ".venv/bin/python"
        python.unlink()
        python.symlink_to("/nonexistent/python3")
        machine.setup()
        assert machine.done == ["venv", "pip ."]

    def test_the_system_has_another_python_now(self, machine: Machine) -> None:
        other = 'case "$2" in *sys.version.replace*) echo 3.99 ;; *) ' + PYTHON + " ;; esac"
        machine.add("python3", other)
        machine.setup()
        assert machine.done == ["venv", "pip ."]

    def test_other_dependencies_are_installed_into_it(self, machine: Machine) -> None:
        with (machine.checkout / "pyproject.toml").open("a") as stream:
            stream.write("# changed\n")
        machine.setup("dev")
        assert machine.done == ["pip .[dev]"]


def test_the_script_is_plain_shell() -> None:
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n", ROOT / "tools/setup"], check=False).returncode == 0
    assert os.access(ROOT / "tools/setup", os.X_OK)

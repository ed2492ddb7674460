# SPDX-License-Identifier: GPL-2.0-or-later
"""What is published: the same twice, whole, and of use where no guest can run."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
MAC = {"sys_platform": "darwin", "platform_machine": "arm64", "platform_system": "Darwin", "extra": ""}
GUESTS_ONLY = {"qemu-qmp", "capstone", "pyelftools"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sdist and the wheel, built twice at different times."""
    homes = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    for home in homes:
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(home)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return homes


@pytest.mark.slow
def test_two_builds_are_equal_byte_for_byte(built: list[Path]) -> None:
    first, second = ({path.name: path.read_bytes() for path in home.iterdir()} for home in built)
    assert len(first) == 2
    assert first == second


@pytest.mark.slow
def test_the_sdist_can_do_both_commands_of_the_readme(built: list[Path]) -> None:
    with tarfile.open(next(built[0].glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        setup = next(member for member in archive if member.name.endswith("tools/setup"))
    assert setup.mode & 0o100
    needed = {
        "Makefile",
        "pyproject.toml",
        "tools/setup",
        "tests/unit/test_packaging.py",
        "recordings/wisconsin.kmlrec",
    }
    assert needed <= names


def requirements(name: str, environment: dict[str, str]) -> Iterator[Requirement]:
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


def closure(wheel: Path, environment: dict[str, str]) -> set[str]:
    """The names of all distributions that the wheel brings where ``environment`` is the machine's."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    lines = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    open_ = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate(environment)]
    found: set[str] = set()
    while open_:
        requirement = open_.pop()
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            extras = [requirements(requirement.name, environment | {"extra": extra}) for extra in requirement.extras]
            open_ += [*requirements(requirement.name, environment), *(each for extra in extras for each in extra)]
    return found


def top_level(found: Distribution) -> set[Path]:
    """What of a distribution lies directly in site-packages."""
    names = {Path(file).parts[0] for file in found.files or () if not str(file).startswith((".", "/"))}
    return {Path(str(found.locate_file(name))) for name in names if name != "__pycache__"}


@pytest.mark.slow
def test_where_no_guest_can_run_recordings_are_replayed_with_what_the_wheel_brings(
    built: list[Path], tmp_path: Path
) -> None:
    wheel = next(built[0].glob("*.whl"))
    linux = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "extra": ""}
    assert closure(wheel, linux) >= GUESTS_ONLY
    names = closure(wheel, MAC)
    assert not GUESTS_ONLY & names
    packages = tmp_path / "packages"
    packages.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for name in names:
        for path in top_level(distribution(name)):
            if not (packages / path.name).exists():
                (packages / path.name).symlink_to(path)
    environment = {"PATH": "/nonexistent", "HOME": str(tmp_path), "LANG": "C.UTF-8", "PYTHONPATH": str(packages)}

    def kmltui(*arguments: str, **options: object) -> str:
        command = [sys.executable, "-S", "-m", "kmltui", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    recording = str(ROOT / "recordings/wisconsin.kmlrec")
    assert "CPU seconds" in kmltui("report", recording)
    kmltui("export", recording, "--format", "asciicast", "--speed", "64", "-o", str(tmp_path / "film.cast"))
    assert (tmp_path / "film.cast").stat().st_size > 10_000
    assert "wisconsin" in kmltui("workloads")


OURS = {".py", ".c", ".cc", ".h", ".S", ".go", ".lua", ".sh", ".js", ".css", ".tcss", ".toml"}


@pytest.mark.parametrize("directory", ["kmltui", "tests", "samples", "benchmarks", "styles", "tools"])
def test_every_source_file_says_its_licence(directory: str) -> None:
    sources = [
        path for path in (ROOT / directory).rglob("*") if path.suffix in OURS and "__pycache__" not in path.parts
    ]
    assert sources
    without = [
        str(path.relative_to(ROOT))
        for path in sources
        if "SPDX-License-Identifier: GPL-2.0-or-later" not in "".join(path.read_text().splitlines(True)[:2])
    ]
    assert not without

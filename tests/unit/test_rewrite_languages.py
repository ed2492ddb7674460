# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that no unwinding information describes: Go's, by its own table, and those with musl, by their symbols."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kmltui.kml.rewrite import FileReport, rewrite_elf

PROGRAMS = Path(__file__).parent.parent / "programs" / "languages"
WORKED = {"httpserver.go": "490\n", "musl.c": "100 3\n"}


def build(name: str, out: Path, *flags: str) -> Path:
    """A static program; skips where there is no compiler for it."""
    source = PROGRAMS / name
    compiler = "go" if source.suffix == ".go" else "musl-gcc"
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    if compiler == "go":
        env = os.environ | {"CGO_ENABLED": "0", "GO111MODULE": "off", "GOCACHE": str(out.parent / "cache")}
        command = ["go", "build", *flags, "-o", str(out), str(source)]
    else:
        env, command = dict(os.environ), ["musl-gcc", "-O2", "-static", *flags, "-o", str(out), str(source)]
    subprocess.run(command, check=True, env=env)
    return out


def rewritten(program: Path) -> FileReport:
    """Rewrite it in place."""
    result = rewrite_elf(program.read_bytes(), program.name)
    assert result is not None and result.data is not None, result
    program.write_bytes(result.data)
    return result.report


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-ldflags=-s -w",)], ids=["whole", "stripped"])
def test_a_go_server_answers_as_before(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = build("httpserver.go", tmp_path / "server", *flags)
    left = {site.number for site in rewritten(program).sites if site.method == "left alone"}
    assert left == {15}, "all but the return from a signal handler"
    done = subprocess.run([program, "50"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (WORKED["httpserver.go"], "", 0)


def test_a_program_with_musl_works_as_before(tmp_path: Path) -> None:
    program = build("musl.c", tmp_path / "program")
    report = rewritten(program)
    assert sum(site.method == "left alone" for site in report.sites) < len(report.sites) / 8
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (WORKED["musl.c"], "", 0)


def test_the_loader_of_musl_is_known_and_starts_programs(tmp_path: Path) -> None:
    loader = Path("/lib/ld-musl-x86_64.so.1")
    if not loader.exists() or not shutil.which("musl-gcc"):
        pytest.skip("no musl")
    program = tmp_path / "program"
    subprocess.run(["musl-gcc", "-O2", "-o", program, PROGRAMS / "musl.c"], check=True)
    copy = tmp_path / "ld-musl-x86_64.so.1"
    shutil.copy(loader, copy)
    rewritten(copy)
    done = subprocess.run([copy, program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (WORKED["musl.c"], "", 0)

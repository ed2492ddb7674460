# SPDX-License-Identifier: GPL-2.0-or-later
"""Any program runs in ring 0: of the image or brought along, whatever starts it, whatever it was compiled by."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kmltui.counters import parse_kml_counters, parse_trap_sites
from kmltui.images.image import Image
from kmltui.kml.rewrite import rewrite_elf

from .conftest import Guest

KMLTUI = [sys.executable, "-m", "kmltui"]
LANGUAGES = Path(__file__).parent.parent / "programs" / "languages"


Done = tuple[subprocess.CompletedProcess[bytes], dict[str, Any]]
"""A run of the command line, and its report."""


def build(out: Path) -> bytes:
    """A static program with musl, rewritten; skips where there is no compiler for it."""
    if not shutil.which("musl-gcc"):
        pytest.skip("no musl-gcc")
    subprocess.run(["musl-gcc", "-O2", "-static", "-o", out, LANGUAGES / "musl.c"], check=True)
    result = rewrite_elf(out.read_bytes())
    assert result is not None and result.data is not None
    return result.data


async def direct_share(guest: Guest, command: list[str]) -> tuple[str, float]:
    """What a command writes, and the share of direct calls among all that the session makes meanwhile."""
    counters = []
    for step in (None, command):
        out = await guest.check(step) if step else ""
        text = await guest.session.get("/proc/kml/counters")
        counters.append(parse_kml_counters(text.decode()))
    before, after = counters
    direct = sum(after.direct_nr.values()) - sum(before.direct_nr.values())
    trap = sum(after.trap_nr.values()) - sum(before.trap_nr.values())
    return out, direct / (direct + trap)


class TestRun:
    @pytest.fixture(scope="class")
    def done(self, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Done:
        recording = tmp_path_factory.mktemp("run") / "run.kmlrec"
        command = ["run", "--headless", "--image", image.name, "--out", str(recording), "--put", __file__]
        script = f"head -c 8000000 /dev/zero | sha256sum; cat; wc -l < {Path(__file__).name}; echo problem >&2; exit 3"
        words = [*KMLTUI, *command, "--", "sh", "-c", script]
        result = subprocess.run(words, input=b"piped\n", capture_output=True, timeout=300, check=False)
        report = subprocess.run([*KMLTUI, "report", str(recording), "--json"], capture_output=True, check=True)
        return result, json.loads(report.stdout)

    def test_output_input_and_status_are_the_commands(self, done: Done) -> None:
        result, _ = done
        lines = result.stdout.decode().splitlines()
        assert result.returncode == 3, result.stderr
        assert lines[:2] == [f"{hashlib.sha256(bytes(8_000_000)).hexdigest()}  -", "piped"]
        assert lines[2] == str(len(Path(__file__).read_text().splitlines()))
        assert b"problem" in result.stderr and b"status 3" in result.stderr

    def test_its_calls_are_direct(self, done: Done) -> None:
        _, report = done
        calls = report["sessions"]["kml"]["syscalls"]
        assert calls["direct"] / (calls["direct"] + calls["trap"]) > 0.9

    def test_they_are_counted_by_program(self, done: Done) -> None:
        _, report = done
        sessions = report["sessions"]
        programs = sessions["kml"]["programs"]
        assert sum(program["direct"] for program in programs.values()) == sessions["kml"]["syscalls"]["direct"]
        assert 0 < sum(program["trap"] for program in programs.values()) <= sessions["kml"]["syscalls"]["trap"]
        assert max(program["direct_share"] for program in programs.values()) > 0.9
        assert not sessions["stock"].get("programs")


class TestInRing0:
    async def test_children_by_absolute_path_and_interpreters_of_scripts(self, kml: Guest) -> None:
        script = "#!/usr/bin/perl\nopen F, '<', '/proc/kml/attached'; print <F>; system('/bin/cat /proc/kml/attached')"
        await kml.session.put("/opt/bin/script", script.encode(), 0o755)
        out = await kml.check(["/bin/sh", "-c", "/opt/bin/script"])
        names = [line.split()[1] for line in out.splitlines()]
        assert names == ["script", "script", "cat"]

    async def test_where_it_trapped_is_known_when_it_has_ended(self, kml: Guest) -> None:
        async def by_place() -> dict[tuple[str, int], int]:
            text = (await kml.session.get("/proc/kml/sites")).decode()
            return {(site.file, site.offset): site.count for site in parse_trap_sites(text)}

        before = await by_place()
        # Returning from a handler of a signal traps.
        await kml.check(["/usr/bin/perl", "-e", "$SIG{USR1} = sub {}; kill USR1 => $$ for 1..50"])
        new = {place: count - before.get(place, 0) for place, count in (await by_place()).items()}
        assert any(count >= 50 and file.endswith("libc.so.6") for (file, _), count in new.items()), new

    async def test_a_static_program_without_unwinding_information(self, kml: Guest, tmp_path: Path) -> None:
        program = await asyncio.to_thread(build, tmp_path / "program")
        await kml.session.put("/opt/bin/program", program, 0o755)
        out, share = await direct_share(kml, ["/opt/bin/program"])
        assert out == "100 3\n"
        assert share > 0.9

# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads that are shell commands, run here by this machine's shell: what is measured, checked and refused."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kmltui import workloads
from kmltui.model import Progress, Proof, Record, SessionSpec
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command
from kmltui.workloads import Context, UsageError, Workload, WorkloadError
from kmltui.workloads.script import Script, ScriptWorkload

DOCUMENTED = Path(__file__).parents[2] / "docs/workloads.md"


class Here:
    """A program of this machine, as a session's."""

    pid = 1

    def __init__(self, command: Command) -> None:
        self._process = subprocess.Popen(
            list(command.argv), env={**os.environ, **command.env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    async def lines(self) -> AsyncIterator[tuple[str, str]]:
        out, err = await asyncio.to_thread(self._process.communicate)
        for stream, data in (("stdout", out), ("stderr", err)):
            for line in data.decode().splitlines():
                yield stream, line

    async def wait(self) -> int:
        return await asyncio.to_thread(self._process.wait)

    async def kill(self, signal: int = 15) -> None:
        self._process.send_signal(signal)


RINGS = b"redis server 2 100\nsh 100 100\nsh 98 100\nnot a line of ours\n"


class Machine:
    """A session that is this machine, but for a ``/run`` of its own."""

    def __init__(self, arm: str = "stock") -> None:
        self._run = tempfile.TemporaryDirectory()
        self.spec = SessionSpec(name=arm, arm=arm)  # type: ignore[arg-type]
        self.started: list[Command] = []

    async def spawn(self, command: Command) -> Here:
        self.started.append(command)
        return Here(replace(command, argv=[word.replace("/run/", f"{self._run.name}/") for word in command.argv]))

    async def sample(self, mark: str) -> None: ...

    async def get(self, path: str) -> bytes:
        return RINGS if "rings" in path else b"no port is free\n"


async def perform(
    workload: Workload, loops: int | None = None, arm: str = "stock", **options: str
) -> tuple[list[Record], Machine]:
    records: list[Record] = []
    machine = Machine(arm)
    spec = workload.spec(loops=loops, options=options)
    ctx = Context(session=machine, spec=spec, journal=Journal(lambda: 1, records.append))  # type: ignore[arg-type]
    await workload.prepare(ctx)
    await workload.run(ctx)
    await workload.check(ctx)
    return records, machine


def values(records: list[Record], proof: str) -> list[str]:
    return [record.value for record in records if isinstance(record, Proof) and record.name == proof]


def scripted(**commands: str) -> Workload:
    class Made(ScriptWorkload):
        name, title, description = "made", "Made", "For a test."
        script = Script(**commands)

    return Made()


async def test_the_command_runs_once_a_loop_and_what_the_check_prints_is_compared(tmp_path: Path) -> None:
    made = scripted(
        setup=f": >{tmp_path}/log", command=f"echo once >>{tmp_path}/log", check=f'wc -l <{tmp_path}/log; echo "$LOOPS"'
    )
    records, _ = await perform(made, loops=3)
    assert [record.loop for record in records if isinstance(record, Progress)] == [1, 2, 3]
    assert values(records, "checksum") == ["3; 3"], "a run that proves the ring leaves nothing behind"


async def test_the_ring_of_every_program_is_read_in_a_run_that_does_not_count() -> None:
    records, machine = await perform(scripted(command="true"), loops=2)
    assert values(records, "ring") == ["3 in 98 of 100 reads", "0 in 198 of 200 reads"]
    assert [bool(command.env.get("LD_PRELOAD")) for command in machine.started] == [True, False, False]


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ({"command": "true", "setup": "echo no disk >&2; exit 3"}, "cannot be set up.*status 3.*no disk"),
        ({"command": "false; true"}, "has failed"),
        ({"command": "true", "check": "echo 7 of 9 rows; exit 1"}, "wrong result.*7 of 9 rows"),
        ({"command": "true", "server": "exit 4", "ready": "sleep 1; false"}, "ended with status 4.*no port is free"),
    ],
)
async def test_what_goes_wrong_fails_the_run_and_is_told(commands: dict[str, str], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        await perform(scripted(**commands))


@pytest.mark.parametrize(("arm", "failed"), [("kml", []), ("stock", ["redis server", "sh"])])
async def test_a_program_left_in_ring_3_is_no_failure_but_one_of_stock_in_ring_0_is(
    arm: str, failed: list[str]
) -> None:
    records, _ = await perform(scripted(command="true"), arm=arm)
    rings = [record for record in records if isinstance(record, Proof) and record.name == "ring"]
    assert len(rings) == 2 and [proof.subject for proof in rings if not proof.ok] == failed


async def test_a_server_is_in_the_servers_cgroup_and_ends_with_the_workload(tmp_path: Path) -> None:
    server = f"echo $$ >{tmp_path}/pid; exec sleep 60"
    _, machine = await perform(scripted(command="true", server=server, ready=f"test -s {tmp_path}/pid"))
    assert [command.group for command in machine.started].count("server") == 2, "once to prove its ring"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_dd_copies_what_it_is_told_to() -> None:
    records, _ = await perform(workloads.get("dd"), loops=1, bytes="5000")
    assert values(records, "checksum") == ["5000+0 records out"]


class TestDeclaredInAFile:
    async def test_the_documented_example_runs(self, tmp_path: Path) -> None:
        example = re.search(r"```toml\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
        assert example
        file = tmp_path / "mine.toml"
        file.write_text(example[1].replace("/run/", f"{tmp_path}/"))
        workload = workloads.get(str(file))
        spec = workload.spec()
        assert workload.name == spec.name == "mine" and spec.loops == workload.default_loops
        again = workloads.of(spec)  # as the process that runs it, or a viewer, knows it: without the file
        file.unlink()
        assert again.spec().script == spec.script
        records, _ = await perform(again, loops=1)
        assert any(isinstance(record, Proof) and record.name == "checksum" for record in records)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("title = 'x'", "command"),
            ("command = 'true'\ncomand = 'x'", "comand"),
            ("command = 5", "command"),
            ("command = 'true'\nloops = 0", "loops is between"),
            ("command = ", "does not declare"),
        ],
    )
    def test_what_is_wrong_in_it_is_told_with_its_name(self, tmp_path: Path, text: str, message: str) -> None:
        file = tmp_path / "mine.toml"
        file.write_text(text)
        with pytest.raises(UsageError, match=rf"mine\.toml.*{message}"):
            workloads.get(str(file))

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            workloads.get(str(tmp_path / "mine.toml"))

# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads that are programs: any command, single system calls, sysbench's own scripts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from scripted_session import ScriptedProcess, ScriptedSession, message, phase

from kmltui import clients, workloads
from kmltui.model import Log, Measure, Progress, Proof, Record
from kmltui.sessions.journal import Journal
from kmltui.workloads import UsageError, WorkloadError
from kmltui.workloads.declaration import Context
from kmltui.workloads.localprogram import find_local

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")
DONE = message('{"type":"done"}')


async def run(
    name: str, lines: list[str | tuple[str, str]], status: int = 0, **spec: object
) -> tuple[list[Record], ScriptedSession]:
    workload = workloads.get(name)
    session = ScriptedSession(ScriptedProcess(lines, status))
    records: list[Record] = []
    ctx = Context(session=session, spec=workload.spec(**spec), journal=Journal(lambda: 42, records.append))  # type: ignore[arg-type]
    await workload.prepare(ctx)
    await workload.run(ctx)
    return records, session


class TestCommand:
    async def test_its_output_wall_time_and_exit_status_are_kept(self) -> None:
        records, session = await run("command", ["hello", ("stderr", "oops")], status=3, command=["ls", "-l", "a b"])
        assert session.argv == ["ls", "-l", "a b"]
        assert session.marks == ["phase:command"]
        assert [(r.text, r.level) for r in records if isinstance(r, Log)] == [("hello", "info"), ("oops", "warning")]
        (proof,) = [r for r in records if isinstance(r, Proof)]
        assert (proof.name, proof.value, proof.ok) == ("exit status", "3", False)
        (wall,) = [r for r in records if isinstance(r, Measure)]
        assert wall.values["each"] >= 0

    async def test_it_is_given_what_was_piped_into_kmltui(self) -> None:
        session = ScriptedSession(ScriptedProcess([]))
        spec = workloads.get("command").spec(command=["cat"])
        ctx = Context(session=session, spec=spec, journal=Journal(lambda: 0, lambda record: None), input=b"word\n")
        await workloads.get("command").run(ctx)
        assert (session.process.fed, session.process.fed_whole) == (b"word\n", True)

    async def test_loops_repeat_it(self) -> None:
        records, _ = await run("command", [], loops=3, command=["true"])
        assert [r.fraction for r in records if isinstance(r, Progress)] == pytest.approx([1 / 3, 2 / 3, 1])

    def test_it_needs_a_command(self) -> None:
        with pytest.raises(UsageError, match="after two dashes"):
            workloads.get("command").spec()

    def test_a_path_that_is_no_program_is_refused_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read: No such file"):
            workloads.get("command").spec(command=[str(tmp_path / "none")])
        (tmp_path / "script").write_text("#!/bin/sh\nexit 0\n")
        with pytest.raises(UsageError, match="not a program for 64-bit x86"):
            workloads.get("command").spec(command=[str(tmp_path / "script")])

    @needs_gcc
    async def test_a_program_of_this_machine_is_copied_with_its_libraries(self, tmp_path: Path) -> None:
        library, program = tmp_path / "libanswer.so", tmp_path / "ask"
        build(tmp_path, "int answer(void) { return 42; }", "-shared", "-fPIC", "-o", str(library))
        build(
            tmp_path,
            "int answer(void); int main(void) { return answer() != 42; }",
            "-o", str(program), f"-L{tmp_path}", "-lanswer", f"-Wl,-rpath,{tmp_path}",
        )  # fmt: skip
        assert [path.name for path in find_local(str(program)).libraries] == ["libanswer.so"]
        _, session = await run("command", [], command=[str(program), "--flag"])
        assert session.argv == ["/opt/bin/ask", "--flag"]
        assert session.files["/opt/bin/ask"] == program.read_bytes()
        assert session.files["/opt/lib/libanswer.so"] == library.read_bytes()

    @needs_gcc
    async def test_why_a_programs_calls_stay_traps_is_told(self, tmp_path: Path) -> None:
        """It has no symbol with a size, and nothing else that describes its code."""
        program = tmp_path / "ask"
        start = '__asm__(".globl _start\\n_start: mov $60, %eax\\nxor %edi, %edi\\nsyscall");'
        build(tmp_path, start, "-nostdlib", "-static", "-o", str(program))
        told = await find_local(str(program)).put(ScriptedSession(ScriptedProcess([]), "kml"))
        assert len(told) == 1
        assert told[0].startswith(
            "ask makes its system calls in ring 3: of 1 system-call instructions 1 were left alone"
        )
        assert await find_local(str(program)).put(ScriptedSession(ScriptedProcess([]), "stock")) == []

    @needs_gcc
    def test_a_missing_library_is_named(self, tmp_path: Path) -> None:
        library, program = tmp_path / "libgone.so", tmp_path / "ask"
        build(tmp_path, "int answer(void) { return 42; }", "-shared", "-fPIC", "-o", str(library))
        build(
            tmp_path,
            "int answer(void); int main(void) { return answer(); }",
            "-o", str(program), f"-L{tmp_path}", "-lgone",
        )  # fmt: skip
        library.unlink()
        with pytest.raises(UsageError, match=r"needs libgone\.so, which is not on this machine"):
            find_local(str(program))


def build(directory: Path, source: str, *arguments: str) -> None:
    (directory / "x.c").write_text(source)
    subprocess.run(["gcc", str(directory / "x.c"), *arguments], check=True)


class TestSyscalls:
    async def test_measures_are_passed_on(self) -> None:
        line = message('{"type":"measure","name":"getppid","unit":"ns","values":{"trap":330.0,"direct":90.5}}')
        records, session = await run("syscalls", [*phase("calls"), line, DONE], duration_s=2)
        assert session.argv == ["/usr/bin/kml-syscalls", "--seconds", "2"]
        (measure,) = [r for r in records if isinstance(r, Measure)]
        assert measure.values == {"trap": 330.0, "direct": 90.5}

    @needs_gcc
    def test_every_call_is_timed_and_gives_what_it_should(self, tmp_path: Path) -> None:
        source = clients.DIRECTORY / "syscalls.c"
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-pthread", str(source), "-o", str(tmp_path / "calls")], check=True)
        done = subprocess.run(
            [tmp_path / "calls", "--rounds", "1"], input="go\n", capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.count('"type":"measure"') >= 10
        assert '"type":"fail"' not in done.stdout and done.stdout.endswith('"type":"done"}\n')


class TestSysbench:
    async def test_threads_are_summed(self) -> None:
        def progress(thread: int, queries: int) -> str:
            return message(
                f'{{"type":"progress","phase":"run","thread":{thread},"loop":{queries},"queries":{queries}}}'
            )

        lines = [progress(0, 5), progress(1, 7), progress(0, 9), message('{"type":"done","statements":16}')]
        records, session = await run("oltp_point_select", lines, loops=16, options={"threads": "2"})
        assert [r.queries for r in records if isinstance(r, Progress)] == [5, 12, 16]
        assert {"--events=16", "--threads=2", "--rand-seed=1", "--mysql-storage-engine=InnoDB"} <= set(session.argv)

    async def test_too_few_queries_fail_the_run(self) -> None:
        with pytest.raises(WorkloadError, match="100 queries were executed, not 160"):
            await run("oltp_read_only", [message('{"type":"done","statements":100}')], loops=10)

    async def test_a_table_that_cannot_be_made_fails_the_preparation(self) -> None:
        with pytest.raises(WorkloadError, match="cannot drop its table: FATAL: no server"):
            await run("oltp_read_write", ["FATAL: no server"], status=1)

    async def test_select1_needs_no_table(self) -> None:
        _, session = await run("select1", [message('{"type":"done","statements":3}')], loops=3)
        assert "/tmp/kmltui/select1.lua" in session.files
        assert not any("table-size" in argument for argument in session.argv)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's life: it boots, tells what it is, samples, runs programs, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from kmltui.images.compiler import compile_c
from kmltui.images.image import Image
from kmltui.machine import GUESTD
from kmltui.model import Log, SessionSpec, State
from kmltui.sessions.guest import GuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command, SessionError

from .conftest import Boot, Guest

T = TypeVar("T")

COUNTERS = Path(__file__).parent / "programs/agent/counters.c"


def qemu_of(guest: Guest) -> psutil.Process:
    return psutil.Process(guest.session.pid)


class TestEnvironment:
    async def test_a_guest_tells_what_it_is(self, stock: Guest, kernel: str) -> None:
        facts = stock.facts
        assert facts["kernel"].startswith(kernel + ".")
        assert facts["vcpus"] == "2"
        assert facts["arm"] == "stock"
        assert "pti=off" in facts["cmdline"] and facts["cmdline"].endswith("kmltui.name=stock kmltui.arm=stock")
        assert facts["clocksource"] in ("tsc", "kvm-clock")
        assert int(facts["memory_bytes"]) > 1 << 30
        for name in ("cpu", "mitigations", "accelerator", "qemu", "libc", "mariadb", "sysbench", "image", "kml"):
            assert facts[name], name

    async def test_sessions_differ_in_name_and_arm_alone(self, stock: Guest, kml: Guest) -> None:
        def rest(guest: Guest) -> list[str]:
            return [word for word in guest.facts["cmdline"].split() if not word.startswith("kmltui.")]

        assert rest(stock) == rest(kml)
        same = ("kernel", "mitigations", "image", "cpu", "vcpus", "memory_bytes", "clocksource")
        assert {name: stock.facts[name] for name in same} == {name: kml.facts[name] for name in same}


class TestPrograms:
    async def test_output_comes_apart_and_in_order(self, stock: Guest) -> None:
        result = await stock.run("for i in $(seq 2000); do echo $i; done; echo problem >&2")
        assert result.stdout.split() == [str(i) for i in range(1, 2001)]
        assert result.stderr == "problem\n"

    @pytest.mark.parametrize("status", [0, 1, 7, 255])
    async def test_exit_status_is_passed_on(self, stock: Guest, status: int) -> None:
        assert (await stock.run(f"exit {status}")).status == status

    async def test_a_signal_ends_as_128_and_its_number(self, stock: Guest) -> None:
        assert (await stock.run("kill -SEGV $$")).status == 128 + signal.SIGSEGV

    async def test_input_reaches_the_program(self, stock: Guest) -> None:
        data = os.urandom(300_000)
        result = await stock.run("wc -c; ", data=data)
        assert int(result.stdout) == len(data)

    async def test_input_that_nobody_reads_harms_nothing(self, stock: Guest) -> None:
        assert (await stock.run("exit 3", data=bytes(300_000))).status == 3
        assert (await stock.run("echo fine")).stdout == "fine\n"

    async def test_much_input_does_not_pile_up_in_the_guest(self, boot: Boot) -> None:
        guest = await boot("stock")
        data = bytes(64 << 20)
        process = await guest.session.spawn(
            Command(["/bin/sh", "-c", "sleep 2; awk '/^MemAvail/ { print $2 }' /proc/meminfo; wc -c"], stdin=True)
        )
        before = int(await guest.check("awk '/^MemAvail/ { print $2 }' /proc/meminfo"))
        await process.write(data)
        await process.close_stdin()
        available, count = [int(line) async for _, line in process.lines()]
        assert count == len(data)
        assert available > before - (16 << 10), "kilobytes"

    async def test_a_program_that_is_not_there_is_named(self, stock: Guest) -> None:
        with pytest.raises(SessionError, match="no-such-program"):
            await stock.session.spawn(Command(["no-such-program"]))

    async def test_a_program_can_be_killed_with_all_that_it_started(self, stock: Guest) -> None:
        process = await stock.session.spawn(Command(["/bin/sh", "-c", "sleep 987 & sleep 987; true"]))
        await asyncio.sleep(0.2)
        await process.kill(signal.SIGKILL)
        assert await process.wait() == 128 + signal.SIGKILL
        assert "sleep 987" not in await stock.check("ps")

    async def test_environment_and_group_are_set(self, stock: Guest) -> None:
        output = await stock.check("echo $COLOUR; cat /proc/self/cgroup", env={"COLOUR": "teal"}, group="server")
        assert output.splitlines() == ["teal", "0::/server"]

    async def test_many_programs_at_once(self, stock: Guest) -> None:
        results = await asyncio.gather(*(stock.check(f"sleep 0.1; echo {i}") for i in range(40)))
        assert [int(text) for text in results] == list(range(40))

    async def test_a_program_has_the_same_path_in_every_arm(self, stock: Guest, kml: Guest) -> None:
        for guest in (stock, kml):
            path = await guest.check(["python3", "-c", "import os; print(os.readlink('/proc/self/exe'))"])
            assert path.startswith("/usr/bin/python3")

    async def test_the_root_directory_can_be_exchanged(self, stock: Guest) -> None:
        script = "mkdir new; mount -t tmpfs new new; mkdir new/old; pivot_root new new/old; /old/kmltui/busybox ls /"
        assert await stock.check(f"cd /tmp; unshare -m sh -ec '{script}'") == "old\n"


class TestFiles:
    async def test_what_is_written_is_read_back(self, stock: Guest) -> None:
        data = os.urandom(200_001)
        await stock.session.put("/tmp/some/where/file", data, 0o640)
        assert await stock.session.get("/tmp/some/where/file") == data
        assert (await stock.check("stat -c %a /tmp/some/where/file")).strip() == "640"

    async def test_a_file_that_is_not_there(self, stock: Guest) -> None:
        with pytest.raises(FileNotFoundError):
            await stock.session.get("/no/such/file")

    async def test_a_place_that_cannot_be_written(self, stock: Guest) -> None:
        with pytest.raises(SessionError, match="/proc/no-such"):
            await stock.session.put("/proc/no-such", b"x")

    async def test_files_of_the_kernel_are_read_whole(self, stock: Guest) -> None:
        assert b"processor\t: 1" in await stock.session.get("/proc/cpuinfo")

    async def test_an_emulated_processor_copies_words_and_not_bytes(self, stock: Guest) -> None:
        """The emulator counts an instruction, and takes the time of one, for every byte of a ``rep movsb``."""
        flags = set((await stock.session.get("/proc/cpuinfo")).decode().split())
        if stock.facts["accelerator"] == "KVM":
            pytest.skip("KVM's processor is the host's")
        assert "fpu" in flags and not flags & {"erms", "fsrm", "fzrm", "fsrs", "fsrc"}

    async def test_emulated_processors_take_turns_in_one_thread(self, stock: Guest) -> None:
        """With a thread for each, a kernel now and then dies of an instruction that it has just patched."""
        if stock.facts["accelerator"] == "KVM":
            pytest.skip("KVM's processors are the host's")
        vm = stock.session._vm
        assert vm is not None and stock.facts["vcpus"] == "2"
        assert len(await vm.vcpu_threads()) == 1


class TestSamples:
    async def test_a_marked_sample_comes_at_once_and_holds_everything(self, stock: Guest) -> None:
        sample = await stock.sample("now")
        assert set(sample.cpus) == {0, 1}
        assert set(sample.groups) == {"server", "client"}
        assert sample.kml is not None and sum(sample.kml.trap_cpu.values()) > 0
        assert sample.agent is not None and sample.agent.syscalls > 0
        assert sample.interrupts and sample.context_switches

    async def test_an_emulated_processor_has_no_counters_of_its_own(self, stock: Guest) -> None:
        assert not (await stock.sample("hardware")).hardware

    async def test_what_is_counted_for_a_group_is_that_group_s(self, stock: Guest, tmp_path: Path) -> None:
        program = tmp_path / "counters"
        compile_c([COUNTERS, GUESTD / "hardware.c"], program, ["-static", "-O2", f"-I{GUESTD}"])
        await stock.session.put("/tmp/counters", program.read_bytes(), 0o755)
        said = await stock.check(["/tmp/counters"], elevated=False)
        found = {tuple(words[:2]): int(words[2]) for line in said.splitlines() if len(words := line.split()) == 3}
        assert 200e6 <= found["client", "task_clock"] < 300e6, "its own work of 200 ms, and next to nothing else"
        assert found["client", "page_faults"] >= 1000
        assert found["server", "task_clock"] == found["server", "page_faults"] == 0, "nothing runs there"
        assert not any("none" in name for _, name in found), "what the processor does not have is left out"
        assert "reads 4 cpus 2" in said

    async def test_counters_never_go_down(self, stock: Guest) -> None:
        before = await stock.sample("one")
        await stock.check("for i in $(seq 50); do cat /proc/self/stat; done")
        after = await stock.sample("two")
        assert after.mono_ns > before.mono_ns
        assert after.kml is not None and before.kml is not None
        for number, count in before.kml.trap_nr.items():
            assert after.kml.trap_nr[number] >= count
        assert after.groups["client"].usage_us > before.groups["client"].usage_us

    async def test_samples_come_on_time_while_every_cpu_is_busy(self, boot: Boot) -> None:
        """Times are the guest's own: how far each sample lies from the grid that the agent was asked to keep."""
        period_ns = 200_000_000
        guest = await boot("stock", vcpus=2, period_ns=period_ns)
        burn = await guest.session.spawn(Command(["/bin/sh", "-c", "for i in 1 2 3; do yes >/dev/null & done; wait"]))
        await asyncio.sleep(5)
        await burn.kill(signal.SIGKILL)
        times = [sample.mono_ns for sample in guest.samples if not sample.mark]
        assert len(times) > 10
        late = sorted((at - times[0]) % period_ns for at in times[5:])
        offsets = [min(offset, period_ns - offset) for offset in late]
        assert sorted(offsets)[len(offsets) // 2] < 0.2 * period_ns

    async def test_in_an_idle_guest_every_system_call_is_the_agents_and_it_knows(self, boot: Boot) -> None:
        guest = await boot("stock", period_ns=100_000_000)
        await asyncio.sleep(4)
        quiet = [sample for sample in guest.samples if not sample.mark][-15:]
        seen, owned = [], []
        for before, after in itertools.pairwise(quiet):
            assert before.kml and after.kml and before.agent and after.agent
            seen.append(sum(after.kml.trap_nr.values()) - sum(before.kml.trap_nr.values()))
            owned.append(after.agent.syscalls - before.agent.syscalls)
            assert after.agent.cpu_ns > before.agent.cpu_ns
        assert seen == owned


class TestKept:
    """A guest whose clock counts instructions is kept as it was after its boot, and the next goes on from there."""

    @pytest.fixture
    def counting(self, boot: Boot) -> Boot:
        """``boot`` for guests whose clock counts instructions."""
        return functools.partial(boot, clock="instructions")

    @staticmethod
    def _how(guest: Guest) -> str:
        return next(
            r.detail for r in guest.records if isinstance(r, State) and r.detail.startswith(("waiting", "resum"))
        )

    @staticmethod
    def _warnings(guest: Guest) -> list[str]:
        return [r.text for r in guest.records if isinstance(r, Log) and r.source == "runner"]

    @pytest.fixture
    def own_cache(self, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where guests are kept, of this test alone."""
        monkeypatch.setattr("kmltui.images.store.booted_dir", lambda: tmp_path / "booted")
        return tmp_path / "booted"

    async def _kept(self, directory: Path) -> Path:
        """The one that is kept, once it has been written."""
        return (await self._once(lambda: list(directory.glob("[!.]*"))))[0]

    @staticmethod
    async def _once(there: Callable[[], T]) -> T:
        async with asyncio.timeout(30):
            while True:
                if found := there():
                    return found
                await asyncio.sleep(0.05)

    @pytest.mark.parametrize("arm", ["stock", "kml"])
    async def test_the_second_goes_on_from_the_first_and_makes_the_same_calls(
        self, counting: Boot, own_cache: Path, arm: str
    ) -> None:
        seen: list[Counter[str]] = []
        for how in ("waiting", "resum"):
            guest = await counting(arm, period_ns=0)
            assert self._how(guest).startswith(how)
            assert not self._warnings(guest)
            now = int(await guest.check("date +%s", elevated=False))
            assert abs(now - time.time()) < 60
            work = "ls -lR /usr/bin >/dev/null; sha256sum /usr/bin/* >/dev/null"  # no pipe: chance would count, too
            # guestd, whose calls count as well, is done with everything else by then.
            await guest.check(f"sleep 1; cat /proc/kml/counters >/tmp/a; {work}; cat /proc/kml/counters >/tmp/b")
            before, after = [self._counts(await guest.session.get(path)) for path in ("/tmp/a", "/tmp/b")]
            seen.append(after - before)
            await self._kept(own_cache)
        assert seen[0].total() > 1000
        assert seen[0] == seen[1]

    @staticmethod
    def _counts(text: bytes) -> Counter[str]:
        """The system calls of /proc/kml/counters by way and number."""
        words = [line.rsplit(maxsplit=1) for line in text.decode().splitlines()]
        return Counter({name: int(count) for name, count in words if name.startswith(("trap ", "direct "))})

    async def test_two_may_go_on_from_it_at_once(self, counting: Boot, own_cache: Path) -> None:
        await counting("kml")
        await self._kept(own_cache)
        first, second = await counting("kml"), await counting("kml")
        assert self._how(first).startswith("resum") and self._how(second).startswith("resum")
        assert await first.alive() and await second.alive()

    @pytest.mark.parametrize("damage", [0, 100, 1 << 20, -1])
    async def test_a_damaged_one_is_replaced(self, counting: Boot, own_cache: Path, damage: int) -> None:
        """It is cut off (or, at -1, of nothing that QEMU knows)."""
        await counting("stock")
        kept = await self._kept(own_cache)
        whole = (await asyncio.to_thread(kept.stat)).st_size
        os.truncate(kept, max(damage, 0))
        if damage < 0:
            await asyncio.to_thread(kept.write_bytes, b'{"protocol":["1"],"arm":["stock"]}\n' + b"?" * 100_000)
        guest = await counting("stock")
        assert self._how(guest).startswith("waiting" if damage == 0 else "resum")
        assert await guest.alive()
        await self._once(lambda: kept.exists() and kept.stat().st_size > whole // 2)
        assert self._how(await counting("stock")).startswith("resum")

    async def test_one_of_another_machine_is_not_taken(self, counting: Boot, own_cache: Path) -> None:
        await counting("stock")
        await self._kept(own_cache)
        for other in ({"memory_bytes": 2 << 30}, {"name": "other"}, {"append": "nosmt"}, {"clock": "wall"}):
            assert self._how(await counting("stock", **other)).startswith("waiting"), other

    async def test_without_room_for_it_the_guest_runs_all_the_same(
        self, counting: Boot, own_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await asyncio.to_thread(own_cache.touch)  # no directory can be made here
        guest = await counting("stock")
        assert await guest.alive()
        warnings = await self._once(lambda: self._warnings(guest))
        assert "could not be saved" in warnings[0] and "File exists" in warnings[0]


class TestEnd:
    async def test_stop_leaves_no_qemu_and_may_be_repeated(self, boot: Boot) -> None:
        guest = await boot("stock")
        qemu = qemu_of(guest)
        await guest.session.stop()
        await guest.session.stop()
        assert not qemu.is_running()
        with pytest.raises(SessionError, match="not running"):
            await guest.session.spawn(Command(["/bin/true"]))

    async def test_stop_during_the_start(self, image: Image) -> None:
        session = GuestSession(SessionSpec(name="short", image=image.name))
        kernel_starts = asyncio.Event()

        def emit(record: object) -> None:
            if isinstance(record, State) and "kernel" in record.detail:
                kernel_starts.set()

        task = asyncio.create_task(session.start(Journal.begin(emit)))
        await asyncio.wait_for(kernel_starts.wait(), 60)
        qemu = psutil.Process(session.pid)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await session.stop()
        assert not qemu.is_running()

    async def test_a_panic_is_told_with_the_last_lines_of_the_console(self, boot: Boot) -> None:
        guest = await boot("stock")
        with contextlib.suppress(SessionError):  # the guest may be gone before it has said that the program runs
            await guest.session.spawn(Command(["/bin/sh", "-c", "echo c > /proc/sysrq-trigger"]))
        failure = await asyncio.wait_for(guest.session.failed(), 60)
        assert failure.state == "panicked"
        assert "sysrq" in str(failure)

    async def test_a_qemu_that_was_killed_is_told(self, boot: Boot) -> None:
        guest = await boot("stock")
        process = await guest.session.spawn(Command(["/bin/sleep", "1000"]))
        qemu_of(guest).kill()
        failure = await asyncio.wait_for(guest.session.failed(), 60)
        assert failure.state == "failed" and "QEMU" in str(failure)
        with pytest.raises(ConnectionError):
            await process.wait()
        with pytest.raises(SessionError):
            await guest.session.sample("late")

    async def test_a_guest_that_hangs_is_told(self, boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kmltui.sessions.guest.SILENCE_LIMIT_S", 2.0)
        guest = await boot("stock", period_ns=100_000_000)
        qemu_of(guest).suspend()
        failure = await asyncio.wait_for(guest.session.failed(), 60)
        assert failure.state == "hung" and "silent" in str(failure)

    async def test_two_sessions_have_ports_of_their_own(self, stock: Guest, kml: Guest) -> None:
        assert stock.session.mysql_address() != kml.session.mysql_address()
        assert stock.session.mysql_address()[0] == "127.0.0.1"

    async def test_the_guest_reaches_nothing_but_itself(self, stock: Guest) -> None:
        result = await stock.run("nc -w 2 10.0.2.2 22 </dev/null; echo $?")
        assert result.stdout.strip() != "0"
        assert (await stock.run("ip route")).stdout.strip() == "10.0.2.0/24 dev eth0 scope link  src 10.0.2.15"


class TestConfinement:
    """What QEMU, and so a guest that has broken out into it, may do on the host."""

    async def test_qemu_runs_without_roots_rights_and_can_start_nothing(self, stock: Guest) -> None:
        threads = psutil.Process(stock.session.pid).threads()
        for text in await asyncio.to_thread(lambda: [Path(f"/proc/{t.id}/status").read_text() for t in threads]):
            status = dict(line.split(":\t", 1) for line in text.splitlines())
            assert status["Seccomp"] == "2", "every thread has its system calls filtered"
            assert status["NoNewPrivs"] == "1"
            assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
            assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0
            assert not {"0"} & set(status["Groups"].split())

    async def test_qemu_is_told_nothing_of_its_callers_environment(
        self, boot: Boot, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Passwords among it: as nobody it shares its user with other services, which can read it."""
        monkeypatch.setenv("MYSQL_PWD", "secret")
        guest = await boot("stock")
        assert set(psutil.Process(guest.session.pid).environ()) <= {"LD_LIBRARY_PATH", "TMPDIR"}


class TestRefusal:
    """A session that cannot be what it was asked to be does not start, and says why."""

    async def test_kml_with_page_table_isolation(self, boot: Boot) -> None:
        with pytest.raises(SessionError, match="page table isolation"):
            await boot("kml", append="pti=on")

    async def test_kml_with_smep_and_smap(self, boot: Boot) -> None:
        with pytest.raises(SessionError, match="SMEP"):
            await boot("kml", qemu_arguments=["-cpu", "max,-vmx,-svm"])

    async def test_a_qemu_that_does_not_start_is_quoted(self, boot: Boot) -> None:
        with pytest.raises(SessionError, match="no-such-device"):
            await boot("stock", qemu_arguments=["-device", "no-such-device"])

    async def test_an_image_that_is_not_there(self) -> None:
        session = GuestSession(SessionSpec(name="none", image="bookworm/5.10"))
        with pytest.raises(SessionError, match=r"5\.10"):
            await session.start(Journal.begin(lambda _record: None))
        await session.stop()


class TestOrphans:
    async def test_qemu_dies_with_a_runner_that_is_killed(self, image: Image, tmp_path: Path) -> None:
        script = tmp_path / "runner.py"
        script.write_text(
            "import asyncio, sys\n"
            "from kmltui.model import SessionSpec\n"
            "from kmltui.sessions.guest import GuestSession\n"
            "from kmltui.sessions.journal import Journal\n"
            "async def main():\n"
            "    session = GuestSession(SessionSpec(name='orphan', image=sys.argv[1]))\n"
            "    await session.start(Journal.begin(lambda record: None))\n"
            "    print(session.pid, flush=True)\n"
            "    await asyncio.sleep(1000)\n"
            "asyncio.run(main())\n"
        )
        runner = await asyncio.create_subprocess_exec(
            sys.executable, str(script), image.name, stdout=asyncio.subprocess.PIPE
        )
        assert runner.stdout is not None
        qemu = psutil.Process(int(await asyncio.wait_for(runner.stdout.readline(), 120)))
        runner.kill()
        await runner.wait()
        await asyncio.to_thread(psutil.wait_procs, [qemu], 20)
        assert not qemu.is_running()

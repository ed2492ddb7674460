# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that processes do, done in ring 0: the programs of tests/programs, which check themselves.

The same programs run unattached on the host in the unit tests; here each also has to have made its calls directly.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kmltui.counters import parse_trap_sites
from kmltui.images.image import Image
from kmltui.images.info import site_report
from kmltui.model import TrapSite
from kmltui.runner.server import Server
from kmltui.sessions.journal import Journal

from .conftest import Boot, Guest

PROGRAMS = Path(__file__).parent.parent / "programs"
NAMES = sorted(path.name for path in PROGRAMS.glob("*.c*"))
ARGUMENTS = {"cancel.c": ["20"]}
IN_GUEST = "/trusted/tests"
KEYED = ("direct", "trap", "demotion")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs, compiled on this machine, each under its name without an ending."""
    directory = tmp_path_factory.mktemp("programs")
    for name in NAMES:
        compiler = "g++" if name.endswith(".cc") else "gcc"
        if not shutil.which(compiler):
            pytest.skip(f"no {compiler}")
        command = [compiler, "-O2", "-w", "-pthread", "-o", directory / Path(name).stem, PROGRAMS / name]
        subprocess.run(command, check=True)
    return directory


async def counted(guest: Guest, name: str) -> int:
    """A counter of the module, summed over CPUs and keys."""
    lines = (await guest.check("cat /proc/kml/counters", elevated=False)).splitlines()
    rows = (line.split() for line in lines if line.startswith(name + " "))
    return sum(sum(map(int, row[2 if name in KEYED else 1 :])) for row in rows)


async def hits(guest: Guest) -> list[TrapSite]:
    """Where attached processes have trapped, so far."""
    return parse_trap_sites(await guest.check("cat /proc/kml/sites", elevated=False))


async def put(guest: Guest, compiled: Path, name: str) -> str:
    """The path of a program in the guest, below /trusted."""
    path = f"{IN_GUEST}/{Path(name).stem}"
    await guest.session.put(path, (compiled / Path(name).stem).read_bytes(), 0o755)
    return path


class TestPrograms:
    @pytest.mark.parametrize("name", NAMES)
    async def test_a_program_runs_in_ring_0_as_in_ring_3(self, kml: Guest, compiled: Path, name: str) -> None:
        path = await put(kml, compiled, name)
        before = await counted(kml, "direct")
        result = await kml.run([path, *ARGUMENTS.get(name, [])])
        assert (result.status, result.stdout, result.stderr) == (0, "", "")
        assert await counted(kml, "direct") > before

    async def test_nobody_stays_attached(self, kml: Guest, compiled: Path) -> None:
        await kml.run([await put(kml, compiled, "processes.c")])
        counters = await kml.check("cat /proc/kml/counters", elevated=False)
        assert "attached 0" in counters.splitlines()


INTERPRETERS = {
    "python3": (
        "import threading, subprocess, select, socket, signal, json, os, time\n"
        "a, b = socket.socketpair()\n"
        "t = threading.Thread(target=lambda: [a.sendall(b'x' * 1000) for _ in range(200)])\n"
        "t.start()\n"
        "n = 0\n"
        "while n < 200000: n += len(b.recv(4096))\n"
        "t.join()\n"
        "seen = []\n"
        "signal.signal(signal.SIGALRM, lambda *_: seen.append(1))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "while not seen: time.sleep(0.01)\n"
        "pid = os.fork()\n"
        "if not pid: os._exit(3)\n"
        "print(n, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), subprocess.run(['true']).returncode)\n"
    ),
    "perl": (
        "my $sum = 0;\n"
        "for my $i (1 .. 50) { my $pid = fork(); exit $i % 7 unless $pid; waitpid $pid, 0; $sum += $? >> 8 }\n"
        "pipe my $r, my $w; print $w 'x' x 1000; close $w; my $got = join '', <$r>;\n"
        "$SIG{USR1} = sub { $sum++ }; kill USR1 => $$; print $sum, ' ', length $got, ' ', `echo sub`;\n"
    ),
}
EXPECTED = {"python3": "200000 3 0\n", "perl": "149 1000 sub\n"}


class TestInterpreters:
    @pytest.mark.parametrize("name", sorted(INTERPRETERS))
    async def test_an_interpreter_runs_in_ring_0(self, kml: Guest, name: str) -> None:
        flag = "-c" if name == "python3" else "-e"
        before = await counted(kml, "direct")
        result = await kml.run([f"/usr/bin/{name}", flag, INTERPRETERS[name]])
        assert (result.stderr, result.stdout, result.status) == ("", EXPECTED[name], 0)
        assert await counted(kml, "direct") > before


class TestTools:
    async def test_strace_follows_a_ring_0_program(self, kml: Guest, compiled: Path) -> None:
        path = await put(kml, compiled, "processes.c")
        result = await kml.run(f"strace -f -o /tmp/trace {path} && grep -c clone /tmp/trace && tail -n 1 /tmp/trace")
        assert result.status == 0, result.stderr
        assert "exited with 0" in result.stdout

    async def test_gdb_stops_and_continues_a_ring_0_program(self, kml: Guest, compiled: Path) -> None:
        path = await put(kml, compiled, "clocks.c")
        commands = ["break getpid", "break clock_gettime", "run", "stepi", "stepi", "backtrace", "print $cs", "delete"]
        arguments = " ".join(f"-ex '{command}'" for command in [*commands, "continue"])
        out = await kml.check(f"gdb -nx -q -batch {arguments} {path} 2>&1")
        assert "main" in out
        assert " = 51\n" in out
        assert "exited normally" in out

    async def test_perf_finds_a_ring_0_program_in_ring_3(self, kml: Guest) -> None:
        """Its samples of user mode are the program's own code, although interrupts found that in ring 0."""
        before = await counted(kml, "demotion")
        output = await kml.check(
            "cd /tmp; perf record -q -F 500 -e cpu-clock:u -o data perl -e 'getppid() for 1 .. 2000000' >&2;"
            "perf script -i data -F comm,ip,dso; rm data"
        )
        samples = [line.split() for line in output.splitlines() if line.strip().startswith("perl ")]
        assert len(samples) > 50
        assert not [ip for _comm, ip, *_ in samples if ip.startswith("ffff")]
        files = [" ".join(rest) for _comm, _ip, *rest in samples]
        assert sum("/usr/" in file for file in files) > 0.9 * len(files), "in the program's own files"
        assert any("/perl" in file for file in files) and any("/libc.so" in file for file in files)
        assert await counted(kml, "demotion") > before + 50


class TestServer:
    async def test_the_servers_and_the_clients_calls_are_direct(self, boot: Boot, image: Image) -> None:
        """99.9 % of them. A call that an interrupt sends back to its ``syscall`` counts as a trap as well, but how
        often that happens is a matter of how slow the machine is: these are not meant."""
        guest = await boot("kml", vcpus=2)
        server = Server(guest.session, Journal.begin(guest.records.append))
        await server.start()
        direct, rewinds, before = await counted(guest, "direct"), await counted(guest, "rewind"), await hits(guest)
        client = "/usr/bin/mariadb --no-defaults -uroot -S /run/mysqld/mysqld.sock"
        await guest.session.put("/tmp/queries", b"select 1;\n" * 2000)
        await guest.check(f"{client} </tmp/queries >/dev/null", elevated=False, limit_s=300)
        direct, rewinds = await counted(guest, "direct") - direct, await counted(guest, "rewind") - rewinds
        after = await hits(guest)
        traps = sum(hit.count for hit in after) - sum(hit.count for hit in before)
        told = [f"{t.count} {t.path} {t.offset:#x}" for t in site_report(image.manifest).with_hits(after)]
        await server.stop()
        assert direct > 6000
        assert traps - rewinds < direct / 1000, f"{traps} traps, {rewinds} rewinds, {direct} direct calls: {told[:20]}"


class TestMemoryPressure:
    async def test_the_out_of_memory_killer_ends_a_ring_0_program(self, kml: Guest) -> None:
        """In a control group with a limit, so that nobody else is meant."""
        script = (
            "mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg 2>/dev/null; cd /tmp/cg || exit 9\n"
            "echo +memory > cgroup.subtree_control; mkdir -p small && echo 40M > small/memory.max || exit 9\n"
            "echo $$ > small/cgroup.procs\n"
            "exec /usr/bin/perl -e 'my @a; push @a, \"x\" x 1000000 while 1'\n"
        )
        result = await kml.run(script)
        if result.status == 9:
            pytest.skip(f"no control group for memory here: {result.stderr}")
        assert result.status == 128 + 9
        assert await kml.alive()

# SPDX-License-Identifier: GPL-2.0-or-later
"""A session on the host: what it reads from /proc, and what it says of what it cannot know."""

import asyncio
import os
import shutil
import struct
import subprocess
import sys

import pytest

from kmltui.counters import syscalls
from kmltui.counters.syscalls import COMPAT, NUMBERS, OTHER
from kmltui.model import Environment, GroupCpu, Sample, SessionSpec, State
from kmltui.sessions import bpf, btf, calls, create_session, host, hostkml
from kmltui.sessions.journal import Journal
from kmltui.sessions.local import LocalSession
from kmltui.sessions.processes import Groups, parse_io, parse_stat
from kmltui.sessions.protocol import Command, SessionError

STAT = """cpu  30 0 12 100 0 0 0 0 0 0
cpu0 10 0 4 50 1 0 0 0 0 0
cpu1 20 0 8 50 2 0 0 0 0 0
intr 1234 5 6
ctxt 777
"""

CPUINFO = """processor\t: 0
model name\t: A CPU (tm)
flags\t\t: fpu sse2 smep smap hypervisor

processor\t: 1
model name\t: A CPU (tm)
flags\t\t: fpu sse2 smep smap hypervisor
"""


MELTDOWN = "devices/system/cpu/vulnerabilities/meltdown"


def process_stat(user=0, system=0, children_user=0, children_system=0, name="a (b) c"):
    return f"42 ({name}) S 1 42 42 0 -1 4194560 1 2 3 4 {user} {system} {children_user} {children_system} 20 0 1 0 5\n"


class Proc:
    """A made-up /proc and /sys."""

    def __init__(self, root):
        self.root = root / "proc"
        self.sys = root / "sys"
        self.write("stat", STAT)
        self.write("cpuinfo", CPUINFO)
        self.write("meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n")
        self.write("modules", "")
        self.kernel("6.1.0-40-amd64")

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        # In place: a reader that keeps a file of /proc open sees the new contents.
        with (self.root / path).open("w") as stream:
            stream.write(text)

    def write_sys(self, path, text):
        (self.sys / path).parent.mkdir(parents=True, exist_ok=True)
        (self.sys / path).write_text(text)

    def kernel(self, release):
        self.write("sys/kernel/osrelease", release + "\n")

    def process(self, pid, io=None, **times):
        self.write(f"{pid}/stat", process_stat(**times))
        if io is not None:
            self.write(f"{pid}/io", f"rchar: 9\nwchar: 9\nsyscr: {io}\nsyscw: 1\nread_bytes: 0\n")

    def end(self, pid):
        self.write(f"{pid}/stat", "")


@pytest.fixture
def proc(tmp_path):
    return Proc(tmp_path)


def test_a_process_is_read_whatever_its_name_is():
    times = parse_stat(process_stat(7, 5, 3, 1, name=") S 1 2 ("))
    assert (times.user, times.system, times.children_user, times.children_system) == (7, 5, 3, 1)
    with pytest.raises(ValueError):
        parse_stat("nonsense")


def test_io_calls_are_reads_and_writes():
    assert parse_io("rchar: 1\nsyscr: 20\nsyscw: 3\n") == 23
    with pytest.raises(ValueError):
        parse_io("rchar: 1\n")


def test_a_process_counts_from_when_it_is_watched(proc):
    proc.process(42, user=100, system=50, io=10)
    groups = Groups(proc.root)
    groups.add("server", 42)
    proc.process(42, user=103, system=51, children_user=2, io=17)
    cpu, io, gone = groups.read()
    assert cpu == {"server": GroupCpu(60_000, 50_000, 10_000)}
    assert (io, gone) == ({"server": 7}, [])


def test_a_process_that_ends_keeps_its_share_and_another_adds_to_it(proc):
    proc.process(42, user=0, io=0)
    proc.process(43, user=0, io=0)
    groups = Groups(proc.root)
    groups.add("server", 42)
    proc.process(42, user=5, io=3)
    groups.read()
    proc.end(42)
    cpu, _, gone = groups.read()
    assert (cpu["server"].usage_us, gone) == (50_000, [42])
    groups.add("server", 43)
    proc.process(43, user=2, io=4)
    cpu, io, _ = groups.read()
    assert (cpu["server"].usage_us, io["server"]) == (70_000, 7)


def test_io_that_may_not_be_read_is_absent_not_zero(proc):
    proc.process(42, user=1)
    groups = Groups(proc.root)
    groups.add("server", 42)
    assert groups.read()[1] == {}


def test_the_cpu_time_of_a_real_process_is_exact_to_its_last_instruction():
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    process = subprocess.Popen([sys.executable, "-c", burn])
    groups = Groups()
    groups.add("client", process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    groups.remove(process.pid)
    process.wait()
    # It may have run for some milliseconds before it was watched.
    assert 0.2e6 < groups.read()[0]["client"].usage_us < 2e6


def test_the_facts_of_a_host(proc):
    facts = host.facts(proc.root, proc.sys)
    assert (facts["cpu"], facts["vcpus"], facts["memory_bytes"]) == ("A CPU (tm)", "2", str(2 << 20))
    assert facts["accelerator"] == "this host (virtual)"
    assert "clocksource" not in facts, "what cannot be read is left out"


def test_only_what_bears_on_speed_is_recorded_of_the_hosts_command_line(proc):
    proc.write("cmdline", "root=UUID=1-2 mitigations=off rd.iscsi.password=geheim nosmt quiet isolcpus=1,2 pti=off\n")
    assert host.facts(proc.root, proc.sys)["cmdline"] == "mitigations=off nosmt isolcpus=1,2 pti=off"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.kernel("6.8.0-45-generic"), "6.8.0-45-generic is not Debian's"),
        (lambda p: p.kernel("6.1.0-40-cloud-arm64"), "is not Debian's"),
        (lambda p: (p.root / "modules").unlink(), "takes no modules"),
        (lambda p: p.write_sys("kernel/security/lockdown", "none [integrity] x"), "locked down (integrity)"),
        (lambda p: p.write_sys(MELTDOWN, "Mitigation: PTI"), "page table isolation"),
        (lambda p: None, "SMEP and SMAP"),
        (lambda p: p.write("cpuinfo", "flags\t: fpu ibt\n"), "indirect branch tracking"),
        (lambda p: p.write("cmdline", "quiet nohz_full=1"), "nohz_full"),
    ],
)
def test_doctor_says_why_this_kernel_cannot_run_kml(proc, change, words):
    change(proc)
    check = hostkml.check(proc.root, proc.sys)
    assert check.status == "note"
    assert words in check.detail
    assert "guests can" in check.detail


def test_doctor_names_the_boot_options_that_would_make_it_possible(proc):
    proc.write_sys(MELTDOWN, "Mitigation: PTI")
    remedy = hostkml.check(proc.root, proc.sys).remedy
    assert "pti=off clearcpuid=smep,smap" in remedy
    proc.kernel("6.8.0")
    assert hostkml.check(proc.root, proc.sys).remedy == "", "no boot option makes another kernel of it"


def test_doctor_gives_the_command_and_its_meaning_where_it_is_possible(proc):
    proc.write("cpuinfo", "flags\t: fpu\n")
    check = hostkml.check(proc.root, proc.sys)
    assert check.status == "ok"
    assert "insmod" in check.remedy
    assert "only if you want it" in check.remedy


async def started(proc, **options):
    records = []
    spec = SessionSpec(name="here", kind="local")
    session = LocalSession(spec, 20_000_000, programs=False, proc=proc.root, **options)
    await session.start(Journal.begin(records.append))
    return session, records


async def test_a_local_session_samples_by_itself_and_on_demand(proc):
    session, records = await started(proc)
    async with asyncio.timeout(20):
        while sum(isinstance(record, Sample) for record in records) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await session.sample("start")
    samples = [record for record in records if isinstance(record, Sample)]
    assert samples[-1].mark == "start"
    assert samples[0].cpus[1].user == 20
    assert (samples[0].interrupts, samples[0].context_switches) == (1234, 777)
    assert samples[-1].agent.cpu_ns > samples[0].agent.cpu_ns > 0, "its own cost is on record"
    assert [sample.t_ns for sample in samples] == sorted(sample.t_ns for sample in samples)
    await session.stop()
    number = len(records)
    await asyncio.sleep(0.05)
    assert len(records) == number, "nothing comes after the end"


async def test_a_host_that_is_not_what_is_watched_is_left_out(proc):
    session, records = await started(proc)
    session.hide_host()
    await session.sample("there")
    sample = next(record for record in records if isinstance(record, Sample) and record.mark == "there")
    assert (sample.cpus, sample.interrupts) == ({}, None)
    await session.stop()


async def test_a_proc_that_breaks_ends_the_session_with_a_sentence(proc):
    session, _ = await started(proc)
    proc.write("stat", "cpu0 nonsense\n")
    error = await asyncio.wait_for(session.failed(), 10)
    assert "cpu0 nonsense" in str(error)
    await session.stop()


async def test_where_calls_cannot_be_counted_they_are_absent_and_the_reason_is_told(proc, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(calls, "TracepointCounter", refuse)
    monkeypatch.setattr(calls, "PerfCounter", refuse)
    proc.process(42, io=5)
    session, records = await started(proc)
    await session.watch("server", 42)
    proc.process(42, io=8)
    await session.sample("x")
    sample = next(record for record in records if isinstance(record, Sample) and record.mark == "x")
    assert sample.kml is None
    assert sample.io_calls == {"server": 3}
    facts = [record for record in records if isinstance(record, Environment)][-1].facts
    assert "root" in facts["calls"]
    assert "under 1 %" in facts["io_calls"]
    await session.stop()


async def test_a_process_that_is_not_there_cannot_be_watched(proc):
    session, _ = await started(proc)
    with pytest.raises(SessionError, match="process 99"):
        await session.watch("server", 99)
    await session.stop()


async def test_a_host_without_the_module_is_no_local_kml_session(proc):
    session = LocalSession(SessionSpec(name="k", kind="local-kml", arm="kml"), proc=proc.root)
    with pytest.raises(SessionError, match="not loaded into this host's kernel"):
        await session.start(Journal(lambda: 0, lambda record: None))
    await session.stop()


async def test_a_host_with_the_module_shows_its_counters_and_starts_nothing(proc):
    proc.write("kml/counters", "kml 1 kml\ncpus 0 1\ntrap 39 1 2\ndirect 39 5 6\nelevation 1 1\nattached 2\n")
    records = []
    session = LocalSession(SessionSpec(name="k", kind="local-kml", arm="kml"), proc=proc.root)
    await session.start(Journal(lambda: 0, records.append))
    await session.sample("x")
    sample = next(record for record in records if isinstance(record, Sample) and record.mark == "x")
    assert (sample.kml.trap_nr, sample.kml.direct_nr, sample.kml.attached) == ({39: 3}, {39: 11}, 2)
    with pytest.raises(SessionError, match="yourself"):
        await session.spawn(Command(["/bin/true"]))
    await session.stop()


def test_local_sessions_are_made_like_all_others():
    assert isinstance(create_session(SessionSpec(name="l", kind="local"), 10), LocalSession)
    assert isinstance(create_session(SessionSpec(name="l", kind="local-kml"), 10), LocalSession)


async def test_stopping_is_possible_at_any_time_and_more_than_once(proc):
    session, records = await started(proc)
    await session.stop()
    await session.stop()
    assert any(isinstance(record, State) for record in records)
    await LocalSession(SessionSpec(name="never started", kind="local")).stop()


def test_a_number_that_is_no_call_is_counted_as_other():
    counters = calls.as_counters({0: 3, bpf.OTHER_SLOT: 2, bpf.COMPAT_SLOT: 4}, {1: 9})
    assert (counters.trap_nr, counters.trap_cpu) == ({0: 3, OTHER: 2, COMPAT: 4}, {1: 9})
    assert [syscalls.name(number) for number in (0, OTHER, COMPAT)] == ["read", "other", "32-bit"]


def permitted(make):
    try:
        counter = make()
    except OSError as error:
        pytest.skip(f"not permitted here: {error}")
    return counter


def test_the_tracepoint_counts_every_call_of_a_process_and_no_other():
    counter = permitted(lambda: bpf.TracepointCounter([os.getpid()]))
    try:
        before, _ = counter.read()
        for _ in range(1000):
            os.getppid()
        after, by_cpu = counter.read()
        getppid = NUMBERS["getppid"]
        assert after[getppid] - before.get(getppid, 0) == 1000
        assert sum(by_cpu.values()) == sum(after.values())
        counter.remove(os.getpid())
        os.getppid()
        assert counter.read()[0][getppid] == after[getppid]
        counter.remove(os.getpid())
    finally:
        counter.close()
        counter.close()


def test_the_tracepoint_counts_programs_that_a_process_starts_in_turn():
    tell = "dd if=/dev/zero of=/dev/null bs=1 count=500 2>/dev/null"
    script = f"read go; for i in 1 2 3; do {tell}; sh -c '{tell} & wait'; done"
    process = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE)
    try:
        counter = permitted(lambda: bpf.TracepointCounter([process.pid]))
        if not counter.follows:
            counter.close()
            pytest.skip("this kernel does not describe its types")
        process.communicate(b"go\n")
        subprocess.run(["/bin/sh", "-c", tell], check=True)  # somebody else's
        counts, _ = counter.read()
        counter.close()
    finally:
        process.kill()
        process.wait()
    assert 3000 <= counts[NUMBERS["read"]] < 3400 and 3000 <= counts[NUMBERS["write"]] < 3400


class TestKernelTypes:
    """``task_struct { int state; union { struct { int on_cpu, pid; }; }; }``, as a kernel describes its own types."""

    NAMES = b"\0task_struct\0state\0pid\0on_cpu\0int\0"

    @classmethod
    def described(cls, tmp_path, **changed):
        def compound(kind, name, size, *members):
            packed = struct.pack("<III", cls.at(name), kind << 24 | len(members), size)
            return packed + b"".join(struct.pack("<III", cls.at(called), of, bits) for called, of, bits in members)

        integer = struct.pack("<IIII", cls.at("int"), 1 << 24, 4, 32)
        inner = compound(4, "", 8, ("on_cpu", 1, 0), ("pid", 1, 32))
        union = compound(5, "", 8, ("", 2, 0))
        forward = struct.pack("<III", cls.at("task_struct"), 7 << 24, 0)
        types = integer + inner + union + forward + compound(4, "task_struct", 12, ("state", 1, 0), ("", 3, 32))
        header = {"magic": 0xEB9F, "length": len(types)} | changed
        path = tmp_path / f"btf{len(changed)}"
        head = struct.pack("<HBBIIIII", header["magic"], 1, 0, 24, 0, header["length"], len(types), len(cls.NAMES))
        path.write_bytes(head + types + cls.NAMES)
        return path

    @classmethod
    def at(cls, name):
        return cls.NAMES.index(b"\0" + name.encode() + b"\0") + 1 if name else 0

    def test_a_field_is_found_within_unnamed_structures_too(self, tmp_path):
        path = self.described(tmp_path)
        assert btf.field_offset("task_struct", "state", path) == 0
        assert btf.field_offset("task_struct", "pid", path) == 8

    def test_what_is_not_there_is_said(self, tmp_path):
        path = self.described(tmp_path)
        for structure, field in (("task_struct", "tgid"), ("mm_struct", "pid")):
            with pytest.raises(ValueError, match=f"{structure}.{field}"):
                btf.field_offset(structure, field, path)
        with pytest.raises(ValueError, match="no description"):
            btf.field_offset("task_struct", "pid", self.described(tmp_path, magic=1))
        with pytest.raises(ValueError, match="cannot be understood"):
            btf.field_offset("task_struct", "missing", self.described(tmp_path, magic=0xEB9F, length=1000))
        with pytest.raises(OSError, match="nothing"):
            btf.field_offset("task_struct", "pid", tmp_path / "nothing")


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_a_32_bit_call_is_not_counted_under_the_name_its_number_has_in_64_bit_programs(tmp_path):
    source = tmp_path / "compat.c"
    source.write_text(
        "#include <unistd.h>\n"
        "int main(void) { char go; if (read(0, &go, 1) != 1) return 1;\n"
        '  for (int i = 0; i < 300; i++) { long a = 64; __asm__ volatile("int $0x80" : "+a"(a) :: "memory"); }\n'
        "  for (int i = 0; i < 200; i++) getppid();\n"
        "  return 0; }\n"
    )
    subprocess.run(["gcc", "-o", tmp_path / "compat", source], check=True)
    process = subprocess.Popen([tmp_path / "compat"], stdin=subprocess.PIPE)
    try:
        counter = permitted(lambda: bpf.TracepointCounter([process.pid]))
        process.communicate(b"!")
        counts, _ = counter.read()
        counter.close()
    finally:
        process.kill()
        process.wait()
    if process.returncode < 0:
        pytest.skip("this kernel has no 32-bit calls")
    assert counts[bpf.COMPAT_SLOT] == 300
    assert counts[NUMBERS["getppid"]] == 200 and NUMBERS["semget"] not in counts


PERF = """
import subprocess
from kmltui.counters.syscalls import NUMBERS
from kmltui.sessions.perf import PerfCounter

script = "read line; dd if=/dev/zero of=/dev/null bs=1 count=500 2>/dev/null"
process = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE)
try:
    counter = PerfCounter([process.pid])
    process.communicate(b"go")
    counts, _ = counter.read()
    counter.close()
    print(counts[NUMBERS["read"]], counts[NUMBERS["write"]])
finally:
    process.kill()
    process.wait()
"""


def test_perf_counts_a_process_and_what_it_starts():
    command = [sys.executable, "-c", PERF]
    if os.geteuid() == 0:
        # Where nobody has mounted tracefs: for this one process.
        mount = "grep -q ' /sys/kernel/tracing ' /proc/mounts || mount -t tracefs nodev /sys/kernel/tracing"
        command = ["unshare", "-m", "/bin/sh", "-c", f'{mount}; exec "$@"', "sh", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "PermissionError" in done.stderr or "not permitted" in done.stderr:
        pytest.skip(f"not permitted here: {done.stderr.splitlines()[-1]}")
    reads, writes = map(int, done.stdout.split())
    assert 500 <= reads < 600
    assert 500 <= writes < 600

# SPDX-License-Identifier: GPL-2.0-or-later
"""stress-ng in ring 0: what the tests run for a short while, and a soak that goes on for as long as one likes.

    python -m tests.guest.stress [--kernel K] [--vcpus N] [--hours H] [--all]

The soak runs the stressors in groups, each as often as the others and in another company each time, their children in
ring 0 too. Beside them run real programs, which check what they get: a database, a key-value store, interpreters, a
version control system, a debugger, a tracer and a profiler. CPUs go off and on meanwhile. What fails is tried again by
itself, in ring 0 and then in a stock guest: only what fails in ring 0 alone is a failure. So is a warning, bug, oops or
lockup in the kernel's messages, memory that does not come back, or a guest that dies. Ctrl-C ends it after the round.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shlex
import signal
import time
from collections.abc import Sequence

from kmltui.build.builder import ensure_image
from kmltui.images.image import Image
from kmltui.images.spec import make_spec
from kmltui.machine import qemu
from kmltui.machine.channel import GuestGone
from kmltui.sessions.protocol import SessionError

from .conftest import Guest, start_guest

STRESSORS = (
    *("access", "affinity", "aio", "alarm", "bad-altstack", "brk", "chdir", "clock", "clone", "close", "context"),
    *("daemon", "dentry", "dup", "env", "epoll", "eventfd", "exec", "fault", "fcntl", "fifo", "fork", "fp-error"),
    *("futex", "get", "getdent", "io-uring", "itimer", "kill", "longjmp", "malloc", "membarrier", "mmap", "mmapfork"),
    *("mprotect", "mq", "mremap", "msg", "msync", "munmap", "mutex", "nanosleep", "pidfd", "pipe", "poll", "prctl"),
    *("pthread", "ptrace", "rename", "rlimit", "schedpolicy", "seccomp", "sem", "sendfile", "session"),
    *("shm", "sigabrt", "sigchld", "sigfd", "sigfpe", "sigio", "signest", "sigpending", "sigpipe", "sigq", "sigrt"),
    *("sigsegv", "sigsuspend", "sigtrap", "sock", "splice", "stack", "switch", "syncload", "sysinfo", "tee", "timer"),
    *("timerfd", "tlb-shootdown", "userfaultfd", "utime", "vfork", "vm-splice", "wait", "yield", "zombie"),
)
"""Stressors that every kernel under test has. Not among them: those that execute random bytes or touch devices, and
resched, whose twenty children count in one place without a lock, which it sometimes complains of itself."""


def command(stressors: Sequence[str], seconds: int) -> list[str]:
    """All of them at once, one instance each; everything it starts is in ring 0.

    In /tmp, and not with ``--temp-path /tmp``: with that its io-uring stressor looks for its files elsewhere.
    """
    words = [word for name in stressors for word in (f"--{name}", "1")]
    options = ["--timeout", f"{seconds}s", "--oomable", "--no-rand-seed"]
    return ["/bin/sh", "-c", 'cd /tmp && exec stress-ng "$@"', "sh", *words, *options]


def failed(output: str) -> set[str]:
    """The stressors that stress-ng says have failed."""
    return set(re.findall(r"stress-ng: (?:fail|error): +\[\d+\] (?:stress-ng-)?([a-z0-9-]+):", output))


PROGRAMS = {
    "redis": (
        "redis-server --port 0 --unixsocket $PWD/socket --save '' --daemonize yes >/dev/null;"
        "n=0; until redis-cli -s socket ping >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 100 ]; sleep 0.2; done;"
        "redis-benchmark -s socket -n 2000 -c 8 -t set,get,incr,lpush -q >/dev/null;"
        '[ "$(redis-cli -s socket get counter:__rand_int__)" = 2000 ]; redis-cli -s socket shutdown nosave'
    ),
    "sqlite": (
        "sqlite3 base 'create table t (a integer primary key, b text)';"
        'for i in $(seq 20); do sqlite3 base "insert into t (b) values (hex(randomblob(50)))"; done;'
        "[ \"$(sqlite3 base 'select count(*), sum(a), sum(length(b)) from t; pragma integrity_check' | tr '\\n' ' ')\""
        ' = "20|210|2000 ok " ]'
    ),
    "git": (
        "export HOME=$PWD; git init -q r; cd r; git config user.email a@b; git config user.name c;"
        "for i in $(seq 5); do seq $((i * 100)) > f$i; git add f$i; git commit -qm $i; done;"
        "git clone -q . ../copy; git -C ../copy fsck 2>/dev/null; [ $(git -C ../copy rev-list --count HEAD) = 5 ];"
        "git -C ../copy diff --quiet HEAD"
    ),
    "perl": (
        "[ \"$(perl -e 'my $s = 0; for my $i (1 .. 30) { my $p = fork(); exit $i % 7 unless $p; waitpid $p, 0;"
        " $s += $? >> 8 } $SIG{USR1} = sub { $s++ }; kill USR1 => $$; print $s, `echo sub`')\" = 88sub ]"
    ),
    "python": (
        "[ \"$(python3 -c 'import os, threading, time; n = []; ts = [threading.Thread(target=lambda:"
        " [(n.append(os.getppid()), time.sleep(0)) for _ in range(500)]) for _ in range(4)]; [t.start() for t in ts];"
        " [t.join() for t in ts]; p = os.fork(); p or os._exit(3);"
        ' print(len(n), os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]))\')" = "2000 3" ]'
    ),
    "gdb": (
        "gdb -nx -batch -ex 'catch syscall write' -ex run -ex backtrace -ex stepi -ex stepi -ex 'print $cs' -ex delete"
        " -ex continue --args /usr/bin/perl -e 'print 1' > said 2>&1;"
        " grep -q ' = 51$' said; grep -q 'exited normally' said"
    ),
    "strace": (
        "strace -f -o calls perl -e 'for (1 .. 5) { my $p = fork(); exit unless $p; waitpid $p, 0 }';"
        "[ $(grep -c 'exited with 0' calls) = 6 ]"
    ),
    "perf": (
        "perf record -q -e cpu-clock -g -o data perl -e 'getppid() for 1 .. 20000' >/dev/null 2>&1;"
        "perf script -i data 2>/dev/null | grep -q '^perl '"
    ),
}
"""Shell scripts, run with ``set -e`` in an empty directory of their own: real programs, and whether they did right."""
PACKAGES = ("redis-server", "redis-tools", "sqlite3", "git")
"""What they need besides the tools of every test."""


def program(*names: str) -> str:
    """A script that runs some of :data:`PROGRAMS`, one after the other, and writes which of them have failed."""
    parts = []
    for name in names:
        directory = f"/tmp/program-{name}"
        script = shlex.quote(f"cd {directory}; {PROGRAMS[name]}")
        # Not in a subshell, where || would switch off -e.
        parts.append(f"mkdir {directory}; /bin/sh -ec {script} || echo 'failed: {name}'; rm -rf {directory}")
    return "\n".join(parts)


def failed_programs(output: str) -> set[str]:
    return set(re.findall(r"^failed: (\w+)$", output, re.MULTILINE))


_GROUP = 12
_MEMORY_BYTES = 2 << 30
_LIMIT_S = 1800.0
"""For 20 s of load, on a machine that has little time for it."""
_LEFT_OUT = {
    "opcode": "executes random bytes, which in ring 0 are privileged instructions, too",
    "priv-instr": "executes privileged instructions to be refused",
    "smi": "asks the firmware for interrupts",
    "watchdog": "arms the machine's watchdog",
    "rdrand": "is not on every emulated processor",
    "apparmor": "needs a security module that the guest has not",
}
_NO_VERDICT = (0, 3, 4)
"""Exit statuses: success, no resources, not implemented. (Others: it failed, or was killed.)"""


async def calls(guest: Guest) -> tuple[int, int]:
    """Direct calls and traps since the module was loaded."""
    rows = [line.split() for line in (await guest.check("cat /proc/kml/counters", elevated=False)).splitlines()]
    direct, trap = (sum(sum(map(int, row[2:])) for row in rows if row[0] == name) for name in ("direct", "trap"))
    return direct, trap


async def free_kib(guest: Guest) -> int:
    text = await guest.check("echo 3 > /proc/sys/vm/drop_caches; cat /proc/meminfo", elevated=False)
    found = re.search(r"MemAvailable: +(\d+)", text)
    assert found
    return int(found[1])


_LEFT_BEHIND = """
find /tmp /var/tmp /dev/shm /run -mindepth 1 -newer /started -exec rm -rf {} + 2>/dev/null
ipcrm --all 2>/dev/null
true
"""
"""Removes the files (which are in memory) and segments that stressors leave when they are killed in company."""


async def _lost_kib(guest: Guest, at_first: int) -> int:
    """How much less memory there is than at first, once what has just ended is gone; 0 for what may be chance."""
    await guest.check(_LEFT_BEHIND, elevated=False)
    for _ in range(10):
        lost = at_first - await free_kib(guest)
        if lost <= 64 << 10:
            return 0
        await asyncio.sleep(3)
    return lost


async def _fails_alone(guest: Guest, name: str) -> bool:
    if name in PROGRAMS:
        return bool(failed_programs((await guest.run(program(name), limit_s=300)).stdout))
    result = await guest.run(command([name], 5), limit_s=300)
    return result.status not in _NO_VERDICT


async def _around(guest: Guest, message: str) -> str:
    """A message of the kernel's with what it said before and after."""
    lines = (await guest.check(["/bin/dmesg"], elevated=False)).splitlines()
    at = lines.index(message) if message in lines else len(lines)
    return "\n    ".join(lines[max(at - 15, 0) : at + 40] or [message])


async def _toggle_cpus(guest: Guest, vcpus: int) -> None:
    for online in (0, 1):
        for cpu in range(1, vcpus):
            await guest.run(f"echo {online} > /sys/devices/system/cpu/cpu{cpu}/online", elevated=False)


async def soak(image: Image, vcpus: int, hours: float, every: bool) -> list[str]:
    """What went wrong, in words."""
    ring0 = await start_guest(image, "kml", vcpus=vcpus, memory_bytes=_MEMORY_BYTES)
    compared: list[Guest] = []
    complaints: list[str] = []

    async def stock() -> Guest:
        """The stock guest, booted when it is first needed."""
        if not compared:
            compared.append(await start_guest(image, "stock", vcpus=vcpus, memory_bytes=_MEMORY_BYTES))
        return compared[0]

    try:
        names = list(STRESSORS)
        if every:
            listed = await ring0.check(["/usr/bin/stress-ng", "--stressors"], elevated=False)
            names = [name for name in listed.split() if name not in _LEFT_OUT]
        at_first = await free_kib(ring0)
        await ring0.check("touch /started", elevated=False)
        end = time.monotonic() + hours * 3600
        rounds = told = 0
        to_run: list[str] = []
        enough = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, enough.set)
        while time.monotonic() < end and not enough.is_set():
            rounds += 1
            if not to_run:
                to_run = random.sample(names, k=len(names))
            group, to_run = to_run[:_GROUP], to_run[_GROUP:]
            # Before they run: if the guest dies of it, this is all that is known.
            print(f"round {rounds}: {' '.join(group)}", flush=True)
            running = asyncio.gather(
                ring0.run(command(group, 20), limit_s=_LIMIT_S), ring0.run(program(*PROGRAMS), limit_s=_LIMIT_S)
            )
            await _toggle_cpus(ring0, vcpus)
            result, of_programs = await running
            named = failed(result.stderr + result.stdout) & set(group)
            for name in sorted(named | failed_programs(of_programs.stdout)):
                if not await _fails_alone(ring0, name):
                    print(f"{name}: failed in company (status {result.status}), not by itself", flush=True)
                elif await _fails_alone(await stock(), name):
                    print(f"{name}: fails in stock, too", flush=True)
                else:
                    complaints.append(f"{name} fails in ring 0 alone:\n{result.stderr}{of_programs.stderr}")
            if not named and result.status not in _NO_VERDICT:
                if (await (await stock()).run(command(group, 20), limit_s=_LIMIT_S)).status in _NO_VERDICT:
                    complaints.append(f"one of these, unnamed, fails in ring 0 alone:\n{result.stderr}")
                else:
                    print("one of these, unnamed, fails in stock, too:", flush=True)
            complaints += [await _around(ring0, alarm) for alarm in await ring0.new_alarms()]
            for complaint in complaints[told:]:
                print(f"    {complaint}", flush=True)
            told = len(complaints)
        print(f"{len(names)} stressors; each ran {rounds * _GROUP / len(names):.1f} times")
        print(f"{len(PROGRAMS)} programs; each ran {rounds} times")
        if lost := await _lost_kib(ring0, at_first):
            usage = await ring0.check("cat /proc/meminfo; ps", elevated=False)
            complaints.append(f"{lost} KiB of memory did not come back:\n{usage}")
        direct, trap = await calls(ring0)
        print(f"{direct:,} direct calls, {trap:,} traps")
    except (GuestGone, SessionError) as error:
        complaints.append("\n    ".join([f"a guest died: {error}; the end of the console:", *ring0.console[-150:]]))
    finally:
        await ring0.session.stop()
        for guest in compared:
            await guest.session.stop()
    return complaints


def main() -> None:
    parser = argparse.ArgumentParser(description="Soak ring 0 with stress-ng.")
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--vcpus", type=int, default=4)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--all", action="store_true", help="all stressors that the package has")
    options = parser.parse_args()
    # What two CPUs do to each other in the same instant is the point here, at the price of a boot that may fail.
    qemu.EMULATOR_THREADS = "multi"
    label = f"soak-{options.kernel.replace('.', '-')}"
    image = ensure_image(make_spec(kernel=options.kernel, tools=True, label=label, extra=PACKAGES))
    complaints = asyncio.run(soak(image, options.vcpus, options.hours, options.all))
    raise SystemExit("\n".join(complaints) if complaints else 0)


if __name__ == "__main__":
    main()

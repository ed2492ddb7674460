# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL at random moments of real runs: what is lost, and what is left behind.

    python benchmarks/kills.py [--kills 200] [--guests 0.2] [--seed 1]

Each round starts a run, kills one of its processes, and checks what it leaves. Without guests it is the runner or the
viewer of a monitor; in the share ``--guests`` of the rounds it is the runner or one QEMU of a run with two guests.
Counted are:

* lost bytes: what no reader can use (a runner's last record, which was being written, may be among them);
* records that are not in order, or are missing: a killed runner's recording must reach to the kill;
* orphans: processes of the run that are alive three seconds later;
* runs that stopped although only a viewer died, and states that ``kmltui ls`` would show wrongly;
* files that no later command has removed.

Each sum must be 0, except for the last record of a runner.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import psutil  # noqa: E402

from kmltui import paths  # noqa: E402
from kmltui.model import Gap, Sample  # noqa: E402
from kmltui.recording import Reader, RecordingError, library  # noqa: E402

KMLTUI = [sys.executable, "-m", "kmltui"]
MARK = "KMLTUI_KILLS"
LAST_RECORD_BYTES = 4096
"""The most bytes that a record that is being written may have."""
SAMPLE_RATE = 20
LATE_S = 2.0
"""A recording that ends earlier than this before the kill lacks records. Many times the time between two samples, as
the machine may be busy, and a guest's samples take time.
"""
NO_QEMU = "rounds without a kill: no guests yet"
NOT_BEGUN = "rounds without a kill: the machine was too busy to begin the run"
KINDS = {False: ("runner", "runner", "viewer"), True: ("guests' runner", "QEMU", "QEMU")}


class Round:
    """One run with a home of its own, whose processes are recognised by a variable in their environment."""

    def __init__(self, number: int, home: Path, cache: Path | None) -> None:
        self.home = home
        self.mark = f"{os.getpid()}-{number}"
        self.environment = {**os.environ, "KMLTUI_HOME": str(home), MARK: self.mark, "PYTHONPATH": str(ROOT)}
        self._seen: dict[int, psutil.Process] = {}
        if cache is not None:  # images, and what is compiled once
            (home / "cache").symlink_to(cache)

    def kmltui(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*KMLTUI, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def viewer(self, recording: Path) -> int:
        """The screen on ``recording``, on a terminal whose output is not read, so that only what fits into its buffer
        is accepted."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe(KMLTUI[0], [*KMLTUI, "watch", str(recording)], {**self.environment, "TERM": "xterm"})
        os.set_blocking(terminal, False)
        return pid

    def processes(self) -> list[psutil.Process]:
        """All that have the mark, and what they have started: QEMU has another environment."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    for one in (process, *process.children(recursive=True)):
                        self._seen.setdefault(one.pid, one)
        return [process for process in self._seen.values() if _alive(process)]

    def end_orphans(self, runner_pid: int) -> list[psutil.Process]:
        """Those that outlived the run; they are ended, and named."""
        orphans = [process for process in self.processes() if process.pid != runner_pid]
        for process in orphans:
            with contextlib.suppress(psutil.Error):
                print(f"orphan {process.pid}: {process.name()}", flush=True)
            kill(process.pid)
        return orphans

    def qemus(self) -> list[psutil.Process]:
        return [process for process in self.processes() if "qemu-system" in process.name()]

    def wait_for(self, recording: Path, limit_s: float) -> bool:
        """Wait until the recording has begun; whether it has."""
        end = time.monotonic() + limit_s
        while not (recording.exists() and recording.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
        return recording.exists()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def examine(recording: Path, killed_unix_ns: int) -> Counter[str]:
    """What is wrong with a recording; ``killed_unix_ns``: when its runner was killed, 0 if it was not."""
    count: Counter[str] = Counter()
    try:
        with Reader.open(recording) as reader:
            records, created_unix_ns = list(reader.records()), reader.header.created_unix_ns
    except RecordingError:
        count["recordings that cannot be read"] += 1
        return count
    lost = sum(record.lost_bytes for record in records if isinstance(record, Gap))
    allowed = LAST_RECORD_BYTES if killed_unix_ns else 0
    count["lost bytes"] += max(lost - allowed, 0)
    count["bytes of last records"] += min(lost, allowed)
    times: dict[str, list[int]] = {}
    for record in records:
        if isinstance(record, Sample):
            times.setdefault(record.session, []).append(record.t_ns)
    count["recordings out of order"] += any(one != sorted(one) for one in times.values())
    if killed_unix_ns and times:
        missing_s = (killed_unix_ns - created_unix_ns - max(map(max, times.values()))) / 1e9
        count["recordings that end too early"] += missing_s > LATE_S
    return count


def play(number: int, what: str, pause_s: float, cache: Path | None) -> Counter[str]:
    """One round: ``what`` is killed ``pause_s`` after the recording has begun."""
    count: Counter[str] = Counter()
    home = Path(tempfile.mkdtemp(prefix="kmltui-kills-"))
    guests = what in KINDS[True]
    world = Round(number, home, cache)
    recording = home / "r.kmlrec"
    try:
        if guests:
            command = ["run", "--headless", "--workload", "syscalls", "--duration", "120s"]
        else:
            command = ["monitor", "--headless", "--duration", "60s", "--sample-rate", str(SAMPLE_RATE)]
        runner = world.kmltui(*command, "--out", str(recording), "--name", f"kills-{number}")
        if not world.wait_for(recording, 120):
            count[NOT_BEGUN] += 1
            return count
        viewer = world.viewer(recording) if what == "viewer" else 0
        time.sleep(pause_s)
        qemus = world.qemus()
        victim = viewer or runner.pid
        if what == "QEMU":
            if len(qemus) < 2:  # none yet, or one that finds out whether KVM works here
                count[NO_QEMU] += 1
                return count
            victim = qemus[number % len(qemus)].pid
        count["kills with guests up"] += len(qemus) == 2
        killed_unix_ns = time.time_ns() if victim == runner.pid else 0
        if not _alive(psutil.Process(victim)):
            count["victims that had ended"] += 1
        kill(victim)
        if viewer:
            os.waitpid(viewer, 0)
            time.sleep(1)
            count["runs that a viewer took with it"] += runner.poll() is not None
            runner.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(60)
        count["runs that went on without a guest"] += runner.poll() is None
        time.sleep(3)
        count["orphans"] += len(world.end_orphans(runner.pid))
        count += examine(recording, killed_unix_ns)
        state = library.entry(recording).state
        expected = {"QEMU": "failed", "viewer": "stopped"}.get(what, "lost")
        count["states that are wrong"] += state != expected
        subprocess.run([*KMLTUI, "ls"], env=world.environment, capture_output=True, check=False)
        left = [*home.glob(".kmltui-*"), *home.glob("*.part"), *(home / "run").glob("*.sock")]
        count["files left"] += len(left)
    finally:
        for process in world.processes():
            kill(process.pid)
        shutil.rmtree(home, ignore_errors=True)
    return count


def kills(number: int, guests: float, seed: int, cache: Path | None) -> Counter[str]:
    """What all rounds found; if interrupted (Ctrl-C), those until then."""
    total: Counter[str] = Counter()
    with contextlib.suppress(KeyboardInterrupt):
        _kills(total, number, guests, seed, cache)
    return total


def _kills(total: Counter[str], number: int, guests: float, seed: int, cache: Path | None) -> None:
    pick = random.Random(seed)
    for round_ in range(number):
        with_guests = pick.random() < guests
        what = pick.choice(KINDS[with_guests])
        pause_s = pick.uniform(0, 25 if with_guests else 3)
        found = play(round_, what, pause_s, cache)
        total.update(found)
        total[f"kills of a {what}"] += not (found[NO_QEMU] or found[NOT_BEGUN])
        expected = {"bytes of last records", "kills with guests up", NO_QEMU, NOT_BEGUN}
        if bad := {name: value for name, value in found.items() if value and name not in expected}:
            print(f"round {round_}: {what} after {pause_s:.2f} s: {bad}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--guests", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name, value in sorted(kills(arguments.kills, arguments.guests, arguments.seed, paths.cache_dir()).items()):
        print(f"{value:>8}  {name}")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL at random moments of real runs: what is lost, and what is left behind.

    python benchmarks/kills.py [--kills 200] [--guests 0.2] [--seed 1]

Each round starts a run, kills its runner, its viewer or (in the share ``--guests`` of the rounds) its QEMU, and checks:

* lost: bytes of the recording that no reader can use (the record that was being written may be among them), and whether
  all earlier records are present and in order;
* orphans: processes of the run that are alive three seconds later, except those that are meant to continue;
* left: files that no later command has cleaned up.

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


class Round:
    """One run with a home of its own, whose processes are recognised by a variable in their environment."""

    def __init__(self, number: int, home: Path, cache: Path | None) -> None:
        self.home = home
        self.mark = f"{os.getpid()}-{number}"
        self.environment = {**os.environ, "KMLTUI_HOME": str(home), MARK: self.mark, "PYTHONPATH": str(ROOT)}
        if cache is not None:
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
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_for(self, recording: Path, limit_s: float) -> None:
        """Wait until the recording has begun."""
        end = time.monotonic() + limit_s
        while not (recording.exists() and recording.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def lost_bytes(recording: Path, live: bool) -> int:
    """Bytes that belong to no record; -1: the recording cannot be read or its records are not in order."""
    try:
        with Reader.open(recording) as reader:
            records = list(reader.records())
    except RecordingError:
        return -1
    times = [record.mono_ns for record in records if isinstance(record, Sample)]
    gaps = sum(record.lost_bytes for record in records if isinstance(record, Gap))
    return -1 if times != sorted(times) and not live else gaps


def play(number: int, what: str, pause_s: float, cache: Path | None) -> Counter[str]:
    """One round: ``what`` is killed ``pause_s`` after the recording has begun."""
    count: Counter[str] = Counter()
    home = Path(tempfile.mkdtemp(prefix="kmltui-kills-"))
    world = Round(number, home, cache if what == "qemu" else None)
    recording = home / "r.kmlrec"
    try:
        if what == "qemu":
            command = ["run", "--headless", "--arms", "stock", "--workload", "syscalls", "--duration", "60s"]
        else:
            command = ["monitor", "--headless", "--duration", "60s", "--sample-rate", "20"]
        runner = world.kmltui(*command, "--out", str(recording), "--name", f"kills-{number}")
        world.wait_for(recording, 120)
        viewer = world.viewer(recording) if what == "viewer" else 0
        time.sleep(pause_s)
        if what == "qemu":
            qemu = [p.pid for p in world.processes() if "qemu-system" in " ".join(p.cmdline()[:1])]
            count["too early for QEMU"] += not qemu
            victims = qemu
        else:
            victims = [viewer or runner.pid]
        for pid in victims:
            kill(pid)
        if viewer:
            os.waitpid(viewer, 0)
        time.sleep(1)
        if what == "viewer":
            count["runs that a viewer took with it"] += runner.poll() is not None
            runner.terminate()
        if what == "qemu":
            with contextlib.suppress(subprocess.TimeoutExpired):
                runner.wait(30)
            runner.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(20)
        time.sleep(2)
        orphans = [process for process in world.processes() if process.pid != runner.pid]
        count["orphans"] += len(orphans)
        for process in orphans:
            kill(process.pid)
        lost = lost_bytes(recording, live=False)
        count["recordings not readable or not in order"] += lost < 0
        allowed = LAST_RECORD_BYTES if what == "runner" else 0
        count["lost bytes"] += max(lost - allowed, 0)
        count["bytes of last records"] += min(max(lost, 0), allowed)
        state = library.entry(recording).state
        count["states that are wrong"] += (state == "lost") != (what == "runner") or state == "live"
        subprocess.run([*KMLTUI, "ls"], env=world.environment, capture_output=True, check=False)
        count["files left"] += len(list(home.glob(".kmltui-*"))) + len(list((home / "run").glob("*.sock")))
    finally:
        for process in world.processes():
            kill(process.pid)
        shutil.rmtree(home, ignore_errors=True)
    return count


def kills(number: int, guests: float, seed: int, cache: Path | None) -> Counter[str]:
    pick = random.Random(seed)
    total: Counter[str] = Counter()
    for round_ in range(number):
        what = "qemu" if pick.random() < guests else pick.choice(("runner", "runner", "viewer"))
        pause_s = pick.uniform(0, 25 if what == "qemu" else 3)
        found = play(round_, what, pause_s, cache)
        total += found
        total[f"kills of a {what}"] += 1
        if bad := {name: value for name, value in found.items() if value and name != "bytes of last records"}:
            print(f"round {round_}: {what} after {pause_s:.2f} s: {bad}", flush=True)
    return total


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

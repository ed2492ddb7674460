# SPDX-License-Identifier: GPL-2.0-or-later
"""What the viewer costs: bytes to the terminal, CPU, start, memory – beside htop and btop in the same terminals.

    python benchmarks/viewer.py [--seconds 30] [--size 160x48 --size 80x24] [--run] [--processes 250] [--json]

Each program runs in a pty of the given size whose other end is read continuously. The viewer watches a recording that a
writer extends at 2 Hz with both sessions busy: every figure on the screen changes with every sample. So that the others
have something to show as well, the machine is as busy as during a run: for each CPU a niced process works and pauses.
With ``--run`` all of them watch a real run instead: both guests run the Wisconsin benchmark on this machine. What htop
and btop cost grows with the number of processes, what the viewer costs does not: so that a container or a small machine
compares like an ordinary one, processes that sleep are started until ``--processes`` are there. Bytes are
counted from the sixth second after the first paint on, when everything has been painted; CPU is the process's over the
same time. The targets, at 80x24, are half of htop's bytes, one and a half times its CPU, and 500 ms to the first paint.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "samples")]

import psutil  # noqa: E402
from made_up_run import S, header, run  # noqa: E402

from kmltui.model import Header, Progress  # noqa: E402
from kmltui.recording import Reader, Writer  # noqa: E402

SETTLE_S = 6.0
VIEWER = """
import sys, time
from kmltui.recording import Reader
from kmltui.tui.app import run_viewer
run_viewer(Reader.open(sys.argv[1]), mode="watch", fps=1.0, theme=sys.argv[2])
"""


@dataclass
class Cost:
    program: str
    size: str
    bytes_per_s: float
    cpu_percent: float
    first_paint_ms: float
    first_paint_cpu_ms: float
    """What the process itself has used by then: the same on a busy machine, where the time is not."""
    rss_mb: float


LOAD = """
import time
while True:
    end = time.monotonic() + 0.07
    while time.monotonic() < end:
        pass
    time.sleep(0.02)
"""


@contextmanager
def busy_machine() -> Iterator[None]:
    """A process for each CPU that uses about three quarters of it, at the lowest priority."""
    load = [subprocess.Popen(["nice", "-n", "19", sys.executable, "-c", LOAD]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in load:
            process.kill()
            process.wait()


@contextmanager
def processes(number: int) -> Iterator[None]:
    """Processes that sleep, so many that there are at least ``number`` in all."""
    sleeping = [subprocess.Popen(["sleep", "infinity"]) for _ in range(number - len(psutil.pids()))]
    try:
        yield
    finally:
        for process in sleeping:
            process.kill()
            process.wait()


@contextmanager
def real_run() -> Iterator[Path]:
    """The recording of a run of both guests, which continues meanwhile."""
    kmltui = [sys.executable, "-m", "kmltui"]
    with tempfile.TemporaryDirectory() as directory:
        path, name = Path(directory) / "run.kmlrec", f"viewer-{os.getpid()}"
        begin = [*kmltui, "run", "--detach", "--loops", "100000", "--name", name, "--out", str(path)]
        subprocess.run(begin, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            with Reader.open(path) as reader:
                working: set[str] = set()
                while len(working) < len(reader.header.sessions):
                    working |= {each.session for each in reader.poll() if isinstance(each, Progress)}
                    if not reader.live:
                        raise SystemExit(f"the run has ended before its time; see 'kmltui report {path}'")
                    time.sleep(0.5)
            yield path
        finally:
            subprocess.run([*kmltui, "stop", name], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


@contextmanager
def live_recording(seconds: float) -> Iterator[Path]:
    """A recording that grows in real time and already contains a minute."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "live.kmlrec"
        writer = Writer.create(path, header())
        records = (record for record in run(90 + seconds * 2) if not isinstance(record, Header))
        pending = next(records)
        while pending.t_ns < 66 * S:
            writer.append(pending)
            pending = next(records)
        writer.flush()
        begin, stop = time.monotonic(), threading.Event()

        def extend() -> None:
            nonlocal pending
            while not stop.wait(0.05):
                now = 66 * S + (time.monotonic() - begin) * S
                added = False
                while pending.t_ns <= now:
                    writer.append(pending)
                    pending, added = next(records), True
                if added:
                    writer.flush()

        thread = threading.Thread(target=extend, daemon=True)
        thread.start()
        yield path
        stop.set()
        thread.join()
        writer.close()


def measure(program: str, argv: list[str], size: str, seconds: float) -> Cost:
    width, height = map(int, size.split("x"))
    begin = time.monotonic()
    pid, master = pty.fork()
    if pid == 0:
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        environ["PYTHONPATH"] = str(ROOT)
        for name in ("NO_COLOR", "COLUMNS", "LINES", "LC_ALL"):
            environ.pop(name, None)
        time.sleep(0.05)  # by then the size has been set
        os.execvpe(argv[0], argv, environ)
    ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = psutil.Process(pid)
    first_paint = paint_cpu = 0.0
    counted, cpu_begin, measured_from = 0, 0.0, 0.0
    painted = b""
    while (now := time.monotonic()) - (measured_from or now) < seconds:
        if not measured_from and first_paint and now - begin - first_paint >= SETTLE_S:
            measured_from, cpu_begin, counted = now, sum(process.cpu_times()[:2]), 0
        ready, _, _ = select.select([master], [], [], 0.05)
        if ready:
            data = os.read(master, 65536)
            counted += len(data)
            if not first_paint:
                painted += data
                if len(painted) > width * 4:
                    first_paint = time.monotonic() - begin - 0.05
                    paint_cpu = sum(process.cpu_times()[:2])
    elapsed = time.monotonic() - measured_from
    cost = Cost(
        program,
        size,
        counted / elapsed,
        (sum(process.cpu_times()[:2]) - cpu_begin) / elapsed * 100,
        first_paint * 1000,
        paint_cpu * 1000,
        process.memory_info().rss / 1e6,
    )
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:  # keep reading, so that its last words do not block it
        if select.select([master], [], [], 0.05)[0]:
            try:
                os.read(master, 65536)
            except OSError:
                break
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(master)
    return cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--size", action="append", default=[])
    parser.add_argument("--theme", default="kmltui-dark")
    parser.add_argument("--only-viewer", action="store_true")
    parser.add_argument("--run", action="store_true", help="watch a real run of both guests")
    parser.add_argument(
        "--processes", type=int, default=250, help="how many there are at least, kernel threads included"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    costs: list[Cost] = []
    others = {} if options.only_viewer else {"htop": ["htop", "-d", "10"], "btop": ["btop"]}
    with processes(options.processes), real_run() if options.run else busy_machine() as running:
        for size in options.size or ["160x48", "80x24"]:
            with nullcontext(running) if running else live_recording(options.seconds + 2 * SETTLE_S) as path:
                argv = [sys.executable, "-c", VIEWER, str(path), options.theme]
                costs.append(measure("kmltui", argv, size, options.seconds))
            for name, argv in others.items():
                if shutil.which(name):
                    costs.append(measure(name, argv, size, options.seconds))
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    print(f"{'program':<10}{'size':>9}{'bytes/s':>10}{'CPU %':>8}{'first paint':>13}{'of it CPU':>12}{'memory':>10}")
    for cost in costs:
        print(
            f"{cost.program:<10}{cost.size:>9}{cost.bytes_per_s:>10,.0f}{cost.cpu_percent:>8.2f}"
            f"{cost.first_paint_ms:>10.0f} ms{cost.first_paint_cpu_ms:>9.0f} ms{cost.rss_mb:>7.1f} MB"
        )


if __name__ == "__main__":
    main()

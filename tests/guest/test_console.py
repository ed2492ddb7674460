# SPDX-License-Identifier: GPL-2.0-or-later
"""``guest exec`` and ``guest shell``: a guest around one command, or around a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from kmltui.images.extract import has_program
from kmltui.images.image import Image

KMLTUI = [sys.executable, "-m", "kmltui"]
LIMIT_S = 180


def run(image: Image, *argv: str, session: str = "kml", given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [*KMLTUI, "guest", "exec", "--session", session, "--image", image.name, "--", *argv]
    return subprocess.run(command, input=given, capture_output=True, timeout=LIMIT_S, check=False)


class TestExec:
    def test_output_and_exit_status_are_the_programs(self, image: Image) -> None:
        result = run(image, "sh", "-c", "echo out; echo problem >&2; exit 7")
        assert (result.returncode, result.stdout) == (7, b"out\n")
        assert b"problem\n" in result.stderr

    def test_a_program_runs_in_ring_0_and_reads_what_it_is_given(self, image: Image) -> None:
        source = "import os, sys; print(len(sys.stdin.buffer.read())); print(open('/proc/kml/attached').read())"
        result = run(image, "python3", "-c", source, given=bytes(100_000))
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(b"100000\n")
        assert b"python3" in result.stdout, "it is attached, so its system calls are calls"

    def test_in_a_stock_session_nothing_is_attached(self, image: Image) -> None:
        result = run(image, "python3", "-c", "print(open('/proc/kml/attached').read())", session="stock")
        assert result.returncode == 0 and b"python3" not in result.stdout

    def test_every_applet_of_its_busybox_is_known_without_running_it(self, image: Image) -> None:
        result = run(image, "sh", "-c", "/kmltui/busybox --list", session="stock")
        listed = result.stdout.decode().split()
        assert len(listed) > 100, result.stderr
        assert [name for name in listed if not has_program(image, name)] == []

    def test_a_program_that_is_not_there(self, image: Image) -> None:
        result = run(image, "no-such-program")
        assert result.returncode == 2 and b"no-such-program" in result.stderr

    def test_a_signal_is_128_and_its_number(self, image: Image) -> None:
        assert run(image, "sh", "-c", "kill -ABRT $$").returncode == 128 + signal.SIGABRT


class Terminal:
    """A shell in a guest, on a terminal of the test's."""

    def __init__(self, image: Image, rows: int, columns: int) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        command = [*KMLTUI, "guest", "shell", "--session", "kml", "--image", image.name]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        self.slave = slave
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, pattern: str, limit_s: float = LIMIT_S) -> re.Match[str]:
        """Wait for ``pattern`` in what has been shown since the last match."""
        deadline = time.monotonic() + limit_s
        while not (match := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not come; the screen says:\n{self.text}"
            if select.select([self.master], [], [], min(left, 1.0))[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")
        self.text = self.text[match.end() :]
        return match

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())


@pytest.fixture
def terminal(image: Image) -> Iterator[Terminal]:
    shell = Terminal(image, 33, 99)
    yield shell
    with contextlib.suppress(ProcessLookupError):
        shell.process.kill()
    shell.process.wait()
    os.close(shell.master)
    os.close(shell.slave)


class TestShell:
    def test_it_is_the_users_terminal(self, terminal: Terminal) -> None:
        terminal.expect("# ")
        terminal.type("stty size\n")
        terminal.expect(r"33 99\r\n")
        terminal.resize(20, 70)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.type("sleep 1; stty size\n")
        terminal.expect(r"20 70\r\n")
        terminal.type("sleep 1000\n")
        time.sleep(1)
        terminal.type("\x03")  # for the program in the guest, not for kmltui
        terminal.type("echo still $((40 + 2)) here\n")
        terminal.expect("still 42 here")
        terminal.type("exit 5\n")
        assert terminal.process.wait(LIMIT_S) == 5
        assert termios.tcgetattr(terminal.slave) == terminal.before, "the terminal is as it was"

    def test_without_a_terminal_it_says_what_to_do(self, image: Image) -> None:
        command = [*KMLTUI, "guest", "shell", "--image", image.name]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False)
        assert result.returncode != 0 and b"guest exec" in result.stderr

# SPDX-License-Identifier: GPL-2.0-or-later
"""The viewer in real terminals: slow, stalled, closed, resized, and those that can show little."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyte
import pytest
from made_up_run import S, header, run
from tui_pty import Terminal, opened

from kmltui.printable import printable
from kmltui.recording import Writer
from kmltui.tui.glyphs import ASCII, CONSOLE, Glyphs, nearest
from kmltui.tui.terminal import Screen


class TestDifferences:
    """Only cells that changed are sent, and the terminal shows what was written all the same."""

    STYLES = (
        "",
        "1",
        "1;38;2;1;2;3",
        "38;2;95;175;255",
        "38;2;95;175;255;48;2;0;0;0",
        "7;31",
        "2;32",
        "1;2;44",
        "38;5;3",
    )

    def state(self, screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
        return [
            [(c.data, c.fg, c.bg, c.bold, c.reverse) for c in (screen.buffer[y][x] for x in range(screen.columns))]
            for y in range(screen.lines)
        ]

    @pytest.mark.parametrize("seed", range(4))
    def test_the_terminal_shows_what_was_written(self, seed: int) -> None:
        dice = random.Random(seed)
        width, height = 30, 8
        differ, sent = Screen(width, height), pyte.Screen(width, height)
        reference = pyte.Screen(width, height)
        to_sent, to_reference = pyte.Stream(sent), pyte.Stream(reference)
        differ.write("\x1b[?1049h")
        for step in range(400):
            for _ in range(dice.randint(0, 4)):
                x, y = dice.randrange(width), dice.randrange(height)
                text = "".join(dice.choice("ab █⣿│xy") for _ in range(dice.randint(1, width - x)))
                style = dice.choice(self.STYLES)
                data = f"\x1b[{y + 1};{x + 1}H" + (f"\x1b[{style}m{text}\x1b[0m" if style else text)
                differ.write(data)
                to_reference.feed(data)
            if step == 200:
                differ.invalidate()
            to_sent.feed(differ.take())
            assert self.state(sent) == self.state(reference)

    def test_what_is_shown_already_is_not_sent(self) -> None:
        screen = Screen(20, 2)
        screen.write("\x1b[?1049h\x1b[1;1H\x1b[32mhello world\x1b[0m")
        screen.take()
        screen.write("\x1b[1;1H\x1b[32mhello werld\x1b[0m")
        assert screen.take() == "\b\b\b\be", "colour and place are known from the last update"

    def test_wide_characters_are_sent_whole(self) -> None:
        screen = Screen(10, 1)
        screen.write("\x1b[?1049h\x1b[1;1Ha世b")
        assert "a世b" in screen.take()
        screen.write("\x1b[1;3Hx")  # over the right half
        assert re.sub(r"\x1b\[[0-9;]*[A-Z]", "", screen.take()) == " x"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.kmlrec"
    with_end = Writer.create(path, header())
    for record in run(60, finish=True):
        with_end.append(record)
    with_end.close()
    return path


class Live:
    """A recording that a writer in this process has not finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = Writer.create(path, header())
        self._records = iter(run(600))
        self._next = next(self._records)

    def write_until(self, seconds: float) -> None:
        while self._next.t_ns <= seconds * S:
            self.writer.append(self._next)
            self._next = next(self._records)
        self.writer.flush()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    found = Live(tmp_path / "live.kmlrec")
    found.write_until(30)
    yield found
    found.writer.close()


ASKING = """
from kmltui.sessions.mysql import Address, ask_password
try:
    ask_password(Address("app", "h"))
except KeyboardInterrupt:
    print("interrupted")
"""


class TestATerminal:
    def test_shows_the_run_and_quits(self, recording: Path, tmp_path: Path) -> None:
        with opened(Terminal(recording, tmp_path / "result")) as terminal:
            terminal.wait_for("whole workload")
            terminal.send("q")
            assert terminal.wait() == "ended"
            assert terminal.output.rstrip(b"\x1b[?0123456789lhu<").endswith(b"") and b"\x1b[?1049l" in terminal.output

    def test_follows_a_live_run(self, live: Live, tmp_path: Path) -> None:
        with opened(Terminal(live.path, tmp_path / "result")) as terminal:
            terminal.wait_for("REC 00:30")
            live.write_until(45)
            terminal.wait_for("REC 00:45")
            terminal.send("q")
            assert terminal.wait() == "left"

    @pytest.mark.parametrize("delay_ms", ["1", "100", "1000"])
    def test_an_escape_key_arrives_whatever_its_delay(self, recording: Path, tmp_path: Path, delay_ms: str) -> None:
        """No other key comes after it, which would end the wait."""
        with opened(Terminal(recording, tmp_path / "result", environ={"ESCDELAY": delay_ms})) as terminal:
            terminal.wait_for("whole workload")
            terminal.send("?")
            terminal.wait_for("one sample on")
            terminal.send("\x1b")
            terminal.read(until=lambda t: not t.shows("one sample on"))

    def test_resizing_in_any_order_leaves_a_whole_screen(self, live: Live, tmp_path: Path) -> None:
        with opened(Terminal(live.path, tmp_path / "result", size=(80, 24))) as terminal:
            terminal.wait_for("quit")
            for width, height in ((160, 48), (62, 21), (40, 8), (200, 60), (80, 24), (61, 60), (199, 20), (100, 30)):
                terminal.resize(width, height)
                if width < 60 or height < 20:
                    terminal.wait_for("is too small")
                    continue
                terminal.read(
                    until=lambda t, w=width, h=height: (  # type: ignore[misc]
                        "quit" in t.screen.display[h - 1] and t.screen.display[0].rstrip().endswith("off")
                    )
                )
                assert all(len(line) == width for line in terminal.screen.display)

    def test_stalled_stalls_nothing_but_itself(self, live: Live, tmp_path: Path) -> None:
        with opened(Terminal(live.path, tmp_path / "result", size=(200, 60), fps=20)) as terminal:
            terminal.wait_for("REC 00:30")
            process = psutil.Process(terminal.pid)
            for second in range(31, 121):
                live.write_until(second)  # the run goes on; nobody reads the terminal
            begin = sum(process.cpu_times()[:2])
            terminal._stream.feed(b"")
            select_nothing(3.0)
            busy = sum(process.cpu_times()[:2]) - begin
            assert busy < 2.5, "the viewer is busy while its terminal is stalled"
            terminal.wait_for("REC 02:00")
            terminal.send("q")
            assert terminal.wait() == "left"

    def test_closed_the_viewer_ends_at_once(self, live: Live, tmp_path: Path) -> None:
        with opened(Terminal(live.path, tmp_path / "result")) as terminal:
            terminal.wait_for("REC 00:30")
            process = psutil.Process(terminal.pid)
            before = sum(process.cpu_times()[:2])
            terminal.hang_up()
            assert terminal.wait(limit=8) == "terminal-gone"
            assert before < 60

    def test_the_terminal_knows_its_size_better_than_the_environment(self, live: Live, tmp_path: Path) -> None:
        with opened(Terminal(live.path, tmp_path / "result", environ={"COLUMNS": "100", "LINES": "30"})) as terminal:
            terminal.wait_for("REC 00:30")
            terminal.wait_for("q quit")
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.wait(limit=8) == "terminal-gone"

    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
    def test_told_to_end_it_restores_the_terminal(self, live: Live, tmp_path: Path, number: signal.Signals) -> None:
        with opened(Terminal(live.path, tmp_path / "result")) as terminal:
            terminal.wait_for("REC 00:30")
            os.kill(terminal.pid, number)
            assert terminal.wait(limit=8) == "terminal-gone"
            assert b"\x1b[?1049l" in terminal.output and b"\x1b[?25h" in terminal.output

    def test_of_no_size_it_is_taken_for_80x24_and_sigterm_ends_the_viewer(self, live: Live, tmp_path: Path) -> None:
        with opened(Terminal(live.path, tmp_path / "result", size=(80, 24), told_size=False)) as terminal:
            terminal.wait_for("REC 00:30")
            terminal.read(until=lambda t: "quit" in t.screen.display[23])
            process = psutil.Process(terminal.pid)
            begin = sum(process.cpu_times()[:2])
            terminal.read(3.0)
            assert sum(process.cpu_times()[:2]) - begin < 2.5, "the viewer is busy though nothing happens"
            os.kill(terminal.pid, signal.SIGTERM)
            assert terminal.wait() == "terminal-gone"

    def test_ctrl_z_suspends_the_viewer_and_fg_shows_it_again(self, recording: Path, tmp_path: Path) -> None:
        command = shlex.join([sys.executable, "-m", "kmltui", "watch", str(recording)])
        environ = {"PS1": "prompt> ", "KMLTUI_HOME": str(tmp_path / "home")}
        shell = Terminal(recording, tmp_path / "result", command=["bash", "--norc", "-i"], environ=environ)
        with opened(shell) as terminal:
            terminal.wait_for("prompt>")
            terminal.send(command + "\n")
            terminal.wait_for("REPLAY")
            terminal.send("\x1a")
            terminal.wait_for("Stopped")
            assert terminal.output.count(b"\x1b[?1049l") == 1
            terminal.send("fg\n")
            terminal.read(until=lambda t: t.output.count(b"\x1b[?1049h") == 2)
            terminal.send("q")
            terminal.read(until=lambda t: t.output.count(b"\x1b[?1049l") == 2)

    def test_ctrl_d_at_the_password_prompt_is_ctrl_c(self, tmp_path: Path) -> None:
        with opened(Terminal(tmp_path, tmp_path / "result", command=[sys.executable, "-c", ASKING])) as terminal:
            terminal.wait_for("Password for")
            terminal.send("\x04")
            terminal.wait_for("interrupted")

    def test_sends_little(self, live: Live, tmp_path: Path) -> None:
        """A wide bound; benchmarks/viewer.py has the tight one."""
        with opened(Terminal(live.path, tmp_path / "result", size=(160, 48), fps=10)) as terminal:
            terminal.wait_for("REC 00:30")
            terminal.read(0.5)
            before = len(terminal.output)
            for second in range(31, 41):
                live.write_until(second)
                terminal.wait_for(f"REC 00:{second}")
            assert len(terminal.output) - before < 10 * 2500


def select_nothing(seconds: float) -> None:
    time.sleep(seconds)


COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


def colours(output: bytes) -> set[int]:
    """The codes of all SGR sequences, without the arguments of 38 and 48."""
    found: set[int] = set()
    for sequence in COLOUR.findall(output):
        codes = [int(code or 0) for code in sequence[2:-1].split(b";")]
        while codes:
            code = codes.pop(0)
            found.add(code)
            if code in (38, 48) and codes:
                found.add(1000 + codes[0])
                del codes[: 4 if codes[0] == 2 else 2]
    return found


class TestPoorTerminals:
    def look(self, recording: Path, tmp_path: Path, **environ: str) -> Terminal:
        environ = {"COLORTERM": "", **environ}
        with opened(Terminal(recording, tmp_path / "result", mode="replay", at_s=40, environ=environ)) as terminal:
            terminal.wait_for("REPLAY")
            terminal.wait_for("quit")
            terminal.read(0.5)
            terminal.send("q")
            terminal.wait()
            return terminal

    def test_no_colour_means_none(self, recording: Path, tmp_path: Path) -> None:
        terminal = self.look(recording, tmp_path, NO_COLOR="1", COLORTERM="truecolor")
        assert not {code for code in colours(terminal.output) if code >= 30}
        assert 1 in colours(terminal.output), "what is bold stays bold"

    def test_16_colours(self, recording: Path, tmp_path: Path) -> None:
        terminal = self.look(recording, tmp_path, TERM="xterm")
        assert not {code for code in colours(terminal.output) if code in (38, 48)}
        assert {code for code in colours(terminal.output) if 30 <= code <= 37}

    def test_256_colours(self, recording: Path, tmp_path: Path) -> None:
        terminal = self.look(recording, tmp_path, TERM="xterm-256color")
        assert 1005 in colours(terminal.output) and 1002 not in colours(terminal.output)

    def test_the_linux_console_gets_what_its_font_has(self, recording: Path, tmp_path: Path) -> None:
        terminal = self.look(recording, tmp_path, TERM="linux")
        beyond = {c for c in terminal.output.decode() if ord(c) > 126}
        assert beyond <= set("─│┬┴┼├┤┌┐└┘█▄▀▌▐░▒▓·√°±µ")
        assert not {code for code in colours(terminal.output) if code in (38, 48)}

    def test_a_locale_without_unicode_gets_ascii(self, recording: Path, tmp_path: Path) -> None:
        terminal = self.look(recording, tmp_path, LANG="C", LC_ALL="C")
        assert terminal.output.isascii()
        assert terminal.shows("stock") and terminal.shows("####")


@pytest.mark.parametrize("glyphs", [ASCII, CONSOLE], ids=lambda glyphs: glyphs.name)
def test_frames_and_keys_of_dialogs_have_signs_everywhere(glyphs: Glyphs) -> None:
    assert "?" not in [nearest(character, glyphs) for character in "─│╭╮╰╯┃━⇧←→↑↓⏎▔▁▊▎🔎"]


@pytest.mark.parametrize("glyphs", [ASCII, CONSOLE], ids=lambda glyphs: glyphs.name)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 s = 10⁹ instructions", "1 s = 1e9 instructions"),
        ("a-long-na…", "a-long-na~"),
        (printable("a\rb\x7f"), "a^b^"),
    ],
)
def test_what_has_no_sign_of_its_own_is_spelled_in_as_many_cells(glyphs: Glyphs, text: str, shown: str) -> None:
    screen = Screen(len(text), 1, glyphs)
    screen.write(f"\x1b[?1049h\x1b[1;1H{text}")
    assert shown in screen.take()

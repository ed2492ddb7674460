# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures and screencasts of a recording, made without a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyte
import pytest
from made_up_run import run
from tui_support import MemorySource

from kmltui.tui.asciicast import asciicast
from kmltui.tui.pages.report import make_report
from kmltui.tui.screenshot import screenshot


def cast(**options: object) -> list[str]:
    lines: list[str] = []
    asciicast(MemorySource(run(40, finish=True)), lines.append, **options)  # type: ignore[arg-type]
    return lines


def test_a_screencast_is_asciicast_v2_and_shows_the_end() -> None:
    lines = cast(size=(80, 24), speed=10.0, fps=1.0)
    header = json.loads(lines[0])
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    screen = pyte.Screen(80, 24)
    stream = pyte.Stream(screen)
    elapsed = 0.0
    for line in lines[1:]:
        at, kind, data = json.loads(line)
        assert kind == "o" and at >= elapsed
        elapsed = at
        if "\x1b[?1049l" not in data:
            stream.feed(data)
    assert any("What this run came to" in line for line in screen.display)
    assert 4 <= elapsed <= 7  # 46 seconds at ten times their speed, and a second for the end to be seen


def test_asciicast_v3_is_the_same_film_with_the_time_since_the_event_before() -> None:
    second, third = ([json.loads(line) for line in cast(size=(80, 24), speed=10.0, version=each)] for each in (2, 3))
    assert third[0]["version"] == 3 and third[0]["term"] == {"cols": 80, "rows": 24, "type": "xterm-256color"}
    assert "width" not in third[0]
    assert [each[2] for each in third[1:]] == [each[2] for each in second[1:]]
    assert sum(each[0] for each in third[1:]) == pytest.approx(second[-1][0], abs=0.01)


def test_later_frames_are_differences() -> None:
    lines = cast(size=(80, 24), speed=1.0, fps=1.0)
    frames = [len(json.loads(line)[2]) for line in lines[20:-3]]
    assert sum(frames) / len(frames) < len(json.loads(lines[1])[2]) / 2


@pytest.mark.parametrize("options", [{"speed": 0.0}, {"fps": -1.0}, {"size": (0, 24)}])
def test_impossible_wishes_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        cast(**options)


def test_the_same_moment_gives_the_same_picture(tmp_path: Path) -> None:
    def picture() -> str:
        svg = screenshot(MemorySource(run(40, finish=True)), at_ns=30_000_000_000, size=(80, 24))
        return re.sub(r"terminal-\d+", "terminal", svg)

    assert picture() == picture()
    assert "STOCK" in picture()


def test_a_screencast_that_nobody_reads_any_more_ends_with_that_error_alone(capfd: pytest.CaptureFixture[str]) -> None:
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        if len(written) > 3:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        asciicast(MemorySource(run(40, finish=True)), write, size=(80, 24))  # type: ignore[arg-type]
    assert capfd.readouterr().err == ""


def test_a_report_on_the_screen_fits_it() -> None:
    text = make_report(MemorySource(run(40, finish=True)), 80)  # type: ignore[arg-type]
    assert max(map(len, text.splitlines())) <= 77

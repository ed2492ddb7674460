# SPDX-License-Identifier: GPL-2.0-or-later
"""At any width a figure is on the screen whole, with the word that says what it is, or it is not there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import Side, run
from rich.cells import cell_len
from test_one_session import monitor
from test_pictures import benched, timed_calls
from tui_support import MemorySource

from kmltui.model import Header, Record, SessionSpec, WorkloadSpec
from kmltui.tui.draw import header as first_line
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.cpus import CpusPage
from kmltui.tui.pages.environment import EnvironmentPage
from kmltui.tui.pages.live import LivePage
from kmltui.tui.pages.log import LogPage
from kmltui.tui.pages.projector import ProjectorPage
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.player import Frame, Player
from kmltui.tui.text import Line, cropped, fit, plain, width

WIDTHS = range(60, 201)
HEIGHTS = (20, 44)
LABELS = r"(?:into ring 0|trap|direct|queries/s|p50|p95|p99|p99\.9|us|sy|rows/s|connections)"
NUMBER = r"(?:[\d.,]+[kMG]?|–)"


def frame(records: list[Record], header: Header | None = None) -> Frame:
    source = MemorySource(records, live=True)
    if header is not None:
        source.header = header
    player = Player(source)
    return player.tick(0)


def large() -> list[Record]:
    """Figures as long as they get, and sessions whose names end in versions."""
    fast = [Side(name, speed=900.0, direct=0.5 * index, elevations=1e9) for index, name in enumerate(("stock", "kml"))]
    return list(run(120, both=fast))


def alone() -> Frame:
    spec = SessionSpec(name="local", kind="local", vcpus=2)
    return frame(monitor(60), Header(run="m", workload=WorkloadSpec(name="monitor"), sessions=[spec]))


FRAMES: dict[str, Callable[[], Frame]] = {
    "running": lambda: frame(list(run(95))),
    "done": lambda: frame(list(run(60, finish=True))),
    "large": lambda: frame(large()),
    "sixteen CPUs": lambda: frame(list(run(30, cpus=16))),
    "timed calls": lambda: frame(timed_calls()),
    "bench": lambda: frame(benched(6)),
    "monitor": alone,
}
FIGURES: tuple[type[Page], ...] = (LivePage, CallsPage, CpusPage, QueriesPage, ProjectorPage)


def texts(page: Page, shown: Frame, cells: int, rows: int) -> list[str]:
    """The page's lines as the widget puts them on the screen."""
    lines = page.draw(shown, Canvas(cells, rows, UNICODE, call_name, 0.004))
    assert len(lines) == rows
    return [plain(fit(line, cells)) for line in lines]


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("kind", FIGURES, ids=lambda kind: kind.name)
def test_every_figure_is_there_whole_with_its_word_or_not_at_all(name: str, kind: type[Page]) -> None:
    shown = FRAMES[name]()
    page = kind()
    for cells in WIDTHS:
        for rows in HEIGHTS:
            for text in texts(page, shown, cells, rows):
                where = f"{cells}×{rows}: {text!r}"
                assert cell_len(text) == cells, where
                # Two fields run into each other.
                assert not re.search(rf"\d(?:{LABELS}|stock|kml)\b", text), where
                # A word without its figure, or with a part of one.
                for label in re.finditer(rf"(?<![\w/]){LABELS}(?= )", text):
                    rest = text[label.end() :]
                    after_a_sign = re.match(r" +[█▒+−]| *$|  +\w| a? ?call| of the| and| *[│→]| \d\d:\d\d–", rest)
                    assert after_a_sign or re.match(rf" +{NUMBER}(?=[ /│%]|$)", rest), where


@pytest.mark.parametrize("name", FRAMES)
def test_the_first_line_names_whole_facts(name: str) -> None:
    shown = FRAMES[name]()
    facts: set[str] = set()
    for cells in reversed(WIDTHS):
        line = first_line.draw(shown, cells, UNICODE)
        assert width(line) == cells
        text = plain(line)
        if not facts:
            facts = set(re.split(r"\s·\s|\s{2,}", text.strip()))
        words = set(" ".join(facts).split())
        assert {word for word in text.split() if word[0].isdigit()} <= words, f"{cells}: {text!r}"


@pytest.mark.parametrize("kind", [EnvironmentPage, LogPage], ids=lambda kind: kind.name)
def test_prose_that_is_too_long_ends_in_dots(kind: type[Page]) -> None:
    shown = FRAMES["running"]()
    whole = " ".join(texts(kind(), shown, 600, 400)).split()
    for cells in WIDTHS:
        for text in texts(kind(), shown, cells, 40):
            for word in text.split():
                if re.match(r"\d", word):
                    assert word in whole or word.endswith("…") or kind is EnvironmentPage, f"{cells}: {text!r}"


WORDS = st.lists(
    st.one_of(
        st.from_regex(r"[×−]?[0-9]{1,3}(,[0-9]{3}){0,2}(\.[0-9])?[kM]?( %| ms| µs| KB)?", fullmatch=True),
        st.text("abcäß表·", min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=6,
)


class TestCropping:
    @given(WORDS, st.integers(0, 60), st.booleans())
    def test_a_number_is_kept_whole_or_left_out(self, words: list[str], cells: int, more: bool) -> None:
        text = " ".join(words)
        kept = cropped(text, cells, more=more)
        assert cell_len(kept) <= cells
        if kept == text:
            return
        assert kept.endswith("…") or cells == 0
        kept = kept.rstrip("…")
        assert text.startswith(kept)
        for number in re.finditer(r"(?<!\S)[×−]?\d\S*(?: (?:%|ms|µs|KB)(?!\S))?", text):
            assert not number.start() < len(kept) < number.end()

    @given(WORDS, st.integers(1, 60))
    def test_a_line_is_as_wide_as_was_asked_for(self, words: list[str], cells: int) -> None:
        line: Line = tuple((f"{word} ", "text") for word in words)
        assert width(fit(line, cells)) == cells

    def test_what_fits_stays_as_it_is(self) -> None:
        assert plain(fit((("traps ", "muted"), ("39.6k", "trap")), 11)) == "traps 39.6k"

    def test_a_figure_that_does_not_fit_leaves_dots(self) -> None:
        assert plain(fit((("traps ", "muted"), ("39.6k", "trap")), 10)) == "traps …   "

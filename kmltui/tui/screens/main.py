# SPDX-License-Identifier: GPL-2.0-or-later
"""The one screen of live runs, watched runs and replays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from textwrap import wrap
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from kmltui.printable import printable
from kmltui.tui.controls import Controls, ViewerResult
from kmltui.tui.draw import header
from kmltui.tui.feed import Command
from kmltui.tui.glyphs import Glyphs
from kmltui.tui.layout import SMALLEST
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas, Page, TablePage
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.cpus import CpusPage
from kmltui.tui.pages.environment import EnvironmentPage
from kmltui.tui.pages.live import LivePage
from kmltui.tui.pages.log import LogPage
from kmltui.tui.pages.projector import ProjectorPage
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.pages.report import Outcome, ReportPage, make_outcome, make_report
from kmltui.tui.player import Frame, Player, Source
from kmltui.tui.screens.dialogs import Ask, Prompt, Table, parse_time
from kmltui.tui.screens.help import HelpScreen
from kmltui.tui.text import Line, centre, clock
from kmltui.tui.textual_private import Steady
from kmltui.tui.themes import Settings
from kmltui.tui.widgets.body import Body
from kmltui.tui.widgets.keybar import KeyBar, unique_bindings
from kmltui.tui.widgets.lines import Lines
from kmltui.tui.widgets.timeline import Timeline

PAGES: tuple[type[Page], ...] = (
    LivePage,
    CallsPage,
    CpusPage,
    QueriesPage,
    LogPage,
    EnvironmentPage,
    ReportPage,
    ProjectorPage,
)

_S = 1_000_000_000
_SUBTITLE_ROWS = 3


def _page_bindings() -> list[BindingType]:
    """The views' keys. The last line shows as many as fit: the ones used most come first."""
    letters = {"live": "l", "calls": "t", "log": "o", "environment": "e", "report": "r", "queries": "u", "cpus": "p"}
    letters |= {"projector": "b"}
    bindings = {
        page: Binding(
            f"{number},{letters[page.name]}",
            f"page('{page.name}')",
            page.title.lower() if page is not CallsPage else "calls",
            key_display=letters[page.name],
            tooltip=f"{page.title} ({number})",
        )
        for number, page in enumerate(PAGES, 1)
    }
    return [bindings.pop(CallsPage), bindings.pop(ReportPage), *bindings.values()]


class MainScreen(Steady, Screen[None]):
    """Draws the frames that the app passes on, and turns keys into requests to the player."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "pause", tooltip="pause or go on; a live run is collected all the same"),
        Binding("left", "step(-5)", "step", key_display="←/→", tooltip="five seconds back or on"),
        Binding("right", "step(5)", show=False, tooltip="five seconds on; at the end of a live run: live again"),
        Binding("shift+left", "step(-60)", show=False, key_display="⇧←", tooltip="a minute back"),
        Binding("shift+right", "step(60)", show=False, key_display="⇧→", tooltip="a minute on"),
        Binding("comma", "sample(-1)", show=False, key_display=",", tooltip="one sample back"),
        Binding("full_stop", "sample(1)", show=False, key_display=".", tooltip="one sample on"),
        Binding("left_square_bracket", "landmark(-1)", show=False, key_display="[", tooltip="previous phase or mark"),
        Binding("right_square_bracket", "landmark(1)", show=False, key_display="]", tooltip="next phase or mark"),
        Binding("minus", "speed(-1)", show=False, key_display="−", tooltip="slower, down to ×0.25"),
        Binding("plus,equals_sign", "speed(1)", show=False, key_display="+", tooltip="faster, up to ×64"),
        Binding("home", "goto_start", show=False, tooltip="to the beginning"),
        Binding("end", "goto_live", show=False, tooltip="back to live, or to the end"),
        Binding("g", "goto", show=False, tooltip="go to a time: 1:30, 90s, 50%"),
        Binding("m", "mark", "mark", tooltip="put a mark with a note into the recording"),
        Binding("c", "chart", "chart", tooltip="the next chart"),
        Binding("w", "zoom(1)", show=False, tooltip="a longer time in the charts"),
        Binding("shift+w,W", "zoom(-1)", show=False, key_display="W", tooltip="a shorter time in the charts"),
        *_page_bindings(),
        Binding("slash", "filter", show=False, key_display="/", tooltip="filter the table or the log"),
        Binding("s", "sort(1)", show=False, tooltip="sort by the next column"),
        Binding("shift+s,S", "reverse", show=False, key_display="S", tooltip="turn the order round"),
        Binding("x", "explain", show=False, tooltip="the watched server's plan (EXPLAIN) of the marked statement"),
        Binding("up,k", "scroll(-1)", show=False, key_display="↑", tooltip="scroll up"),
        Binding("down,j", "scroll(1)", show=False, key_display="↓", tooltip="scroll down"),
        Binding("pageup", "scroll(-20)", show=False, tooltip="a page up"),
        Binding("pagedown", "scroll(20)", show=False, tooltip="a page down"),
        Binding("escape", "page('live')", show=False, tooltip="back to the live view"),
        Binding("T", "app.next_theme", show=False, tooltip="the next theme"),
        Binding("f12,P", "app.picture", show=False, key_display="P", tooltip="save a picture of the screen (SVG)"),
        Binding("ctrl+p", "app.command_palette", "palette", key_display="^p", tooltip="every command by its name"),
        Binding("ctrl+l", "app.redraw", show=False, key_display="^l", tooltip="draw everything again"),
        Binding("question_mark,f1", "help", "help", key_display="?", tooltip="this help"),
        Binding("q", "quit", "quit", tooltip="leave; of a live run it asks whether to stop it"),
    ]

    def __init__(
        self,
        controls: Controls | None,
        glyphs: Glyphs,
        source: Source,
        do: Callable[[Command], None],
        cpu_share: Callable[[], float | None],
        settings: Settings | None = None,
        remember: Callable[..., None] = lambda **_: None,
    ) -> None:
        """``do`` lets the player do something; ``cpu_share`` is the viewer's own use of one CPU, if known.

        ``settings`` hold what was chosen last; ``remember`` stores what is chosen now, under the same names.
        """
        super().__init__()
        self._controls = controls
        self._glyphs = glyphs
        self._source = source
        self._do = do
        self._cpu_share = cpu_share
        self._frame: Frame | None = None
        self._outcome_asked_for = False
        self._outcome = Outcome()
        self._remember = remember
        self.pages: dict[str, Page] = {page.name: page() for page in PAGES}
        settings = settings or Settings()
        self._live.chart, self._live.window_s = settings.chart, settings.window_s
        for name, chosen in settings.sorts.items():
            if isinstance(page := self.pages.get(name), TablePage):
                page.chosen = chosen

    def compose(self) -> ComposeResult:
        yield Lines(id="head")
        yield Lines(id="banner")
        yield Body(self.pages["live"], id="body")
        yield Lines(id="subtitle")
        yield Timeline(id="timeline")
        yield KeyBar(id="keys")
        yield Lines(id="small")

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1], "too-small")
        self.set_class(event.size.height >= 34, "tall")
        self.call_after_refresh(self._redraw)

    def show_frame(self, frame: Frame) -> None:
        """Draw a frame; in one batch, so that it goes to the terminal as one update."""
        self._frame = frame = self._outcome.settle(frame)
        with self.app.batch_update():
            self._draw(frame)

        if frame.view.status and not self._outcome_asked_for:
            self._outcome_asked_for = True
            self._make_outcome()

    @work(thread=True, exclusive=True, group="outcome")
    def _make_outcome(self) -> None:
        """The outcome of the run, read from the whole recording in the background."""
        self.app.call_from_thread(self._show_outcome, make_outcome(self._source))

    def _show_outcome(self, outcome: Outcome) -> None:
        projector, queries = self.pages["projector"], self.pages["queries"]
        assert isinstance(projector, ProjectorPage) and isinstance(queries, QueriesPage)
        self._live.card = projector.card = outcome.card
        queries.calls = outcome.calls
        self._outcome = outcome
        self._redraw()

    def _redraw(self) -> None:
        if self._frame is not None:
            self.show_frame(self._frame)

    def _draw(self, frame: Frame) -> None:
        width, height = self.size
        if self.has_class("too-small"):
            self.query_one("#small", Lines).show_lines(header.too_small(width, height, SMALLEST))
            return
        glyphs = self._glyphs
        self.query_one("#head", Lines).show_lines([header.draw(frame, width, glyphs)])
        banner, line = self.query_one("#banner", Lines), header.banner(frame, width, glyphs)
        banner.show_lines([line] if line else [])
        if banner.has_class("shown") != bool(line):
            banner.set_class(bool(line), "shown")
            self.call_after_refresh(self._redraw)
        self.query_one(Body).show_frame(frame, Canvas(width, height, glyphs, call_name, self._cpu_share()))
        self._show_subtitle(frame.subtitle, width)
        self.query_one(Timeline).show_frame(frame, glyphs)
        self.query_one(KeyBar).show_bindings(self._shown_bindings)

    @cached_property
    def _shown_bindings(self) -> list[Binding]:
        return [each for each in unique_bindings(self) if each.show]

    def _show_subtitle(self, text: str, width: int) -> None:
        rows = wrap(printable(text), max(min(width - 8, 100), 20))[:_SUBTITLE_ROWS]
        lines: list[Line] = [centre(((row, "strong"),), width) for row in rows]
        subtitle = self.query_one("#subtitle", Lines)
        subtitle.show_lines([*lines, *[()] * (_SUBTITLE_ROWS - len(lines))] if text else [])
        if subtitle.has_class("shown") != bool(text):
            subtitle.set_class(bool(text), "shown")
            self.call_after_refresh(self._redraw)

    @property
    def page(self) -> Page:
        return self.query_one(Body).page

    # The transport

    def action_pause(self) -> None:
        self._do(lambda player: player.pause())

    def action_step(self, seconds: int) -> None:
        self._do(lambda player: player.step(seconds * _S))

    def action_sample(self, direction: int) -> None:
        def one(player: Player) -> None:
            if not player.paused and direction < 0:
                player.pause()
            player.step(direction * player.source.header.sample_period_ns)

        self._do(one)

    def action_landmark(self, direction: int) -> None:
        self._do(lambda player: player.jump(direction))

    def action_speed(self, step: int) -> None:
        self._do(lambda player: player.set_speed(step))

    def action_goto_start(self) -> None:
        self._do(lambda player: player.seek(0))

    def action_goto_live(self) -> None:
        self._do(lambda player: player.go_live())

    def on_timeline_scrubbed(self, message: Timeline.Scrubbed) -> None:
        t_ns = message.t_ns
        self._do(lambda player: player.seek(t_ns) if t_ns < player.duration_ns else player.go_live())

    @work
    async def action_goto(self) -> None:
        duration = self._frame.duration_ns if self._frame else 0
        text = await self.app.push_screen_wait(
            Prompt(
                "Go to",
                hint=f"a time between 0:00 and {clock(duration)}: 1:30, 90s, 50%",
                check=lambda text: (
                    "" if parse_time(text, duration) is not None else f"{text!r} is no time: try 1:30 or 50%"
                ),
            )
        )
        t_ns = parse_time(text, duration) if text else None
        if t_ns is not None:
            self._do(lambda player: player.seek(t_ns))

    # The views

    def action_page(self, name: str) -> None:
        body = self.query_one(Body)
        if name == "projector" == body.page.name:  # the same key leads back
            name = "live"
        body.page = self.pages[name]
        self.set_class(name == "projector", "projector")
        body.redraw()
        if name == "report":
            self._make_report()

    @work(thread=True, exclusive=True, group="report")
    def _make_report(self) -> None:
        """Read the recording again, in the background; a live run's report grows with every visit."""
        page = self.pages["report"]
        assert isinstance(page, ReportPage)

        def show(fraction: float) -> None:
            if fraction - page.fraction >= 0.01:
                page.fraction = fraction
                self.app.call_from_thread(self.query_one(Body).redraw)

        page.fraction = 0.0
        text = make_report(self._source, self.size.width, show)
        self.app.call_from_thread(self._show_report, text)

    def _show_report(self, text: str) -> None:
        page = self.pages["report"]
        assert isinstance(page, ReportPage)
        page.text = text
        self.query_one(Body).redraw()

    @property
    def _live(self) -> LivePage:
        live = self.pages["live"]
        assert isinstance(live, LivePage)
        return live

    def action_chart(self) -> None:
        self._live.next_chart()
        self._remember(chart=self._live.chart)
        self.query_one(Body).redraw()

    def action_zoom(self, step: int) -> None:
        self._live.zoom(step)
        self._remember(window_s=self._live.window_s)
        self.query_one(Body).redraw()

    def action_scroll(self, lines: int) -> None:
        self.page.scroll(lines)
        self.query_one(Body).redraw()

    def action_sort(self, step: int) -> None:
        if isinstance(self.page, TablePage):
            self.page.sort_next(step)
            self._sorted()

    def action_reverse(self) -> None:
        if isinstance(self.page, TablePage):
            self.page.reverse()
            self._sorted()

    def on_body_clicked(self) -> None:
        self._sorted()

    def _sorted(self) -> None:
        tables = [page for page in self.pages.values() if isinstance(page, TablePage)]
        self._remember(sorts={page.name: page.chosen for page in tables if page.chosen is not None})
        self.query_one(Body).redraw()

    @work
    async def action_filter(self) -> None:
        page = self.page
        if not isinstance(page, TablePage | LogPage):
            return
        text = await self.app.push_screen_wait(
            Prompt("Show only lines with", value=page.filter, hint="empty shows all of them")
        )
        if text is not None:
            page.filter = text.strip()
            self.query_one(Body).redraw()

    @work(exclusive=True, group="explain")
    async def action_explain(self) -> None:
        page, frame = self.pages["queries"], self._frame
        assert isinstance(page, QueriesPage)
        if self.page is not page or frame is None or page.picked is None:
            self.notify("a plan is shown of a watched server's statements, on the queries page (u)", severity="warning")
            return
        if not frame.live or self._controls is None or not self._controls.can_explain:
            self.notify("a server is asked for a plan only while it is watched from here", severity="warning")
            return
        digest, schema = page.picked
        try:
            plan = await self._controls.explain(digest, schema)
        except Exception as error:
            self.notify(f"no plan: {printable(str(error))}", severity="warning", markup=False)
            return
        text = next((each.text for each in frame.view.sessions[0].digests if each.digest == digest), "")
        self.app.push_screen(Table("The server's plan", printable(text), plan.columns, plan.rows))

    def action_help(self) -> None:
        bindings = [binding for binding in unique_bindings(self) if binding.tooltip]
        self.app.push_screen(HelpScreen(bindings, Canvas(self.size.width, self.size.height, self._glyphs, call_name)))

    # The run

    @work
    async def action_mark(self) -> None:
        if not (self._frame and self._frame.live):
            self.notify("a mark can be put into a live run only", severity="warning")
            return
        if self._controls is None or not self._controls.can_mark:
            self.notify("a stream only comes: put the mark in at its source, with 'kmltui mark'", severity="warning")
            return
        note = await self.app.push_screen_wait(Prompt("Mark this moment", hint="a note, or nothing"))
        if note is None:
            return
        try:
            await self._controls.mark(note)
        except Exception as error:
            self.notify(f"the mark was not recorded: {error}", severity="error", markup=False)

    @work
    async def action_quit(self) -> None:
        frame = self._frame
        if frame is None or not frame.live:
            self.app.exit(ViewerResult.ENDED)
            return
        if self._controls is None or not self._controls.can_stop:
            self.app.exit(ViewerResult.LEFT)
            return
        answer = await self.app.push_screen_wait(
            Ask(
                "The run is still going on",
                "It does not need this screen.",
                [("l", "leave", "leave it running"), ("s", "stop", "stop it"), ("escape", "", "go on watching")],
            )
        )
        if answer == "leave":
            self.app.exit(ViewerResult.LEFT)
        elif answer == "stop":
            if not (self._frame and self._frame.live):
                self.notify("the run has already ended", severity="warning")
                return
            try:
                await self._controls.stop()
            except Exception as error:
                self.notify(f"the run was not stopped: {error}", severity="error", markup=False)
                return
            self.app.exit(ViewerResult.STOP)

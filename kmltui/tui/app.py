"""The viewer: an app around one recording. Disposable: nothing of a run depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen

from kmltui import paths
from kmltui.tui import glyphs, themes
from kmltui.tui.controls import Controls, ViewerResult
from kmltui.tui.driver import DiffDriver
from kmltui.tui.feed import Command, Feed
from kmltui.tui.player import Frame, Player, Source
from kmltui.tui.screens.main import PAGES, MainScreen


class FrameReady(Message):
    """The feed has a frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame


class ViewerApp(App[ViewerResult]):
    """Shows the frames of a player."""

    CSS_PATH = paths.data_dir("styles") / "kmltui.tcss"
    TITLE = "kmltui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", show=False, system=True),
        Binding("ctrl+q", "leave", show=False, system=True),
    ]

    def __init__(
        self,
        player: Player,
        controls: Controls | None = None,
        *,
        fps: float | None = None,
        theme: str | None = None,
        driver_class: type[Driver] | None = None,
        glyph_set: glyphs.Glyphs | None = None,
        threaded: bool = True,
    ) -> None:
        """``threaded=False``: frames come only when :meth:`pump` is called with a time (tests, exports)."""
        no_color = "NO_COLOR" in os.environ
        super().__init__(driver_class=driver_class, ansi_color=True if no_color else None)
        self.glyphs = glyph_set or glyphs.detect()
        self._controls = controls
        self._threaded = threaded
        self.feed = Feed(player, self._deliver, fps=fps, lagging=self._lagging)
        self._now_ns = 0
        self._cpu_mark = (time.monotonic(), time.process_time())
        self.cpu_share: float | None = None
        for each in themes.load().values():
            self.register_theme(each)
        self._choose_theme(theme, no_color)

    def _choose_theme(self, wanted: str | None, no_color: bool) -> None:
        """The one asked for, else the one remembered; the terminal's own colours where it has no more than those."""
        few_colors = self.console.color_system in (None, "standard")
        name = wanted or (themes.ANSI if few_colors or no_color else themes.remembered().theme) or themes.DARK
        self.theme = name if name in self.available_themes else themes.DARK
        self._remember = wanted is None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.role_defaults()

    def get_default_screen(self) -> Screen[Any]:
        return MainScreen(self._controls, self.glyphs)

    @property
    def main(self) -> MainScreen:
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def on_mount(self) -> None:
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                with contextlib.suppress(RuntimeError, ValueError):  # not in the main thread: somebody else's signals
                    loop.add_signal_handler(number, self.exit, ViewerResult.TERMINAL_GONE)
        if self._threaded:
            self.feed.start()

    def on_unmount(self) -> None:
        if self._threaded:
            self.feed.stop()

    def on_resize(self, event: Any) -> None:
        if isinstance(self._driver, DiffDriver):
            self._driver.resized(event.size.width, event.size.height)

    def _lagging(self) -> bool:
        return isinstance(self._driver, DiffDriver) and self._driver.lagging

    def _deliver(self, frame: Frame) -> None:
        self.post_message(FrameReady(frame))

    def on_frame_ready(self, message: FrameReady) -> None:
        self._measure()
        self.main.show_frame(message.frame)
        self.feed.taken()

    def _measure(self) -> None:
        """The viewer's own CPU use over the last ten seconds or so: it changes seldom, as it costs to show it."""
        now, used = time.monotonic(), time.process_time()
        if self._threaded and now - self._cpu_mark[0] >= 10:
            self.cpu_share = (used - self._cpu_mark[1]) / (now - self._cpu_mark[0])
            self._cpu_mark = (now, used)

    def do(self, command: Command) -> None:
        """Let the player do something; the outcome comes as the next frame."""
        self.feed.do(command)
        if not self._threaded:
            self.pump(self._now_ns)

    def pump(self, now_ns: int) -> None:
        """One tick at ``now_ns`` on the player's clock."""
        self._now_ns = now_ns
        self.feed.pump(now_ns)

    # Actions

    def action_leave(self) -> None:
        """Ctrl-C: away from the screen at once; what it showed goes on."""
        self.exit(ViewerResult.LEFT)

    def action_next_theme(self) -> None:
        names = list(themes.load())
        at = names.index(self.theme) + 1 if self.theme in names else 0
        self.theme = names[at % len(names)]

    def watch_theme(self, name: str) -> None:
        if self.is_running and self._remember:
            themes.remember(themes.Settings(theme=name))

    def action_redraw(self) -> None:
        if isinstance(self._driver, DiffDriver):
            self._driver.redraw()

    def action_picture(self) -> None:
        """Save the screen as an SVG beside the user's other files."""
        name = time.strftime("kmltui-%Y%m%d-%H%M%S.svg")
        try:
            Path(name).write_text(self.export_screenshot(title="kmltui"), encoding="utf-8")
        except OSError as error:
            self.notify(f"cannot save {name}: {error.strerror}", severity="error", markup=False)
            return
        self.notify(f"saved {Path(name).absolute()}", markup=False)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from (SystemCommand(f"View: {page.title}", page.__doc__ or "", self._shower(page.name)) for page in PAGES)
        for theme in themes.load():
            yield SystemCommand(f"Theme: {theme}", "the screen's colours", self._themer(theme))
        main = self.main
        yield SystemCommand("Pause or go on", "the display only", main.action_pause)
        yield SystemCommand("Back to live, or to the end", "", main.action_goto_live)
        yield SystemCommand("Go to a time", "", main.action_goto)
        yield SystemCommand("Mark this moment", "with a note, in the recording", main.action_mark)
        yield SystemCommand("Save a picture", "of the screen, as SVG", self.action_picture)
        yield SystemCommand("Help", "all keys", main.action_help)
        yield SystemCommand("Quit", "", main.action_quit)

    def _shower(self, name: str) -> Callable[[], None]:
        return lambda: self.main.action_page(name)

    def _themer(self, name: str) -> Callable[[], None]:
        return lambda: setattr(self, "theme", name)


def run_viewer(
    source: Source,
    controls: Controls | None = None,
    *,
    mode: str = "live",
    at_ns: int | None = None,
    speed: float = 1.0,
    fps: float | None = None,
    theme: str | None = None,
) -> ViewerResult:
    """Show a recording until the user or the terminal leaves.

    ``mode``: ``live`` and ``watch`` begin at the newest state, ``replay`` at the start or at ``at_ns``.

    Raises TerminalGone when there is no terminal to begin with.
    """
    from kmltui.tui.driver import require_terminal

    require_terminal()
    player = Player(source, at_ns=at_ns, speed=speed, replay=mode == "replay", clock=time.monotonic_ns)
    app = ViewerApp(player, controls, fps=fps, theme=theme, driver_class=DiffDriver)
    result = app.run()
    if result is None:
        driver_gone = app.return_code == 1
        return ViewerResult.TERMINAL_GONE if driver_gone else ViewerResult.LEFT
    return result

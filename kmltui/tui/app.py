# SPDX-License-Identifier: GPL-2.0-or-later
"""The viewer: an app around one recording. Disposable: no run depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import ReturnType, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen

from kmltui import paths
from kmltui.tui import glyphs, themes
from kmltui.tui.controls import Choice, Controls, Library, Place, ViewerResult
from kmltui.tui.driver import DiffDriver, require_terminal
from kmltui.tui.feed import Command, Feed
from kmltui.tui.player import Frame, Player, Source
from kmltui.tui.screens.main import MainScreen
from kmltui.tui.textual_private import PrivateApp
from kmltui.tui.widgets.keybar import key_sign, unique_bindings
from kmltui.tui.widgets.lines import ROLE_CLASSES


class FrameReady(Message):
    """The feed has a frame."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame


class KmltuiApp(PrivateApp[ReturnType]):
    """Common to the viewer and the home screen: styles, themes, and what happens when the terminal goes away."""

    CSS_PATH = paths.data_dir("styles") / "kmltui.tcss"
    TITLE = "kmltui"
    COMPONENT_CLASSES: ClassVar[set[str]] = ROLE_CLASSES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave", show=False, system=True),
        Binding("ctrl+q", "leave", show=False, system=True),
        Binding("ctrl+z", "suspend_process", show=False, system=True),
    ]

    def __init__(self, *, theme: str | None = None, driver_class: type[Driver] | None = None) -> None:
        for name in ("COLUMNS", "LINES"):
            # Rich trusts these more than the terminal, Textual trusts both in turn and would repeat the layout for
            # ever.
            os.environ.pop(name, None)
        no_color = "NO_COLOR" in os.environ
        super().__init__(driver_class=driver_class, ansi_color=True if no_color else None)
        for each in themes.load().values():
            self.register_theme(each)
        # The theme that was asked for, else the remembered one; the terminal's own colours if it has only those.
        few_colors = self.console.color_system in (None, "standard")
        name = theme or (themes.ANSI if few_colors or no_color else themes.remembered().theme) or themes.DARK
        self.theme = name if name in self.available_themes else themes.DARK
        self._remember = theme is None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return themes.role_defaults()

    def on_mount(self) -> None:
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                with contextlib.suppress(RuntimeError, ValueError):  # not the main thread: somebody else's signals
                    loop.add_signal_handler(number, self._end, number)

    def _end(self, number: int) -> None:
        """A signal asks the app to end. The same one again ends the process, whatever keeps the app."""
        asyncio.get_running_loop().remove_signal_handler(number)
        self.exit(None, 1)

    def on_resize(self, event: events.Resize) -> None:
        if isinstance(self.driver, DiffDriver):
            self.driver.resized(event.size.width, event.size.height)

    def action_leave(self) -> None:
        """Ctrl-C: away from the screen at once; what it shows goes on."""
        self.exit()

    def action_next_theme(self) -> None:
        names = list(themes.load())
        at = names.index(self.theme) + 1 if self.theme in names else 0
        self.theme = names[at % len(names)]
        self.remember(theme=self.theme)

    def action_redraw(self) -> None:
        if isinstance(self.driver, DiffDriver):
            self.driver.redraw()

    def set_theme(self, name: str) -> None:
        """Switch to a theme and remember it."""
        self.theme = name
        self.remember(theme=name)

    def remember(self, **settings: Any) -> None:
        """Keep what the user has chosen for the next start, unless this start itself specified the appearance."""
        if self._remember:
            themes.remember(**settings)


class HomeApp(KmltuiApp[Choice]):
    """The home screen."""

    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        library: Library,
        place: Place | None = None,
        *,
        theme: str | None = None,
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(theme=theme, driver_class=driver_class)
        self._library = library
        self._place = place or Place()

    def get_default_screen(self) -> Screen[Any]:
        from kmltui.tui.screens.home import HomeScreen  # noqa: PLC0415  (its tables and fields take time to import)

        return HomeScreen(self._library, self._place)


class ViewerApp(KmltuiApp[ViewerResult]):
    """Shows the frames of a player."""

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
        super().__init__(theme=theme, driver_class=driver_class)
        self.glyphs = glyph_set or glyphs.detect()
        self.source = player.source
        self._controls = controls
        self._threaded = threaded
        self.feed = Feed(player, self._deliver, fps=fps, lagging=self._lagging)
        self._now_ns = 0
        self._cpu_mark = (time.monotonic(), time.process_time())
        self.cpu_share: float | None = None
        """The viewer's own use of one CPU."""

    def get_default_screen(self) -> Screen[Any]:
        settings = themes.remembered() if self._remember else themes.Settings()
        return MainScreen(
            self._controls,
            self.glyphs,
            self.source,
            self.do,
            lambda: self.cpu_share,
            settings,
            self.remember,
        )

    @property
    def main(self) -> MainScreen:
        screen = self.screen_stack[0]
        assert isinstance(screen, MainScreen)
        return screen

    def on_mount(self) -> None:
        if self._threaded:
            self.feed.start()

    def on_unmount(self) -> None:
        if self._threaded:
            self.feed.stop()

    def _lagging(self) -> bool:
        return isinstance(self.driver, DiffDriver) and self.driver.lagging

    def _deliver(self, frame: Frame) -> None:
        self.post_message(FrameReady(frame))

    def on_frame_ready(self, message: FrameReady) -> None:
        self._measure()
        self.main.show_frame(message.frame)
        self.feed.taken()

    def _measure(self) -> None:
        """The viewer's own CPU use over about the last ten seconds; it changes seldom, because showing it costs CPU,
        too."""
        now, used = time.monotonic(), time.process_time()
        if self._threaded and now - self._cpu_mark[0] >= 10:
            self.cpu_share = (used - self._cpu_mark[1]) / (now - self._cpu_mark[0])
            self._cpu_mark = (now, used)

    def do(self, command: Command) -> None:
        """Let the player do something; the result comes as the next frame."""
        self.feed.do(command)
        if not self._threaded:
            self.pump(self._now_ns)

    def pump(self, now_ns: int) -> None:
        """One tick at ``now_ns`` on the player's clock."""
        self._now_ns = now_ns
        self.feed.pump(now_ns)

    # Actions

    def action_leave(self) -> None:
        """As for all apps, and the caller is told."""
        self.exit(ViewerResult.LEFT)

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
        for binding in unique_bindings(self.main):
            if binding.tooltip and binding.action != "app.command_palette":
                said = binding.tooltip[0].upper() + binding.tooltip[1:]
                yield SystemCommand(said, f"key {key_sign(binding)}", self._doer(binding.action))
        for theme in themes.load():
            yield SystemCommand(f"Theme: {theme}", "the screen's colours", self._themer(theme))

    def _doer(self, action: str) -> Callable[[], Awaitable[bool]]:
        return lambda: self.run_action(action, default_namespace=self.main)

    def _themer(self, name: str) -> Callable[[], None]:
        return lambda: self.set_theme(name)


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

    ``mode``: ``live`` and ``watch`` begin at the newest state, ``replay`` before the work or at ``at_ns``, and ``tour``
    plays from mark to mark with their notes as subtitles.

    Raises TerminalGone when there is no terminal to begin with.
    """
    require_terminal()
    player = Player(
        source,
        at_ns=at_ns,
        speed=speed,
        replay=mode in ("replay", "tour"),
        clock=time.monotonic_ns,
        remote=mode == "watch",
        tour=mode == "tour",
    )
    leave_imports_alone()
    app = ViewerApp(player, controls, fps=fps, theme=theme, driver_class=DiffDriver)
    return app.run() or ViewerResult.TERMINAL_GONE


def run_home(library: Library, place: Place, *, theme: str | None = None) -> Choice | None:
    """Let the user choose what to do with which recording; None when they leave or the terminal is gone.

    The screen begins at ``place``, which afterwards says where it was left.

    Raises TerminalGone when there is no terminal to begin with.
    """
    require_terminal()
    leave_imports_alone()
    return HomeApp(library, place, theme=theme, driver_class=DiffDriver).run()


def leave_imports_alone() -> None:
    """Exempt everything that exists from garbage collection, most of it modules: going through it takes 10 to 20 ms, in
    which no key is answered."""
    gc.freeze()

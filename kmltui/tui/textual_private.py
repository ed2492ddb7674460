# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that kmltui uses of Textual beyond its public interface. No other module uses any of that.

Made for Textual 8. What to check at its next release, beside the tests of the screen:

* :class:`PrivateApp`: ``App._fatal_error`` is called once for an exception that nobody caught, and none of its output
  shows local variables; ``_exit_renderables`` are printed after the terminal is restored.
* :class:`PrivateDriver`: ``LinuxDriver`` reads keys from ``fileno`` in ``run_input_thread`` until ``exit_event`` is
  set, and asks only ``_get_terminal_size`` how large the terminal is; ``_size``, where it is set, is the app's size
  until then. It calls ``flush`` after each update, and starts its own writer thread in ``start_application_mode``, to
  which nothing is written here. ``XTermParser`` still takes a flag, has ``feed`` and ``tick``, and raises
  ``ParseError`` or ``EOFError`` when its input ends in a sequence.
* :class:`Steady`: ``Screen`` lays itself out again at each ``Resize``, and sends itself another one when that changed
  its size.
* :func:`paint`: what the compositor would send of a widget that nothing lies over is the widget's own cells, at its
  ``content_region``; ``Widget._styles_cache`` keeps its lines until they are set dirty.
  ``Screen._compositor.visible_widgets`` has the topmost first, with their regions and clips; a screen whose layout is
  about to change says so in ``_layout_required`` or ``_scroll_required``. ``Strip.render`` puts a style's SGR before
  its text.
* :func:`own_bindings`: ``DOMNode._bindings`` holds those of a screen's class, by key.
* :func:`full_update`: ``Screen._compositor.render_full_update()`` is the whole screen, to be rendered for a console.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.traceback import Traceback
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.app import App, ReturnType
from textual.binding import Binding
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.geometry import Region
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class PrivateApp(App[ReturnType]):
    """An app that exposes its driver, and whose tracebacks do not show the values of variables."""

    @property
    def driver(self) -> Driver | None:
        """The driver that draws the app; None before it runs."""
        return self._driver

    def _fatal_error(self) -> None:
        """Textual's, without the values of local variables, which may be private."""
        traceback = Traceback(show_locals=False, width=None)
        self._exit_renderables.append(Segments(self.console.render(traceback, self.console.options)))
        self._close_messages_no_wait()


class Steady(MessagePump):
    """A screen that takes no notice of a size that the terminal no longer has.

    Textual's answers each new size by sending it to itself once more. If the terminal is resized twice before the
    screen first gets to it, as at the start on a busy machine, the two sizes take turns for ever, and nothing ends the
    program.
    """

    def on_resize(self, event: Resize) -> None:
        if event.size != self.app.size:
            event.prevent_default()


class PrivateDriver(LinuxDriver):
    """A driver that says how large the terminal is, can end the app from a thread, and reads keys as text comes."""

    def terminal_size(self) -> tuple[int, int]:
        """Columns and rows."""
        raise NotImplementedError

    def _get_terminal_size(self) -> tuple[int, int]:
        return self.terminal_size()

    def begin_with(self, width: int, height: int) -> None:
        """The size that the app begins with, in place of the console's."""
        self._size = (width, height)

    def end_app(self) -> None:
        """Let the app exit. May be called in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: it is ending already
            self._loop.call_soon_threadsafe(self._app.exit, None, 1)

    def key_parser(self) -> KeyParser:
        return KeyParser(XTermParser(self._debug))


class KeyParser:
    """Text from a terminal to messages."""

    def __init__(self, parser: XTermParser) -> None:
        self._parser = parser

    def feed(self, text: str) -> Iterator[Message]:
        yield from self._parser.feed(text)

    def tick(self) -> Iterator[Message]:
        """What only the passing of time shows: an escape key that no sequence follows."""
        yield from self._parser.tick()

    def end(self) -> None:
        """No more text comes."""
        with contextlib.suppress(EOFError, ParseError):
            for _ in self._parser.feed(""):
                pass


@runtime_checkable
class Painter(Protocol):
    """A driver that takes cells as they are, in place of sequences that it would have to read."""

    def paint(self, x: int, y: int, cells: Iterable[tuple[str, str]]) -> None:
        """Write text with its SGR parameters from a place of the screen on."""


def paint(widget: Widget, rows: Iterable[int], cells: Callable[[int], Iterable[tuple[str, str]]]) -> bool:
    """Draw rows of a widget, text with its SGR parameters, past the compositor; False if that one is to be asked.

    The compositor keeps no cells. So that what it draws later is the same, a widget paints only what it would draw for
    the compositor too, and only while nothing lies over it.
    """
    screen = widget.screen
    driver = widget.app._driver
    # A screen below a translucent one is "current", too.
    on_top = widget.app.screen is screen
    if not isinstance(driver, Painter) or not on_top or screen._layout_required or screen._scroll_required:
        return False
    visible = screen._compositor.visible_widgets
    if widget not in visible:
        return False
    region, clip = visible[widget]
    if not clip.contains_region(region):
        return False
    for other, (covering, _) in visible.items():
        if other is widget:
            break
        if covering.overlaps(region):
            return False
    content = widget.content_region
    for y in rows:
        if y < content.height:
            widget._styles_cache.set_dirty(Region(0, content.y - region.y + y, region.width, 1))
            driver.paint(content.x, content.y + y, cells(y))
    return True


def sgr_of(widget: Widget, style: Style) -> str:
    """The SGR parameters with which the compositor would send a style of this widget's; empty if it needs none."""
    strip = Strip([Segment("x", style)], 1)
    for line_filter in widget.get_line_filters():
        strip = strip.apply_filter(line_filter, widget.background_colors[1])
    before = strip.render(widget.app.console).partition("x")[0]
    return before.removeprefix("\x1b[").removesuffix("m")


def own_bindings(node: DOMNode) -> list[Binding]:
    """The bindings of a screen's or widget's own class, in their order, one for each key."""
    return [binding for bindings in node._bindings.key_to_bindings.values() for binding in bindings]


def full_update(screen: Screen[object], console: Console) -> str:
    """The whole screen as it would be sent to the terminal."""
    sequences: str = screen._compositor.render_full_update().render_segments(console)
    return sequences

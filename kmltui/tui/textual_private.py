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
* :func:`own_bindings`: ``DOMNode._bindings`` holds those of a screen's class, by key.
* :func:`full_update`: ``Screen._compositor.render_full_update()`` is the whole screen, to be rendered for a console.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.segment import Segments
from rich.traceback import Traceback
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.app import App, ReturnType
from textual.binding import Binding
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Resize
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen


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


def own_bindings(node: DOMNode) -> list[Binding]:
    """The bindings of a screen's or widget's own class, in their order, one for each key."""
    return [binding for bindings in node._bindings.key_to_bindings.values() for binding in bindings]


def full_update(screen: Screen[object], console: Console) -> str:
    """The whole screen as it would be sent to the terminal."""
    sequences: str = screen._compositor.render_full_update().render_segments(console)
    return sequences

# SPDX-License-Identifier: GPL-2.0-or-later
"""The last line: the keys that work here, from the bindings; a click on one presses it."""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.dom import DOMNode

from kmltui.tui.text import Span, width
from kmltui.tui.textual_private import own_bindings
from kmltui.tui.widgets.lines import Lines

_SIGNS = {"left": "←", "right": "→", "space": "space", "question_mark": "?", "left_square_bracket": "[", "plus": "+"}


def unique_bindings(screen: DOMNode) -> list[Binding]:
    """A screen's own bindings, one per action: Textual splits several keys of one action into separate bindings."""
    seen: dict[str, Binding] = {}
    for binding in own_bindings(screen):
        seen.setdefault(binding.action, binding)
    return list(seen.values())


def key_sign(binding: Binding) -> str:
    """How a key is written on the screen."""
    if binding.key_display:
        return binding.key_display
    first = binding.key.split(",")[0]
    return _SIGNS.get(first, first)


class KeyBar(Lines):
    """Shows the bindings with ``show=True``, as many as fit, in their order; help and quit always."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._places: list[tuple[int, int, str]] = []
        self._shown: tuple[list[Binding], int] | None = None

    def show_bindings(self, bindings: list[Binding]) -> None:
        if self._shown == (shown := (bindings, self.size.width)):
            return
        self._shown = shown
        last = [binding for binding in bindings if binding.action in ("help", "quit", "app.quit")]
        first = [binding for binding in bindings if binding not in last]
        room = self.size.width - 1
        reserved = sum(_cells(binding) for binding in last)
        spans: list[Span] = [(" ", "text")]
        self._places = []
        for binding in [*first, *last]:
            kept = binding in last
            limit = room if kept else room - reserved
            if width(spans) + _cells(binding) > limit + 1:
                continue
            start = width(spans)
            spans += [(key_sign(binding), "key"), (f" {binding.description}", "muted"), ("  ", "text")]
            self._places.append((start, width(spans) - 2, binding.key.split(",")[0]))
        self.show_lines([tuple(spans)])

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._places:
            if start <= event.x < end:
                self.app.simulate_key(key)
                return


def _cells(binding: Binding) -> int:
    return len(key_sign(binding)) + len(binding.description) + 3

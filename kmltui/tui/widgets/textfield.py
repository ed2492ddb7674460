# SPDX-License-Identifier: GPL-2.0-or-later
"""A line to type in."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Input


class TextField(Input):
    """Its cursor does not blink: that would send bytes twice a second, over SSH, too."""

    cursor_blink = reactive(False, init=False)

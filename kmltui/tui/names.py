# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of system calls."""

from __future__ import annotations

from kmltui.counters.syscalls import name as call_name

__all__ = ["call_name"]

# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsers of counters: they turn text from the kernel or a server into records of :mod:`kmltui.model`. Pure
functions."""

from kmltui.counters.errors import CounterError
from kmltui.counters.kml import parse_kml_counters
from kmltui.counters.mysql import select_status
from kmltui.counters.proc import ProcStat, parse_cpu_stat, parse_hardware, parse_proc_stat
from kmltui.counters.sites import parse_trap_sites

__all__ = [
    "CounterError",
    "ProcStat",
    "parse_cpu_stat",
    "parse_hardware",
    "parse_kml_counters",
    "parse_proc_stat",
    "parse_trap_sites",
    "select_status",
]

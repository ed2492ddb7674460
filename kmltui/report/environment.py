# SPDX-License-Identifier: GPL-2.0-or-later
"""Table 1: what the run ran on, beside the article's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kmltui.figures import article
from kmltui.figures.environment import mitigations
from kmltui.figures.summary import Summary
from kmltui.model import MONITOR
from kmltui.printable import printable
from kmltui.report import numbers
from kmltui.report.blocks import Table

_ROWS: tuple[tuple[str, str, str], ...] = (
    ("CPU", "cpu", "cpu"),
    ("vCPUs", "vcpus", ""),
    ("memory", "memory_bytes", "memory"),
    ("disks", "", "disks"),
    ("kernel", "kernel", "kernel"),
    ("kernel build", "kernel_build", ""),
    ("libc", "libc", "libc"),
    ("database server", "mariadb", "server"),
    ("benchmark client", "sysbench", ""),
    ("accelerator", "accelerator", ""),
    ("QEMU", "qemu", ""),
    ("clock source", "clocksource", ""),
    ("command line", "cmdline", ""),
    ("image", "image", ""),
)
"""Label, the session's fact, the article's."""

_DIGESTED = frozenset({"mitigations", "kernel_package", "distribution", "differs", "host"})


def environment_table(summary: Summary) -> Table:
    """First the rows of the article's table, then what it did not include; differences by session."""
    environment = summary.environment
    rows = []
    shown = set(_DIGESTED)
    for label, key, in_article in _ROWS:
        shown.add(key)
        # A guest's files are in an initramfs.
        own = _value(environment, key) if key else "none: all files are in memory" if environment.get("image") else ""
        if own or in_article:
            rows.append([label, own, article.ENVIRONMENT.get(in_article, "")])
    rows.append(["mitigations", mitigations(_value(environment, "mitigations")), ""])
    others = [key for key in [*environment, *environment["differs"]] if key not in shown]
    rows += [[printable(key.replace("_", " ")), _value(environment, key), ""] for key in dict.fromkeys(others)]
    rows.append(["workload", _workload(summary), article.ENVIRONMENT["workload"]])
    host = environment["host"]
    for key in host:
        value = mitigations(host[key]) if key == "mitigations" else _plain(key, host[key])
        rows.append([f"host {printable(key.removesuffix('_bytes').replace('_', ' '))}", value, ""])
    run = summary.run
    rows.append(["kmltui", printable(run.kmltui), ""])
    rows.append(["run", printable(" ".join(filter(None, (run.name, run.started)))), ""])
    if run.workload == MONITOR:  # the article watched nothing
        return Table(["", "this run"], [row[:2] for row in rows if row[1]], text_columns=True)
    rows = [row for row in rows if row[1] or row[2]]
    return Table(["", "this run", "the article"], rows, text_columns=True)


def _value(environment: dict[str, Any], key: str) -> str:
    if not key:
        return ""
    if key in environment["differs"]:
        return "; ".join(
            f"{printable(name)}: {_plain(key, value)}" for name, value in environment["differs"][key].items()
        )
    return _plain(key, environment.get(key, ""))


def _plain(key: str, value: str) -> str:
    convert: Callable[[str], str] = numbers.memory if key.endswith("_bytes") else str
    return convert(value) if key == "mitigations" else printable(convert(value))


def _workload(summary: Summary) -> str:
    run = summary.run
    bound = f"loop count {run.loops:,}" if run.loops else ""
    if summary.lasted_s:
        bound = numbers.clock(summary.lasted_s)
    options = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run.options.items())
    return printable(", ".join(filter(None, (run.workload, bound, options))))

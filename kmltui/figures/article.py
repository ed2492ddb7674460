# SPDX-License-Identifier: GPL-2.0-or-later
"""The article's figures, which every report shows beside the run's own.

Source: Toshiyuki Maeda, "Kernel Korner – Kernel Mode Linux for AMD64", Tables 1 and 2. The article gives no number of
runs and no spread. Its times are very probably the benchmark client's alone: sql-bench measures those.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = 'T. Maeda, "Kernel Korner - Kernel Mode Linux for AMD64"'


class Row(NamedTuple):
    """CPU seconds."""

    total: float
    user: float
    system: float


STOCK = Row(753.86, 611.78, 142.08)
"""Table 2, "Original Linux"."""

KML = Row(728.61, 605.95, 122.66)
"""Table 2, "Kernel Mode Linux"."""

LOOPS = 10_000

SAVED = Row(*((stock - kml) / stock for stock, kml in zip(STOCK, KML, strict=True)))
"""Fractions saved: 3.3 % of the total, 1.0 % of user and 13.7 % of system time."""

CLIENT = (
    "The client reads as the article's did, MySQL 4.1's: the header and the body of each packet by a call each, which"
    " is where the article's system time came from (--client buffered reads as today's does)."
)

GETPID = "The article, for getpid on IA-32: 432 cycles by trap, 12 by direct call."

ENVIRONMENT: dict[str, str] = {
    "cpu": "4 x AMD Opteron 850 2.4 GHz, L2 cache 1 MB",
    "memory": "8 GB (DDR1-333)",
    "disks": "146 GB Ultra320 SCSI; 2 x 73 GB RAID-0; XFS",
    "kernel": "Linux 2.6.11 (KML_2.6.11_002)",
    "libc": "GNU libc 2.3.5 + KML patch",
    "server": "MySQL 4.1.11",
    "workload": f"sql-bench's Wisconsin, loop count {LOOPS:,}",
}
"""Table 1."""

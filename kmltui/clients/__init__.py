# SPDX-License-Identifier: GPL-2.0-or-later
"""The workloads' own programs that run in a session: C, compiled into the guest image, and Lua for sysbench.

They are a separate package because two others need them: images are built with them, and workloads run them.
"""

from pathlib import Path

DIRECTORY = Path(__file__).parent
"""Where they lie."""

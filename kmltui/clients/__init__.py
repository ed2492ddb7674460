# SPDX-License-Identifier: GPL-2.0-or-later
"""The workloads' own programs that run in a session: C, compiled into the guest image, and Lua for sysbench.

They are a package of their own since two others need them: an image is built with them, and a workload runs them.
"""

from pathlib import Path

DIRECTORY = Path(__file__).parent
"""Where they lie."""

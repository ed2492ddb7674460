# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel Mode Linux beside stock Linux, live in a terminal.

The package root imports nothing, so that ``kmltui --version`` answers at once.
"""

__version__ = "0.1.0"

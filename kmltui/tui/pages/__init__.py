# SPDX-License-Identifier: GPL-2.0-or-later
"""The views below the first line: each draws a frame as lines."""

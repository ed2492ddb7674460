# SPDX-License-Identifier: GPL-2.0-or-later
"""What a screen shows of a run at one instant."""

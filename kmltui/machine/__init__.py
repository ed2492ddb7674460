# SPDX-License-Identifier: GPL-2.0-or-later
"""One virtual machine: QEMU, the channel to process 1 of the guest, the agent's samples."""

from pathlib import Path

GUESTD = Path(__file__).parent / "guestd"
"""The C sources of what runs in every guest: process 1 and the agent."""

# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong with a guest before a session exists."""

from __future__ import annotations


class GuestError(Exception):
    """Something about guests does not work. The message says what, where, and what to do."""


class ImageError(GuestError):
    """The guest image cannot be built, is missing or is damaged."""


class MissingError(GuestError):
    """A program or package that guests need is missing on this machine; ``kmltui doctor`` says how to install it."""

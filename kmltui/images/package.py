# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian binary package."""

from __future__ import annotations

from msgspec import Struct


class Package(Struct, frozen=True, order=True):
    """One binary package in one version."""

    name: str
    version: str
    arch: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"

# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian binary package."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Package(Struct, frozen=True, order=True):
    """One binary package in one version."""

    # Its file is named after them, and an imported image's list of packages is anybody's.
    name: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9+.-]*\Z")]
    version: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9.+~:-]+\Z")]
    arch: Annotated[str, Meta(pattern=r"\A[a-z0-9-]+\Z")]

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.arch}.deb"

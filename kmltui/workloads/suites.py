# SPDX-License-Identifier: GPL-2.0-or-later
"""Suites: workloads that are measured one after the other and shown in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kmltui.workloads import get
from kmltui.workloads.declaration import UsageError, Workload


@dataclass(frozen=True)
class Part:
    """One workload of a suite. A few ``loops`` suffice: an exact count needs no long run."""

    workload: str
    loops: int
    options: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    """What distinguishes it from other parts of the suite with the same workload, e.g. ``pipeline``."""

    @property
    def name(self) -> str:
        return f"{self.workload}-{self.label}" if self.label else self.workload

    @property
    def title(self) -> str:
        return f"{get(self.workload).title}{f', {self.label}' if self.label else ''}"


@dataclass(frozen=True)
class Suite:
    """``name`` is also the name of an image with everything that the suite needs, unless the user has another image."""

    name: str
    parts: tuple[Part, ...]

    @property
    def workloads(self) -> list[Workload]:
        return [get(part.workload) for part in self.parts]

    @property
    def packages(self) -> tuple[str, ...]:
        """Everything that its workloads need, without duplicates."""
        return tuple(dict.fromkeys(package for workload in self.workloads for package in workload.packages))


_SUITES = (
    Suite(
        "peers",
        (
            Part("dd", 1),
            Part("redis", 1),
            Part("redis", 1, {"size": "4096"}, "4 KiB"),
            Part("redis", 1, {"pipeline": "16", "requests": "8000"}, "pipelined"),
            Part("memcached", 1),
            Part("nginx", 1),
            Part("nginx", 1, {"size": "65536", "requests": "1000"}, "64 KiB"),
            Part("postgres", 1),
            Part("sqlite", 1),
            Part("files", 1),
            Part("git", 1),
            Part("processes", 1),
        ),
    ),
)


def suite(name: str) -> Suite:
    """The suite of that name. Raises :class:`UsageError`, which lists those that exist."""
    for found in _SUITES:
        if found.name == name:
            return found
    raise UsageError(f"there is no suite {name!r}; there are: {', '.join(found.name for found in _SUITES)}")

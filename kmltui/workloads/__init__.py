# SPDX-License-Identifier: GPL-2.0-or-later
"""The workloads: what is run in the sessions to see what system calls cost.

``names()`` lists them, ``get(name)`` gives one. Every module of this package is searched for them; see
:mod:`kmltui.workloads.declaration`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from kmltui.model import WorkloadSpec
from kmltui.printable import did_you_mean
from kmltui.workloads.client import differing_results
from kmltui.workloads.declaration import Context, Option, UsageError, Workload, WorkloadError
from kmltui.workloads.script import declared_in, recorded

__all__ = [
    "DEFAULT",
    "Context",
    "Option",
    "UsageError",
    "Workload",
    "WorkloadError",
    "differing_results",
    "get",
    "names",
    "of",
]

DEFAULT = "wisconsin"
"""What is run if nothing is named."""


@cache
def _all() -> dict[str, Workload]:
    found: dict[str, Workload] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for workload in getattr(module, "WORKLOADS", ()):
            if workload.name in found:
                raise RuntimeError(f"two workloads are named {workload.name!r}: the second is in {module.__file__}")
            found[workload.name] = workload
    return found


def names() -> list[str]:
    """The names of all workloads, sorted."""
    return sorted(_all())


def get(name: str) -> Workload:
    """The workload of that name, or the one declared in a file if ``name`` ends in ``.toml``.

    Raises :class:`UsageError`, which lists those that exist or says what is wrong with the file.
    """
    if name.endswith(".toml"):
        return declared_in(Path(name).expanduser())
    try:
        return _all()[name]
    except KeyError:
        near = did_you_mean(name, names())
        raise UsageError(f"there is no workload {name!r}; there are: {', '.join(names())}{near}") from None


def of(spec: WorkloadSpec) -> Workload:
    """The workload that ``spec`` was made by. Raises :class:`UsageError` if this version does not know it."""
    return recorded(spec) if spec.script else get(spec.name)

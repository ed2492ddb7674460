"""The workloads: what is run in the sessions to see what system calls cost.

``names()`` lists them, ``get(name)`` gives one. They are found by their files; see :mod:`kmltui.workloads.declaration`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from kmltui.workloads.client import differing_results
from kmltui.workloads.declaration import Context, Option, UsageError, Workload, WorkloadError

__all__ = ["Context", "Option", "UsageError", "Workload", "WorkloadError", "differing_results", "get", "names"]


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
    """The workload of that name. Raises :class:`UsageError` that lists those that exist."""
    try:
        return _all()[name]
    except KeyError:
        raise UsageError(f"there is no workload {name!r}; there are: {', '.join(names())}") from None

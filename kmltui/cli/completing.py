# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell may complete: names that are known only when it asks. Whatever goes wrong, nothing is offered."""

from __future__ import annotations

import sys

from cyclopts.completion import CompletionContext


def recordings(_: CompletionContext) -> dict[str, str]:
    """Runs of this machine by their names, and the samples: what can be read."""
    from kmltui import paths

    readable = {name: state for name, state in _runs().items() if state != "unreadable"}
    return readable | {path.stem: "sample" for path in sorted(paths.data_dir("recordings").glob("*.kmlrec"))}


def own_recordings(_: CompletionContext) -> dict[str, str]:
    """What can be renamed or deleted."""
    return {name: state for name, state in _runs().items() if state != "live"}


def _runs() -> dict[str, str]:
    from kmltui.runner import listing

    return {listing.name_of(entry): entry.state for entry in listing.runs()}


def live_runs(_: CompletionContext) -> list[str]:
    from kmltui.runner import registry

    return [entry.name for entry in registry.entries() if entry.alive]


def workloads(_: CompletionContext) -> dict[str, str]:
    from kmltui import workloads

    return {name: workloads.get(name).title for name in workloads.names()}


def settings(context: CompletionContext) -> list[str]:
    """The choices of a workload's setting."""
    from kmltui import workloads

    name = context["--workload"].raw or workloads.DEFAULT
    # The context has no name for an option that only the workload knows, but the shell's words do.
    flag = next(word.partition("=")[0] for word in reversed(sys.argv) if word.startswith("--"))
    return [choice for option in workloads.get(name).options if option.flag == flag for choice in option.choices]


def nothing(_: CompletionContext) -> list[str]:
    """Where the shell shall ask all the same, since it takes the value of a workload's setting for an argument."""
    return []

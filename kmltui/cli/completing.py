# SPDX-License-Identifier: GPL-2.0-or-later
"""What a shell may complete: names that are known only when it asks. Whatever goes wrong, nothing is offered."""

from __future__ import annotations

from cyclopts.completion import CompletionContext


def recordings(_: CompletionContext) -> dict[str, str]:
    """Runs of this machine by their names, and the samples."""
    from kmltui import paths
    from kmltui.runner import listing

    found = {listing.name_of(entry): entry.state for entry in listing.runs()}
    return found | {path.stem: "sample" for path in sorted(paths.data_dir("recordings").glob("*.kmlrec"))}


def live_runs(_: CompletionContext) -> list[str]:
    from kmltui.runner import registry

    return [entry.name for entry in registry.entries() if entry.alive]


def workloads(_: CompletionContext) -> dict[str, str]:
    from kmltui import workloads

    return {name: workloads.get(name).title for name in workloads.names()}

# SPDX-License-Identifier: GPL-2.0-or-later
"""``kmltui doctor``: what this machine can do, and the commands that fix what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kmltui.cli.common import DONE, MISSING, print_json, say
from kmltui.cli.options import Json

if TYPE_CHECKING:
    from kmltui.build.doctor import Check


def doctor(*, as_json: Json = False) -> int:
    """Check this machine for what kmltui needs; report what is missing and the command that fixes it.

    Parameters
    ----------
    as_json:
        Print the checks as JSON.
    """
    from kmltui.build import doctor as checks
    from kmltui.sessions import hostkml

    results = [*checks.check_all(), hostkml.check(), _trap_cost()]
    if as_json:
        print_json(results)
    else:
        width = max(len(check.name) for check in results)
        for check in results:
            say(f"{check.status:<8} {check.name:<{width}}  {check.detail}")
            if check.remedy:
                say(f"{'':<8} {'':<{width}}  → {check.remedy}")
    return MISSING if any(check.status == "missing" for check in results) else DONE


def _trap_cost() -> Check:
    """What a trap costs this processor; if that cannot be measured, nothing is wrong."""
    from kmltui.build.doctor import Check
    from kmltui.figures.estimate import page_table_isolation, too_dear
    from kmltui.machine import trapcost
    from kmltui.runner import registry
    from kmltui.sessions import host

    if any(entry.alive for entry in registry.entries()):
        return Check("trap", "note", "a trap is not timed while a run is in progress")
    own = host.facts()
    virtual = "virtual" in own.get("accelerator", "")
    try:
        cost = trapcost.measure(own.get("cpu", ""), own.get("mitigations", ""), virtual)
    except trapcost.TimingError as error:
        return Check("trap", "note", f"a trap cannot be timed here: {error}")
    isolation = page_table_isolation(cost.mitigations)
    active = [
        f"{name}: {what.strip()}"
        for name, _, what in (line.partition(":") for line in cost.mitigations.splitlines())
        if what.strip() not in ("Not affected", "")
    ]
    return Check(
        "trap",
        "ok",
        f"the cheapest system call takes {cost.ns.low:.0f} ns ({cost.cycles.low:.0f} cycles of the time-stamp counter)"
        f" at best, {cost.ns.high:.0f} ns ({cost.cycles.high:.0f}) in the median;"
        f" a function call {cost.call_ns:.1f} ns;"
        f" page-table isolation {'unknown' if isolation is None else 'on' if isolation else 'off'};"
        f" {'a virtual machine' if virtual else 'not virtualised'}; mitigations: {'; '.join(active) or 'none'}"
        + (f". {too_dear(cost.busy)}" if cost.busy else ""),
    )

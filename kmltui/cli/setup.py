"""``kmltui doctor``: what this machine can do, and the command that mends what it cannot."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from kmltui.cli.common import DONE, MISSING, print_json


def doctor(*, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Check what kmltui needs on this machine; say what is missing and the command that mends it.

    Parameters
    ----------
    as_json:
        Print the checks as JSON.
    """
    from kmltui.build import doctor as checks
    from kmltui.sessions import hostkml

    results = [*checks.check_all(), hostkml.check()]
    if as_json:
        print_json(results)
    else:
        width = max(len(check.name) for check in results)
        for check in results:
            print(f"{check.status:<8} {check.name:<{width}}  {check.detail}")
            if check.remedy:
                print(f"{'':<8} {'':<{width}}  → {check.remedy}")
    return MISSING if any(check.status == "missing" for check in results) else DONE

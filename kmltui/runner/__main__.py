# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of a detached run: reads what to run from its standard input and runs it."""

from __future__ import annotations

import asyncio
import sys

from kmltui.printable import printable
from kmltui.recording import RecordingError
from kmltui.runner.launch import decode, make_run, refusal, succeeded


def main() -> int:
    """Do the run; the exit status is 0 if it succeeded."""
    plan = decode(sys.stdin.buffer.read())
    try:
        run = make_run(plan, sys.stderr)
    except OSError as error:
        print(printable(f"--prometheus {plan.prometheus}: {error.strerror}"), file=sys.stderr)
        return 1
    try:
        outcome = asyncio.run(run.execute())
    except (OSError, RecordingError) as error:
        print(printable(refusal(run.path, error)), file=sys.stderr)
        return 1
    return 0 if succeeded(outcome, plan) else 1


if __name__ == "__main__":
    sys.exit(main())

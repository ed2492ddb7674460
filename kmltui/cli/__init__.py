"""The command line. Commands import what they need when they run, so that each starts as fast as it can."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError

from kmltui import __version__
from kmltui.cli import bench, common, guest, monitor, runs, setup, view
from kmltui.cli.common import RUN_FAILED, WRONG_USAGE, Failure

app = App(
    name="kmltui",
    version=__version__,
    help="Kernel Mode Linux beside stock Linux, live in a terminal: what system calls cost MySQL.",
    help_on_error=False,
    result_action="return_value",
)

_RUNS: tuple[Callable[..., int], ...] = (
    runs.demo,
    runs.run,
    bench.bench,
    monitor.monitor,
    runs.watch,
    runs.ls,
    runs.stop,
    runs.mark,
    runs.stream,
    runs.workloads,
)
_RECORDINGS: tuple[Callable[..., int], ...] = (
    view.replay,
    view.report,
    view.export,
    view.cut,
    view.rename,
    view.rm,
)
for command in _RUNS:
    app.command(command, group=common.RUNS)
for command in _RECORDINGS:
    app.command(command, group=common.RECORDINGS)
app.command(guest.app)
app.command(setup.doctor, group=common.MACHINE)
app["--help"].group = app["--version"].group = "Help"


@app.default
def _picker() -> int:
    """With no command: pick a run or a recording from a list."""
    return view.pick()


def run(arguments: Sequence[str]) -> None:
    """Run the command line and leave with its exit status."""
    try:
        status = app(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(str(error) + "\nTry 'kmltui --help' or 'kmltui COMMAND --help'.")
        status = WRONG_USAGE
    except Failure as error:
        _complain(str(error))
        status = error.status
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of our output has gone (``| head``); keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = RUN_FAILED
    sys.exit(status if isinstance(status, int) else 0)


def _complain(message: str) -> None:
    from kmltui.analysis.printable import printable

    lines = [printable(line) for line in message.splitlines() if line.strip()]
    print("kmltui: " + "\n        ".join(lines or ["failed"]), file=sys.stderr)

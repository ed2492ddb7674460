# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line. Commands import what they need when they run, so that each starts as fast as possible."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import (
    App,
    Argument,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from kmltui import __version__
from kmltui.cli import bench, common, estimating, guest, home, monitor, runs, setup, trying, view
from kmltui.cli.common import DONE, WRONG_USAGE, Failure, say
from kmltui.printable import did_you_mean

app = App(
    name="kmltui",
    version=__version__,
    help="Kernel Mode Linux beside stock Linux, live in a terminal: what system calls cost MySQL.",
    help_on_error=False,
    result_action="return_value",
    # Defaults of False and empty text say nothing; the help texts explain all other defaults.
    default_parameter=Parameter(show_default=lambda value: str(value) if value not in (None, False, "", ()) else None),
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
    view.tour,
    view.report,
    estimating.estimate,
    view.export,
    view.cut,
    view.merge,
    view.rename,
    view.rm,
)
app.command(trying.try_, name="try", group=common.RUNS)
for command in _RUNS:
    app.command(command, group=common.RUNS)
for command in _RECORDINGS:
    app.command(command, group=common.RECORDINGS)
app.command(guest.app)
app.command(setup.doctor, group=common.MACHINE)


@app.command(name="--install-completion", group="Help")
def _install_completion(
    shell: Literal["bash", "zsh", "fish"] | None = None,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> None:
    """Let bash, zsh or fish complete commands, options, workloads and the names of runs.

    Parameters
    ----------
    shell:
        Which of them (default: the one you are using).
    output:
        Where to write the script (default: where that shell looks for it).
    """
    from cyclopts.completion.install import create_install_completion_command

    # Its command takes the shell as an option only.
    create_install_completion_command(app.install_completion, add_to_startup=True)(shell=shell, output=output)


app["--help"].group = app["--version"].group = "Help"


@app.default
def _home() -> int:
    """With no command: the home screen; without a terminal, this help."""
    if common.on_terminal():
        return home.show(parsed)
    app.help_print([])
    return DONE


def parsed(arguments: Sequence[str]) -> Callable[[], int]:
    """Parse ``arguments`` into a command that is ready to be called. Raises :class:`Failure`."""
    try:
        command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise Failure(str(error)) from error

    def call() -> int:
        status = command(*bound.args, **bound.kwargs)
        return status if isinstance(status, int) else DONE

    return call


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status. Errors of the operating system are raised as OSError."""
    try:
        status = app(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(_explained(error, arguments))
        return WRONG_USAGE
    except Failure as error:
        _complain(str(error))
        return error.status
    return status if isinstance(status, int) else DONE


def _explained(error: CycloptsError, arguments: Sequence[str]) -> str:
    """What is wrong with the arguments, and which help explains them."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("-") or word not in _commands(words):
            break
        words.append(word)
    text = str(error)
    if isinstance(error, UnusedCliTokensError | UnknownCommandError) and error.unused_tokens:
        text = _superfluous(words, error.unused_tokens[0], arguments)
    elif isinstance(error, UnknownOptionError):
        text = _unknown(words, error.token.keyword or error.token.value)
    elif isinstance(error, MissingArgumentError) and error.argument is not None:
        parameter = error.argument.field_info
        if parameter.kind is parameter.VAR_KEYWORD:  # it was taken for one of the workload's
            option = error.keyword or ""
            text = f"{' '.join(words)}: {option} needs a value" if option in _settings() else _unknown(words, option)
        elif not error.argument.tokens:
            keyword = parameter.kind is parameter.KEYWORD_ONLY
            what = error.argument.name if keyword else parameter.name.strip("_").upper()
            text = f"{' '.join(words)}: {what} {'needs a value' if what in arguments else 'is missing'}"
            if choices := error.argument.get_choices():
                text += f"; it is one of: {', '.join(choices)}"
    return f"{text}\n'{' '.join(['kmltui', *words, '--help'])}' shows how to use it."


def _superfluous(words: Sequence[str], first: str, arguments: Sequence[str]) -> str:
    """What is to be said of ``first``, an argument that no command takes."""
    from kmltui.images.spec import without_login

    known = _options(words)
    for word in arguments:
        # A misspelt option may have been taken for an argument, and its value is what is left.
        if len(word) > 1 and word.startswith("-") and word.partition("=")[0] not in known:
            return _unknown(words, word)
    # An address without its option, or after an option that takes only one, may have a password in it.
    shown = without_login(first) if re.search(":.*@", first, re.DOTALL) else first
    commands = sorted(_commands(words))
    if not commands:
        return f"{shown!r} is one argument too many"
    near = did_you_mean(first, [*commands, *known])
    return f"there is no command {shown!r}; there are: {', '.join(commands)}{near}"


def _unknown(words: Sequence[str], option: str) -> str:
    """That a command has no such ``option``, and which one may be meant."""
    option = option.partition("=")[0]  # its value may be an address with a password
    near = did_you_mean(option, _options(words))
    if not near and any(argument.field_info.name == "command" for argument in _arguments(words)):
        near = "; a program and its own options come after '--'"
    return f"{' '.join(words) or 'kmltui'}: there is no option {option}{near}"


def _options(words: Sequence[str]) -> list[str]:
    """The options that may follow ``words``, those of the workloads included where they are taken."""
    names = [name for name in _command(words) if name.startswith("-")]
    for argument in _arguments(words):
        parameter = argument.field_info
        own = _settings() if parameter.kind is parameter.VAR_KEYWORD else argument.names
        names += [name for name in own if name.startswith("-")]
    return names


def _arguments(words: Sequence[str]) -> Sequence[Argument]:
    command = _command(words)
    return command.assemble_argument_collection() if command.default_command else []  # there is no plain 'guest'


def _command(words: Sequence[str]) -> App:
    command = app
    for word in words:
        command = command[word]
    return command


def _settings() -> list[str]:
    """The options of all workloads."""
    from kmltui import workloads

    return sorted({option.flag for name in workloads.names() for option in workloads.get(name).options})


def _commands(words: Sequence[str]) -> set[str]:
    """The commands that may follow ``words``."""
    if words and words[0] != "guest":
        return set()
    found = guest.app if words else app
    return set() if len(words) > 1 else {name for name in found if not name.startswith("-")}


def _complain(message: str) -> None:
    from kmltui.printable import printable

    lines = [printable(line) for line in message.splitlines() if line.strip()]
    say("kmltui: " + "\n        ".join(lines or ["failed"]), file=sys.stderr)

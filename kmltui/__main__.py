# SPDX-License-Identifier: GPL-2.0-or-later
"""``kmltui`` and ``python -m kmltui``."""

import os
import sys


def main() -> None:
    """Run the command line and leave. ``--version`` alone is answered without importing anything."""
    _open_standard_streams()
    try:
        status = _answer(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where what fails can be told; at the interpreter's exit it is a traceback
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of our output has gone (``| head``): its wish, and not worth a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    except OSError as error:
        print(f"kmltui: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        if error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left of it would fail again at exit
        status = 1
    sys.exit(status)


def _open_standard_streams() -> None:
    """Give those that were closed (``>&-``) somewhere to go: a file opened later must not become one of them."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _answer(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from kmltui import __version__

        print(__version__)
        return 0
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a locale that lacks a character costs that character only
    from kmltui.cli import run

    return run(arguments)


if __name__ == "__main__":
    main()

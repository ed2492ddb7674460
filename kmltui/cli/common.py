# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands share: how they fail, how they find a run or a file, and how they print for programs."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from cyclopts import Group

from kmltui.printable import did_you_mean, printable

if TYPE_CHECKING:
    from kmltui.images.progress import Progress, Report
    from kmltui.model import SessionSpec
    from kmltui.runner.registry import RunEntry

RUNS = Group("Runs", sort_key=0)
RECORDINGS = Group("Recordings", sort_key=1)
MACHINE = Group("Guest and machine", sort_key=2)

DONE, RUN_FAILED, WRONG_USAGE, MISSING = 0, 1, 2, 3
"""Exit statuses: the same for every command."""


class Failure(Exception):
    """Ends the command: the message goes to standard error, ``status`` to the shell."""

    def __init__(self, message: str, status: int = WRONG_USAGE) -> None:
        super().__init__(message)
        self.status = status


def fail(message: str, status: int = WRONG_USAGE) -> NoReturn:
    """Raise :class:`Failure`."""
    raise Failure(message, status)


def on_terminal() -> bool:
    """Return whether a screen can be shown: standard input and output are a terminal that can position its cursor."""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout) and can_draw()


def can_draw() -> bool:
    """Return whether the terminal can position its cursor. Editors' and CI systems' often say that they cannot."""
    return os.environ.get("TERM") not in ("dumb", "unknown")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal."""
    return stream is not None and stream.isatty()  # None: whoever started us has closed it


def need_terminal() -> None:
    """Raise :class:`Failure` if no screen can be shown."""
    if on_terminal():
        return
    why = "" if can_draw() else f" that can position text; TERM={os.environ['TERM']} says that this one cannot"
    fail(f"the screen needs a terminal{why}; 'kmltui report' prints the figures, 'kmltui export' the samples")


_KEPT = "\n\t\u00a0\u2009\u202f"
"""Characters that tables and reports are laid out with: line ends, and the spaces that keep a number with its unit."""


def say(text: object, *, file: TextIO | None = None, flush: bool = False) -> None:
    """Print one or more lines. All that commands print goes through here or :func:`output`: whatever a recording, an
    image, a server or a guest has put into it, nothing reaches the terminal that it would act on."""
    print(printable(str(text), keep=_KEPT), file=file, flush=flush)


def print_json(value: Any) -> None:
    """Print one JSON document on standard output, in ASCII, so that a terminal finds nothing in it to act on."""
    import json

    import msgspec

    say(json.dumps(json.loads(msgspec.json.encode(value)), indent=2))


def print_recording(path: Path) -> None:
    """Print what a recording is as one JSON object, which is what ``kmltui ls --json`` lists of every run."""
    from kmltui.recording import library
    from kmltui.runner import listing

    print_json(listing.as_json(library.entry(path)))


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str, option: str) -> float:
    """``90``, ``90s``, ``1.5m``, ``2h``, ``1:30`` or ``1:02:03`` as seconds. Raises :class:`Failure` for ``option``."""
    if re.fullmatch(r"\d{1,9}(:[0-5]?\d){1,2}(\.\d+)?", text):
        total = 0.0
        for part in text.split(":"):
            total = total * 60 + float(part)
        return total
    match = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*([a-z]*)", text.strip())
    if match is None or match[2] not in _UNITS:
        fail(f"{option} {text!r}: is not a time; write it like 90s, 1.5m, 2h or 1:30")
    return float(match[1]) * _UNITS[match[2]]


def check_fps(fps: float | None) -> None:
    """Raise :class:`Failure` for a frame rate out of range."""
    if fps is not None and not 0.1 <= fps <= 60:
        fail(f"--fps {fps}: must be between 0.1 and 60")


def columns_rows(text: str) -> tuple[int, int]:
    """``120x40`` as (120, 40). Raises :class:`Failure`."""
    match = re.fullmatch(r"(\d{2,3})x(\d{2,3})", text)
    if match is None or not (40 <= int(match[1]) <= 500 and 10 <= int(match[2]) <= 300):
        fail(f"--size {text!r}: is COLUMNSxROWS, e.g. 120x40, from 40x10 to 500x300")
    return int(match[1]), int(match[2])


@contextmanager
def output(out: Path | None) -> Iterator[Callable[[str], object]]:
    """Open ``out``, a new file, which is written completely or not at all, or standard output.

    Raises :class:`Failure`, also for a file that exists: it may be the recording, or anything else of the user's.
    """
    if out is None:
        yield lambda text: sys.stdout.write(printable(text, keep=_KEPT))
        return
    from kmltui import files

    target = out.resolve()  # write to the target of a link, and keep the link
    # Write to a device or a pipe: replacing it would take, say, /dev/null away from the whole machine.
    if target.is_file():
        fail(f"--out {out}: exists already; remove it or choose another name")
    whole = not target.exists()
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(files.replacing(target, files.SHARED) if whole else target.open("wb"))
        except OSError as error:
            fail(f"--out {out}: {error.strerror}")
        try:
            yield lambda text: stream.write(printable(text, keep=_KEPT).encode())
            stack.close()
        except OSError as error:
            fail(f"--out {out}: {error.strerror}", RUN_FAILED)


def find_run(name: str) -> RunEntry:
    """Find a registered run by name. Raises Failure, which lists the runs there are."""
    from kmltui.runner import registry

    try:
        return registry.find(name)
    except LookupError as error:
        fail(f"{error.args[0]}{did_you_mean(name, [entry.name for entry in registry.entries()])}")


def only_live_run(command: str) -> RunEntry:
    """The live run, if there is but one. Raises Failure, which lists them if there are more."""
    from kmltui.runner import registry

    found = [entry for entry in registry.entries() if entry.alive]
    if len(found) != 1:
        names = ", ".join(entry.name for entry in found)
        fail(f"{command}: {'name one with --run: ' + names if found else 'no run is live'}")
    return found[0]


def wait_for_end(entry: RunEntry, limit_s: float = 30.0) -> bool:
    """Wait until a run's process has ended, the last thing a run does; False if it takes too long."""
    deadline = time.monotonic() + limit_s
    while entry.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


SAMPLE = "wisconsin"
"""The recording that is shown if none is named."""


def find_recording(what: str | None, *, shipped: str = "", in_full: bool = False) -> Path:
    """Find the file that a user means: a path, or the name of a run or of a sample that ships with kmltui.

    If nothing is named: the newest run, or the sample ``shipped``. A run or sample of exactly that name comes before a
    run whose name only begins or ends with it; with ``in_full``, for what changes recordings, such a run is not meant.
    """
    from kmltui import paths
    from kmltui.runner import listing

    samples = {path.stem: path for path in sorted(paths.data_dir("recordings").glob("*.kmlrec"))}
    if what is None:
        if shipped:
            if shipped not in samples:
                fail("this kmltui ships without a sample recording; name a file", MISSING)
            return samples[shipped]
        known = listing.runs()
        if not known:
            fail("there is no run yet; 'kmltui demo' or 'kmltui run' starts one, 'kmltui replay' shows the sample")
        return known[0].path
    path = Path(what).expanduser()
    if path.exists() or "/" in what or what.endswith(".kmlrec"):
        if not path.exists():
            beside = [each.name for each in path.parent.glob("*.kmlrec")] if path.parent.is_dir() else []
            fail(f"{path}: no such file{did_you_mean(path.name, beside)}")
        return path
    if what in samples and what not in map(listing.name_of, listing.runs()):
        return samples[what]
    try:
        return listing.find(what, in_full=in_full)
    except LookupError as error:
        fail(f"{error.args[0]}{did_you_mean(what, [*samples, *map(listing.name_of, listing.runs())])}")


def check_memory(specs: Sequence[SessionSpec]) -> None:
    """Raise Failure if there is not enough memory for the guests that are to run side by side."""
    from kmltui.machine import memory

    guests = [spec for spec in specs if spec.kind == "guest"]
    needed, free = memory.needed_bytes([_memory_bytes(spec) for spec in guests]), memory.free_bytes()
    if not guests or free >= needed:
        return
    arms = [spec.arm for spec in guests]
    smaller = " ".join(f"--{side} {arm},memory=512M" for side, arm in zip(("left", "right"), arms, strict=False))
    ways = [f"give them less ('kmltui run {smaller}')"]
    if len(guests) > 1:
        ways.append(f"run one after the other ({', '.join(f'kmltui run --arms {arm}' for arm in arms)})")
    fail(
        f"{len(guests)} guest{'s' * (len(guests) > 1)} need {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB "
        f"are free here (limits of containers and cgroups counted): {', or '.join(ways)}",
        MISSING,
    )


def _memory_bytes(spec: SessionSpec) -> int:
    """The memory a guest will get: what was asked for, or more if its image exists and needs more."""
    from kmltui.images.errors import ImageError
    from kmltui.images.image import chosen_spec, find_image

    try:
        return max(spec.memory_bytes, find_image(chosen_spec(spec.image)).least_memory_bytes)
    except ImageError:
        return spec.memory_bytes


def progress_printer() -> Report:
    """Progress on standard error: a line for each finished step, and on a terminal one bar for the work as a whole."""
    moving = sys.stderr.isatty()

    def report(progress: Progress) -> None:
        seconds = f"{progress.elapsed_s:5.1f} s"
        if progress.ended:
            print(f"{chr(13) if moving else ''}{progress.step:<36} {seconds:<34}", file=sys.stderr, flush=True)
        elif moving:
            done = round((progress.fraction or 0) * 14)
            bar = "█" * done + "░" * (14 - done)
            print(f"\r{progress.step:<36} {bar} {progress.left or seconds:<19}", end="", file=sys.stderr, flush=True)

    return report


def no_guest_reason() -> str | None:
    """Return why no guest can run on this machine, in one line; None if one can."""
    from kmltui.build import doctor
    from kmltui.images import store

    # The build tools are not needed if there is already an image (imported, or built before).
    needed = {"system", "qemu"} if store.has_images() else None
    for check in doctor.check_all():
        if check.status == "missing" and (needed is None or check.name in needed):
            return f"{check.name}: {check.detail}" + (f"; fix it with: {check.remedy}" if check.remedy else "")
    return None

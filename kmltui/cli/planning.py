# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns a command's options into the plan of a run; errors in them are found here, before the run begins."""

from __future__ import annotations

import contextlib
import os
import re
import select
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from kmltui.cli import options, sessions
from kmltui.cli.common import RUN_FAILED, fail, progress_printer, say, seconds
from kmltui.printable import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from kmltui.cli.options import FormatOptions, GuestOptions, RecordingOptions, WorkloadOptions
    from kmltui.model import SessionSpec, WorkloadSpec
    from kmltui.runner.plan import Plan
    from kmltui.workloads import Workload

SAMPLE_RATE = 2.0
"""Samples per second of a run whose user asks for no other rate."""
SILENT_PIPE_S = 5
"""How long to wait for the first byte of standard input."""
LONGEST_INPUT_BYTES = 64 << 20
"""It is kept in memory, once for all sessions."""


def make_plan(
    command: Sequence[str],
    workload: WorkloadOptions,
    specs: Sequence[SessionSpec],
    recording: RecordingOptions,
    settings: Mapping[str, str],
    *,
    ask: bool = False,
) -> Plan:
    """A plan for running a workload once. ``settings`` are the workload's own.

    With ``ask`` the user may be offered to build an image that the workload needs. Raises :class:`Failure`.
    """
    from kmltui.runner import registry
    from kmltui.runner.plan import Plan

    period_ns = sample_period_ns(recording, SAMPLE_RATE)
    check_recording(recording)
    chosen, spec = _workload(command, workload, settings)
    if chosen.packages:
        specs = with_packages(chosen, specs, ask=ask)
    check_files(workload.put)
    if command:
        check_program(command[0], specs)
    return Plan(
        workload=spec,
        sessions=specs,
        name=recording.name or registry.new_name(spec.name),
        out=recording.out,
        sample_period_ns=period_ns,
        title=recording.title,
        files=workload.put,
        input=piped_input() if command else None,
    )


class NeedsPackages(Protocol):
    """A workload, or several."""

    @property
    def name(self) -> str: ...

    @property
    def packages(self) -> tuple[str, ...]: ...


def with_packages(needing: NeedsPackages, specs: Sequence[SessionSpec], *, ask: bool = False) -> list[SessionSpec]:
    """Give the sessions an image that has the packages which ``needing`` needs.

    If no image is named, this is one of the user's that has them; if there is none and ``ask`` is set, a user at a
    terminal is offered to build one. Raises :class:`Failure` if there is no such image.
    """
    found = []
    for spec in specs:
        if spec.kind != "guest":
            fail(f"{needing.name} needs packages that only a guest image has: leave out {spec.kind}")
        found.append(spec if spec.image else replace(spec, image=_image_with(needing, ask=ask)))
        _check_packages(needing, found[-1].image)
    return found


def _build_command(needing: NeedsPackages, name: str) -> str:
    return " ".join(["kmltui guest build", *(f"--package {each}" for each in needing.packages), f"--name {name}"])


def _check_packages(needing: NeedsPackages, name: str) -> None:
    from kmltui.images.errors import ImageError
    from kmltui.images.image import chosen_spec, find_image

    try:
        image = find_image(chosen_spec(name))
    except ImageError as error:
        fail(f"{needing.name} needs an image with {', '.join(needing.packages)}: {error}")
    if lacking := image.manifest.lacking(needing.packages):
        own = image.manifest.spec.label
        # Rebuilding an image under its name makes it of what is named then, and of nothing else.
        command = _build_command(needing, needing.name)
        more = f" (to have it in {own}: 'kmltui guest build' with all that {own} is to have)" if own else ""
        fail(
            f"the image {image.name} has no {', '.join(lacking)}, which {needing.name} needs; "
            f"'{command}' makes one that has{more}"
        )


def _image_with(needing: NeedsPackages, *, ask: bool) -> str:
    """The name of an image that has the packages."""
    from kmltui.build.builder import ensure_image
    from kmltui.images import store
    from kmltui.images.errors import GuestError, ImageError
    from kmltui.images.spec import make_spec

    fit = [
        manifest.spec.label
        for manifest in store.manifests()
        if manifest.spec.label and not manifest.lacking(needing.packages)
    ]
    if fit:
        # Prefer the one built for this purpose.
        return min(fit, key=lambda label: (label != needing.name, label))
    try:
        spec = make_spec(label=needing.name, extra=needing.packages)
    except ImageError as error:
        fail(f"{_build_command(needing, 'NAME')}: {error}")
    what = f"{needing.name} needs Debian's {', '.join(needing.packages)}, which no guest image has"
    command = _build_command(needing, spec.label)
    if not ask:
        fail(f"{what}; build one that has them with '{command}'")
    say(f"kmltui: {what}.", file=sys.stderr)
    if input(f"Build one now, with '{command}'? [Y/n] ").strip().lower() not in ("", "y", "yes"):
        fail("no image, no run")
    try:
        ensure_image(spec, progress_printer())
    except GuestError as error:
        fail(str(error), RUN_FAILED)
    return spec.label


def check_program(program: str, specs: Sequence[SessionSpec]) -> None:
    """Refuse a command that the guest image, if it already exists, lacks. Raises :class:`Failure`."""
    from kmltui.images.errors import ImageError
    from kmltui.images.extract import has_program
    from kmltui.images.image import chosen_spec, find_image
    from kmltui.images.wanted import package_of
    from kmltui.workloads.localprogram import is_local

    if is_local(program):
        return
    for name in sorted({spec.image for spec in specs if spec.kind == "guest"}):
        try:
            image = find_image(chosen_spec(name))
            found = has_program(image, program)
        except ImageError:
            continue  # built, or reported, when the run begins
        if not found:
            package = package_of(program)
            where = f", which is in Debian's package {package}" if package else ""
            fail(
                f"{program}: the image {image.name} has no such program{where}; a program of this machine is given by "
                f"its path, e.g. ./{program.rpartition('/')[2]}"
            )


def check_files(files: Sequence[Path], what: str = "--put") -> None:
    """The files to put into a session, each under its own name. Raises :class:`Failure`, which begins with ``what``."""
    for file in files:
        if not file.is_file():
            fail(f"{what} {file}: {'is not a file' if file.exists() else 'there is no such file'}")
        try:
            str(file.absolute()).encode()
        except UnicodeEncodeError:
            fail(f"{what} {file}: its name is not UTF-8, as names in a session are")
    names = [file.name for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        fail(f"{what}: two files are called {twice[0]}; each gets its own name in the session")


def piped_input() -> bytes | None:
    """Read everything piped into this command; None if nothing is: a terminal, /dev/null, a pipe that stays silent.

    Raises :class:`Failure` if it is too long.
    """
    try:
        descriptor = sys.stdin.fileno()
        kind = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):
        return None
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
        return None
    # Many harnesses start programs with a pipe that nobody writes to or closes.
    if stat.S_ISFIFO(kind) and not select.select([descriptor], [], [], SILENT_PIPE_S)[0]:
        say(f"kmltui: nothing came on standard input for {SILENT_PIPE_S} s: the command gets none", file=sys.stderr)
        return None
    data = sys.stdin.buffer.read(LONGEST_INPUT_BYTES + 1)
    if len(data) > LONGEST_INPUT_BYTES:
        fail(f"more than {LONGEST_INPUT_BYTES >> 20} MiB on standard input: put them into a file for --put")
    return data


def _workload(
    command: Sequence[str], asked: WorkloadOptions, settings: Mapping[str, str]
) -> tuple[Workload, WorkloadSpec]:
    from kmltui import workloads
    from kmltui.workloads.command import AnyProgram
    from kmltui.workloads.declaration import UnknownOption

    if command and asked.workload not in (None, AnyProgram.name):
        fail("give either --workload or a command after '--', not both")
    duration_s = seconds(asked.duration, "--duration") if asked.duration is not None else None
    chosen = AnyProgram.name if command else asked.workload or workloads.DEFAULT
    try:
        workload = workloads.get(chosen)
        return workload, workload.spec(loops=asked.loops, duration_s=duration_s, options=settings, command=command)
    except UnknownOption as error:
        # What a command does not know itself it takes for one of the workload's.
        own = [option.flag for option in workloads.get(chosen).options]
        fail(f"{error}{did_you_mean(error.flag, [*own, *options.flags()])}")
    except workloads.UsageError as error:
        fail(str(error))


def guest_defaults(guest: GuestOptions) -> SessionSpec:
    """The settings of every session that does not say otherwise; its name is empty. Raises :class:`Failure`."""
    from kmltui.model import SessionSpec

    if guest.accel not in ("auto", "kvm", "tcg"):
        fail(f"--accel {guest.accel!r}: must be auto, kvm or tcg")
    if guest.image:
        sessions.check_image(guest.image, "--image")
    if guest.accel == "auto":
        _settle_accelerator(guest.image)
    vcpus = _default_vcpus(guest) if guest.cpus is None else guest.cpus
    if not 1 <= vcpus <= 64:
        fail(f"--cpus {vcpus}: must be between 1 and 64")
    spec = SessionSpec(name="", vcpus=vcpus, accel=guest.accel, image=guest.image)  # type: ignore[arg-type]
    if guest.memory is None:
        return spec
    return replace(spec, memory_bytes=sessions.memory_bytes(guest.memory, "--memory"))


def _default_vcpus(guest: GuestOptions) -> int:
    """Emulated guests get one each: only then can their clock count instructions."""
    import psutil

    from kmltui.machine import accel

    if guest.clock == "instructions" or (psutil.cpu_count() or 1) < 4:
        return 1
    return 2 if accel.emulated(guest.accel) is False else 1  # type: ignore[arg-type]


def _settle_accelerator(image: str) -> None:
    """Find out whether KVM works here, which decides how many CPUs a guest gets and how long it all takes. Without an
    image nothing can be tried yet."""
    from kmltui.images.errors import GuestError
    from kmltui.images.image import chosen_spec, find_image
    from kmltui.machine import accel

    if accel.emulated("auto") is None:
        with contextlib.suppress(GuestError):
            accel.settle(find_image(chosen_spec(image)))


def chosen_arms(arms: str | None, old: str | None, left: str | None, right: str | None) -> tuple[str, str | None]:
    """The option that names the arms, and its value: ``--arms``, or ``--sessions``, its former name.

    None if neither is given. Raises :class:`Failure` if several options name the arms.
    """
    given = {"--arms": arms, "--sessions": old, "--left": left, "--right": right}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1 and named != ["--left", "--right"]:
        fail(f"give either {' or '.join(named[:2])}, not both")
    if old is None:
        return "--arms", arms
    say("kmltui: --sessions is now called --arms; the next release drops the old name", file=sys.stderr)
    return "--sessions", old


def sessions_of(
    arms: str | None, old: str | None, left: str | None, right: str | None, guest: GuestOptions
) -> list[SessionSpec]:
    """The sessions of ``--arms``, or of ``--left`` and ``--right``, with their clock. Raises :class:`Failure`."""
    option, chosen = chosen_arms(arms, old, left, right)
    defaults = guest_defaults(guest)
    if left is None and right is None:
        specs = sessions.arms(chosen or "stock,kml", defaults, option)
    else:
        specs = sessions.pair(left, right, defaults)
    return sessions.with_clock(specs, guest.clock)


def sample_period_ns(recording: RecordingOptions, default_rate: float) -> int:
    """The sampling period. Raises :class:`Failure`."""
    rate = default_rate if recording.sample_rate is None else recording.sample_rate
    if not 0.1 <= rate <= 100:
        fail(f"--sample-rate {rate}: must be between 0.1 and 100")
    return round(1e9 / rate)


def check_recording(recording: RecordingOptions) -> None:
    """Check that the recording's path and the run's name are free. Raises :class:`Failure`."""
    out = recording.out
    if recording.name is not None:
        _check_name(recording.name, own=out is None)
    if out is None:
        return
    if out.is_dir():
        fail(f"--out {out}: is a directory; name a file, e.g. {out / 'run.kmlrec'}")
    if out.exists():
        fail(f"--out {out}: exists already; remove it or choose another name (a recording is never overwritten)")
    if not out.absolute().parent.is_dir():
        fail(f"--out {out}: the directory {out.absolute().parent} does not exist")


# It becomes part of a socket's path, which is limited to 107 bytes; see paths.runtime_dir().
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,39}")


def _check_name(name: str, *, own: bool) -> None:
    """Check a run's name; ``own``: its recording goes to kmltui's own directory."""
    from kmltui import paths
    from kmltui.runner import registry

    if not _NAME.fullmatch(name):
        fail(f"--name {name!r}: letters a to z, digits, '_', '-' and '.', 40 at most, not beginning with '-' or '.'")
    if any(entry.name == name and entry.alive for entry in registry.entries()):
        fail(f"--name {name}: a run of that name is live; choose another, or end it with 'kmltui stop {name}'")
    if own and (paths.runs_dir() / f"{name}.kmlrec").exists():
        fail(f"--name {name}: there is a recording of that name; choose another, or delete it with 'kmltui rm {name}'")


def chosen_format(asked: FormatOptions) -> str:
    """The format that was asked for. Raises :class:`Failure` for two."""
    if asked.as_json and asked.format not in (None, "json"):
        fail(f"--json and --format {asked.format}: choose one")
    return "json" if asked.as_json else asked.format or "text"

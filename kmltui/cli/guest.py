# SPDX-License-Identifier: GPL-2.0-or-later
"""``kmltui guest``: the guest image, and programs in a guest outside of a run."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from cyclopts import App, Parameter
from msgspec.structs import replace

from kmltui.cli import common
from kmltui.cli.common import DONE, MISSING, RUN_FAILED, fail, say
from kmltui.cli.options import Json, LiveRun, Put, Recording
from kmltui.cli.planning import check_files, check_program
from kmltui.cli.sessions import memory_bytes
from kmltui.printable import printable

if TYPE_CHECKING:
    from kmltui.images.image import Image
    from kmltui.images.info import ImageInfo
    from kmltui.images.spec import ImageSpec
    from kmltui.images.store import Manifest
    from kmltui.kml.rewrite import SiteHits
    from kmltui.model import SessionSpec
    from kmltui.sessions.guest import GuestSession

T = TypeVar("T")
Flag = Parameter(negative="")
_COPY_LIMIT_S = 600.0
"""For a large program on a busy machine: its calls are redirected, and an emulated guest takes it in."""
app = App(name="guest", help="Build the guest image, inspect it, run programs in it.", group=common.MACHINE)


@contextmanager
def _errors() -> Iterator[None]:
    """Turn errors of the guest into errors of the command."""
    from kmltui.images.errors import GuestError, MissingError
    from kmltui.sessions.protocol import SessionError
    from kmltui.workloads.declaration import UsageError, WorkloadError

    try:
        yield
    except MissingError as error:
        fail(str(error), MISSING)
    except UsageError as error:
        fail(str(error))
    except (GuestError, SessionError, WorkloadError) as error:
        fail(str(error), RUN_FAILED)
    except OSError as error:
        fail(f"{error.filename or 'guest'}: {error.strerror}", RUN_FAILED)


def _parsed(image: str) -> ImageSpec:
    from kmltui.images.errors import ImageError
    from kmltui.images.image import chosen_spec

    try:
        return chosen_spec(image)
    except ImageError as error:
        fail(str(error))


@app.command
def build(
    *,
    suite: str | None = None,
    kernel: str | None = None,
    flavour: str = "cloud",
    mirror: str = "",
    package: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    name: str = "",
    tools: Annotated[bool, Flag] = False,
    refresh: Annotated[bool, Flag] = False,
    as_json: Json = False,
) -> int:
    """Build the guest image from Debian packages; parts that are already up to date are kept.

    Parameters
    ----------
    suite:
        bookworm or trixie (default: this machine's own, else bookworm).
    kernel:
        6.1, 6.12 or 7.3 (default: the suite's).
    flavour:
        cloud (small, the default) or generic.
    mirror:
        Where to get Debian packages (default: this machine's own mirror).
    package:
        A Debian package to add, with everything it depends on; may be given several times. Its installation scripts
        are not run.
    name:
        The image's name, for use with ``--image NAME``; the default image stays. An existing image of that name is
        replaced.
    tools:
        Add strace, gdb, stress-ng, perl and python3, which the tests use.
    refresh:
        Ask the mirror for newer packages.
    as_json:
        Print as JSON, as ``kmltui guest info --json`` does, what the image contains.
    """
    from kmltui.build.builder import ensure_image
    from kmltui.images.errors import ImageError
    from kmltui.images.spec import make_spec
    from kmltui.images.store import layer_path

    try:
        spec = make_spec(suite, kernel, flavour, tools=tools, mirror=mirror, label=name, extra=package)
    except ImageError as error:
        fail(str(error))
    with _errors():
        begun = time.monotonic()
        image = ensure_image(spec, common.progress_printer(), refresh=refresh)
    if as_json:
        return _print_image(image)
    size = sum(layer_path(image.manifest.layers[kind]).stat().st_size for kind in ("kernel", "initrd"))
    say(f"{image.name}: ready, {size / 1e6:.0f} MB, after {time.monotonic() - begun:.1f} s")
    return DONE


def _print_image(image: Image) -> int:
    """Print an image as JSON: one of the objects that ``guest info --json`` lists."""
    from kmltui.images.info import describe

    with _errors():
        common.print_json(describe(image.manifest))
    return DONE


def _place(hits: SiteHits) -> str:
    """Describe a place where programs trapped, in one line."""
    if hits.site is None:
        where = f"{hits.path} {hits.offset:#x}" if hits.path else "in no file"
        return f"{hits.count:>8}  {where}"
    why = hits.site.reason or "redirected; interrupted calls, and calls that were restarted"
    return f"{hits.count:>8}  {hits.path} {hits.site.address:#x} {hits.site.symbol or '?'}: {why}"


def _print_sites(manifests: list[Manifest], run: str | None, as_json: bool) -> int:
    """List each image's sites that were left alone, or the places where a run's programs trapped."""
    from kmltui.images.info import site_report
    from kmltui.recording import Reader
    from kmltui.runner.traps import recorded_traps

    reports = {manifest.spec.name: site_report(manifest) for manifest in manifests}
    if run is None:
        if as_json:
            common.print_json(reports)
            return DONE
        for name, report in reports.items():
            say(f"{name}: {report.sites} system-call sites, {len(report.left_alone())} left alone")
            for file, site in report.left_alone():
                say(f"  {file.path} {site.address:#x} {site.symbol or '?'}: {site.reason}")
        return DONE
    hits = recorded_traps(Reader.open(common.find_recording(run)).records())
    told = {name: report.with_hits(hits) for name, report in reports.items()}
    if as_json:
        common.print_json(told)
        return DONE
    for name, places in told.items():
        say(f"{name}: {sum(place.count for place in places)} traps at {len(places)} places")
        for place in places:
            say(f"  {_place(place)}")
    return DONE


@app.command
def info(
    image: str | None = None,
    *,
    sites: Annotated[bool, Flag] = False,
    run: Recording | None = None,
    as_json: Json = False,
) -> int:
    """Show what the guest images contain: kernel, versions, sizes, build dates; of a single one also its programs.

    Parameters
    ----------
    image:
        Only this one, e.g. bookworm/6.1 (default: all).
    sites:
        List the system-call instructions that were left alone, and why.
    run:
        With --sites: also how often each one trapped in this run (a name or a recording), the most frequent first, and
        any other places where programs in ring 0 trapped.
    as_json:
        Print it as JSON.
    """
    from kmltui.images.info import all_manifests, describe

    with _errors():
        manifests = [m for m in all_manifests() if image is None or m.spec.name == _parsed(image).name]
        if not manifests:
            fail(f"there is no guest image {image or ''}".rstrip() + "; 'kmltui guest build' builds one", MISSING)
        if sites:
            return _print_sites(manifests, run, as_json)
        infos = [describe(manifest, with_programs=image is not None) for manifest in manifests]
    if as_json:
        common.print_json(infos)
    else:
        say("\n\n".join(_described(info) for info in infos))
    return RUN_FAILED if any(info.damage for info in infos) else DONE


_WIDTH = 100
"""Columns of a list of programs."""


def _described(info: ImageInfo) -> str:
    rows = {
        "kernel": f"{info.kernel} ({info.kernel_bytes / 1e6:.1f} MB)",
        "MariaDB": info.mariadb,
        "sysbench": info.sysbench,
        "libc": info.libc,
        "contents": f"{info.initrd_bytes / 1e6:.1f} MB",
        "added": ", ".join(f"{name} {info.packages.get(name, '')}".strip() for name in info.extra),
        "sites": f"{info.sites} system calls, {info.sites_left_alone} left as traps ('guest info --sites' lists them)",
        "made": time.strftime("%Y-%m-%d %H:%M", time.localtime(info.built_unix))
        + (" elsewhere, imported" if info.imported else f" in {info.build_s:.0f} s"),
        "key": info.key,
    }
    if info.damage:
        rows["DAMAGED"] = f"{info.damage}; rebuild it with 'kmltui guest build'"
    lines = [info.name, *(f"  {key:<9} {value}" for key, value in rows.items() if value)]
    if info.programs:
        lines.append("  programs, by package:")
        for package, names in info.programs.items():
            lines += textwrap.wrap(
                f"{package}: {' '.join(names)}",
                _WIDTH,
                initial_indent="    ",
                subsequent_indent="      ",
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def _session_spec(session: str, cpus: int, image: str, accel: str, memory: str | None) -> SessionSpec:
    from typing import get_args

    from kmltui.model import Arm, SessionSpec

    if session not in get_args(Arm):
        fail(f"--session {session!r}: is one of {', '.join(get_args(Arm))}")
    if not 1 <= cpus <= 64:
        fail(f"--cpus {cpus}: must be between 1 and 64")
    if accel not in ("auto", "kvm", "tcg"):
        fail(f"--accel {accel!r}: is auto, kvm or tcg")
    spec = SessionSpec(name=session, arm=session, vcpus=cpus, image=image, accel=accel)  # type: ignore[arg-type]
    return spec if memory is None else replace(spec, memory_bytes=memory_bytes(memory, "--memory"))


def _prepared(spec: SessionSpec) -> SessionSpec:
    """Make sure the image exists before a guest is booted from it."""
    from kmltui.build.builder import ensure_image

    image = _parsed(spec.image)
    with _errors():
        ensure_image(image, common.progress_printer())
    return spec


def _in_guest(run: Callable[[], T]) -> T:
    with _errors():
        return run()


@app.command(name="exec")
def exec_(
    *command: str,
    session: str = "kml",
    cpus: int = 1,
    image: str = "",
    accel: str = "auto",
    memory: str | None = None,
    put: Put = (),
) -> int:
    """Run one program in a guest of its own, and pass on its output and exit status.

    Parameters
    ----------
    command:
        After ``--``: the program and its arguments; one of the image, or one of this machine by its path (./prog).
    session:
        kml (ring 0), stock, stock+libc or stock+idt.
    cpus:
        Virtual CPUs.
    image:
        The guest image, e.g. bookworm/6.12 (default: the one for this machine).
    accel:
        auto, kvm or tcg.
    memory:
        Memory of the guest, e.g. 2G (default: 1G, or what the image needs).
    """
    from kmltui.sessions.console import run_command
    from kmltui.sessions.protocol import Command
    from kmltui.workloads.localprogram import find_local, is_local

    if not command:
        fail("guest exec: name a program after '--', e.g. kmltui guest exec -- uname -a")
    check_files(put)
    started = Command(command)
    local = None
    with _errors():
        if is_local(command[0]):
            local = find_local(command[0])
            started = Command([local.path, *command[1:]], env=local.environment)
    spec = _prepared(_session_spec(session, cpus, image, accel, memory))
    check_program(command[0], [spec])
    stdin = None if sys.stdin.isatty() else sys.stdin.fileno()

    async def prepare(session: GuestSession) -> None:
        await _bring(session, put, "")
        if local is not None:
            _tell(await local.put(session))

    return _in_guest(lambda: asyncio.run(run_command(spec, started, prepare, stdin=stdin)))


async def _bring(session: GuestSession, files: Sequence[Path], directory: str) -> None:
    from kmltui.workloads.localprogram import bring

    _tell(await bring(session, {f"{directory}/{file.name}": file for file in files}))


@app.command
def cp(*files_and_target: str, run: LiveRun | None = None) -> int:
    """Copy files into a guest of a live run. (--put of 'run', 'guest exec' and 'guest shell' does it at the start.)

    The system calls of programs are redirected if the session's own are. The recording gets a mark.

    Parameters
    ----------
    files_and_target:
        Files of this machine, then SESSION:PATH, e.g. kml:/opt/prog; several files, or one whose name shall stay: a
        directory, written with a slash at its end, e.g. kml:/opt/.
    run:
        The run's name (default: the only live run).
    """
    from kmltui.paths import user_name
    from kmltui.runner import control

    *files, target = files_and_target or ("",)
    session, colon, path = target.partition(":")
    if not files or not colon or not session or not path.startswith("/"):
        fail("guest cp: name files, then where they go, e.g. kmltui guest cp ./prog kml:/opt/")
    sources = [Path(file) for file in files]
    check_files(sources, "guest cp")
    if len(sources) > 1 and not path.endswith("/"):
        fail(f"guest cp: several files go into a directory: {target}/")
    put = {path + source.name if path.endswith("/") else path: str(source.absolute()) for source in sources}
    entry = common.find_run(run) if run else common.only_live_run("guest cp")
    try:
        request = control.request(
            entry.socket, "put", timeout_s=_COPY_LIMIT_S, session=session, files=put, author=user_name()
        )
        _tell(asyncio.run(request)["told"])
    except control.ControlError as error:
        fail(str(error), RUN_FAILED)
    return DONE


def _tell(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        say(f"kmltui: {printable(sentence)}", file=sys.stderr)


@app.command
def shell(
    *,
    session: str = "kml",
    cpus: int = 1,
    image: str = "",
    accel: str = "auto",
    memory: str | None = None,
    put: Put = (),
) -> int:
    """Open a shell in a guest of its own. In a KML session, the programs it starts run in ring 0.

    Parameters
    ----------
    session:
        kml, stock, stock+libc or stock+idt.
    cpus:
        Virtual CPUs.
    image:
        The guest image (default: the one for this machine).
    accel:
        auto, kvm or tcg.
    memory:
        Memory of the guest, e.g. 2G (default: 1G, or what the image needs).
    """
    from kmltui.sessions.console import run_shell

    if not (common.is_terminal(sys.stdin) and common.is_terminal(sys.stdout)):
        fail("guest shell needs a terminal; 'kmltui guest exec -- COMMAND' runs a single command")
    check_files(put)
    spec = _prepared(_session_spec(session, cpus, image, accel, memory))
    return _in_guest(lambda: asyncio.run(run_shell(spec, lambda session: _bring(session, put, "/root"))))


@app.command
def export(file: Path, *, image: str = "", sbom: Path | None = None, as_json: Json = False) -> int:
    """Export an image to a file, for machines that cannot build one (any x86-64 Linux with QEMU).

    Parameters
    ----------
    file:
        The file to write.
    image:
        Which image (default: the one for this machine).
    sbom:
        Also write the image's contents (SPDX): packages, versions, locations of their sources, copyrights. If you
        pass the image on, pass this on with it.
    as_json:
        Print as JSON what was written.
    """
    import os

    from kmltui.build.sbom import bill_of_materials
    from kmltui.images.bundle import export_image
    from kmltui.images.image import find_image

    for each in (file, sbom):
        if each is not None and each.exists():
            fail(f"{each}: exists already; remove it or choose another name")
    with _errors():
        found = find_image(_parsed(image))
        if sbom is not None:
            created = int(os.environ.get("SOURCE_DATE_EPOCH") or found.manifest.built_unix)
            sbom.write_bytes(bill_of_materials(found.manifest, created))
        export_image(found, file, common.progress_printer())
    if as_json:
        written = {"image": found.name, "file": str(file), "size_bytes": file.stat().st_size}
        common.print_json(written | {"sbom": None if sbom is None else str(sbom)})
        return DONE
    say(f"{file}: {file.stat().st_size / 1e6:.0f} MB; 'kmltui guest import {file.name}' imports it on another machine")
    return DONE


@app.command
def fetch(
    source: str,
    *,
    sha256: str | None = None,
    signature: str | None = None,
    key: Path | None = None,
    as_json: Json = False,
) -> int:
    """Download an image written by ``guest export``, and import it if checksum or signature match.

    Parameters
    ----------
    source:
        An address (http, https) or a file.
    sha256:
        The file's SHA-256, from a source you trust.
    signature:
        Instead, or in addition: the address or file of an OpenPGP signature of it.
    key:
        The keyring with the key that it must be signed with.
    as_json:
        Print as JSON, as ``kmltui guest info --json`` does, what the image contains.
    """
    import tempfile

    from kmltui.images import fetch as fetching
    from kmltui.images import store
    from kmltui.images.bundle import import_image

    if sha256 is None and signature is None:
        fail("guest fetch: name the file's --sha256, or its --signature and the --key that made it")
    if (signature is None) != (key is None):
        fail("guest fetch: --signature and --key go together")
    with _errors():
        store.root().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=store.root()) as temporary:
            file = Path(temporary) / "image"
            fetching.fetch(source, file, common.progress_printer())
            if sha256 is not None:
                fetching.check_sum(file, sha256)
            if signature is not None and key is not None:
                signed = Path(temporary) / "signature"
                fetching.fetch(signature, signed, max_bytes=1 << 20)
                fetching.check_signature(file, signed, key)
            image = import_image(file, common.progress_printer())
    if as_json:
        return _print_image(image)
    say(f"{image.name}: ready")
    return DONE


@app.command(name="import")
def import_(file: Path, *, as_json: Json = False) -> int:
    """Import an image written by ``guest export``.

    Parameters
    ----------
    file:
        The file.
    as_json:
        Print as JSON, as ``kmltui guest info --json`` does, what the image contains.
    """
    from kmltui.images.bundle import import_image
    from kmltui.images.errors import ImageError

    try:
        image = import_image(file, common.progress_printer())
    except ImageError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror}")
    if as_json:
        return _print_image(image)
    say(f"{image.name}: ready")
    return DONE

# SPDX-License-Identifier: GPL-2.0-or-later
"""What a system call costs in instructions, by trap and by direct call, and what the module costs everything else.

    python benchmarks/kml.py [--work] [KERNEL …]

Each kernel (default: those whose images are built) is booted in QEMU with one instruction per nanosecond (``-icount
shift=0``) and runs ``kml_calls.c`` in each arm. Prints the table "Cost" of docs/kml.md, which
``tests/guest/test_kml_cost.py`` enforces. For one build of the kernel the figures are the same from run to run and from
machine to machine. They are instructions, not time: a trap that takes hardware a hundred cycles is one instruction
here.

With ``--work`` each kernel also runs point selects and the Wisconsin benchmark as an exact bench: without the module,
in arm stock, with redirected interrupts, and with KML. The instructions of the whole guest are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import get_args

from kmltui import workloads
from kmltui.build.builder import ensure_image
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.images import store
from kmltui.images.image import Image
from kmltui.images.progress import Progress
from kmltui.images.spec import Kernel, make_spec
from kmltui.model import Arm, Record, SessionSpec
from kmltui.runner.bench import InTurn
from kmltui.runner.plan import Bench, Plan
from kmltui.runner.run import Run
from kmltui.runner.work import SessionSource, Work
from kmltui.sessions.exact import ExactGuestSession
from kmltui.sessions.guest import GuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command

PROGRAM = "/trusted/benchmark/kml_calls"
UNTRUSTED = "/tmp/kml_calls"
NO_SAMPLES_NS = 10**15
KERNELS = get_args(Kernel)
PAIRS = 3
WORK: tuple[tuple[str, int, dict[str, str]], ...] = (
    ("oltp_point_select", 2000, {}),
    ("wisconsin", 5, {"tables": "ready"}),
)

Figures = dict[str, float]
"""Instructions per call, by name."""


def compile_program() -> bytes:
    source = Path(__file__).with_name("kml_calls.c")
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "kml_calls"
        subprocess.run(["gcc", "-O2", "-static", "-s", "-o", output, source], check=True)
        return output.read_bytes()


async def run(session: GuestSession, *argv: str) -> str:
    """The output of a program that must succeed."""
    process = await session.spawn(Command(argv))
    lines = [text async for _stream, text in process.lines()]
    if status := await process.wait():
        raise SystemExit(f"{' '.join(argv)}: status {status}\n" + "\n".join(lines))
    return "\n".join(lines)


async def figures(session: GuestSession, way: str, program: str = PROGRAM) -> Figures:
    return {name: float(value) for name, value in map(str.split, (await run(session, program, way)).splitlines())}


async def measure(image: Image) -> dict[str, Figures]:
    """Figures by how the calls were made: by trap (``trap``) and directly (``direct``); by trap without the module
    (``none``) and with redirected interrupts (``idt``); and by trap in arm ``kml``, by an attached process and by
    another.

    One guest runs them all; the module is reloaded for each arm.
    """
    program = compile_program()
    spec = SessionSpec(name="cost", arm="stock", accel="tcg", clock="instructions", image=image.name)
    session = GuestSession(spec, NO_SAMPLES_NS)
    result = {}
    await session.start(Journal.begin(lambda record: None))
    try:
        await session.put(PROGRAM, program, 0o755)
        # A copy that others than root may write to, which is therefore not trusted.
        await session.put(UNTRUSTED, program, 0o777)
        result["trap"] = await figures(session, "trap")
        await run(session, "/bin/sh", "-c", "rmmod kml")
        result["none"] = await figures(session, "trap")
        await run(session, "/bin/sh", "-c", "insmod /kml/kml.ko arm=stock+idt")
        result["idt"] = await figures(session, "trap")
        await run(session, "/bin/sh", "-c", "rmmod kml && insmod /kml/kml.ko arm=kml")
        result["direct"] = await figures(session, "direct")
        result["attached"] = await figures(session, "trap")
        result["other"] = await figures(session, "trap", UNTRUSTED)
    finally:
        await session.stop()
    return result


CALLS = {
    "getppid": "getppid",
    "getpgrp": "getpgrp",
    "read of 1 byte from /dev/zero": "read",
    "close of a file": "close",
    "a byte to another process and one back": "sleep",
    "the same, where the scheduler decides who sleeps": "pipe",
}
"""Rows of the table that are calls: their names in the docs and in ``kml_calls.c``. The last is not in the docs,
because it depends on more than the calls."""

Row = tuple[float | None, float | None]
"""By trap, by direct call."""


def table(found: dict[str, Figures]) -> dict[str, Row]:
    """The rows of docs/kml.md's table for one kernel."""

    def more(way: str, than: str, name: str = "getppid") -> float:
        return found[way][name] - found[than][name]

    rows: dict[str, Row] = {title: (found["trap"][name], found["direct"][name]) for title, name in CALLS.items()}
    rows["counting a trap"] = (more("trap", "none"), None)
    rows["the same in arm kml, of a process in ring 3"] = (more("other", "none"), None)
    rows["the same in arm kml, of one in ring 0"] = (more("attached", "none"), None)
    rows["an interrupt of kernel code, more"] = (more("idt", "trap", "fault"), None)
    return rows


def markdown(tables: dict[str, dict[str, Row]]) -> str:
    """The tables of several kernels, side by side."""

    def line(title: str, *cells: str) -> str:
        return f"| {' | '.join((title, *cells))} |".replace("  ", " ")

    def cells(row: Row) -> list[str]:
        return ["" if value is None else f"{value:,.0f}" for value in row]

    columns = list(tables.values())
    lines = [
        line("Linux", *(cell for release in tables for cell in (release, ""))),
        line(*["---"] * (1 + 2 * len(columns))),
        line("", *(cell for _ in columns for cell in ("trap", "direct"))),
        *(line(title, *(cell for column in columns for cell in cells(column[title]))) for title in columns[0]),
    ]
    return "\n".join(lines)


class NoModule(ExactGuestSession):
    """A stock session without the module: its system calls are not counted."""

    async def start(self, journal: Journal) -> None:
        await super().start(journal)
        await run(self, "/bin/sh", "-c", "rmmod kml")


NONE = "no-module"
ARMS: dict[str, Arm] = {NONE: "stock", "stock": "stock", "stock-idt": "stock+idt", "kml": "kml"}


def create(spec: SessionSpec, _period_ns: int) -> ExactGuestSession:
    return (NoModule if spec.name == NONE else ExactGuestSession)(spec)


async def repeat(image: Image, name: str, loops: int, options: dict[str, str]) -> Summary:
    """An exact bench of a workload in all of :data:`ARMS`."""
    specs = [
        SessionSpec(name=session, arm=arm, image=image.name, exact=True, accel="tcg") for session, arm in ARMS.items()
    ]
    with tempfile.TemporaryDirectory() as directory:
        plan = Plan(
            workload=workloads.get(name).spec(loops=loops, options=options),
            sessions=specs,
            out=Path(directory) / "bench.kmlrec",
            how=Bench(PAIRS),
        )
        records: list[Record] = []
        work = Work(plan, workloads.get(name), SessionSource(create=create))
        outcome = await Run(plan, InTurn(work, PAIRS), [records.append]).execute()
    if outcome.status != "done":
        raise SystemExit(f"{name}: {outcome.reason}")
    return summarise(records)


def report_work(name: str, summary: Summary) -> None:
    sessions = summary.sessions
    base = sessions["stock"].instructions
    none, idt, kml = (sessions[name].instructions for name in (NONE, "stock-idt", "kml"))
    assert base and none and idt and kml
    print(f"{name}: instructions of the whole guest, means of {PAIRS}")
    line("counting: stock / no module", base.total, none.total, "the same without the module", "at most 1.005")
    line("redirected interrupts: stock+idt / stock", idt.total, base.total, "arm stock")
    line("KML: kml / stock", kml.total, base.total, "arm stock")
    line("KML, kernel instructions alone", kml.system, base.system, "arm stock")
    of_kml = sessions["kml"]
    assert of_kml.syscalls and of_kml.demotions is not None
    direct, trap = of_kml.syscalls.direct, of_kml.syscalls.trap
    print(f"  {'system calls, direct and trapped (all programs)':<48}{direct:13,.0f}{trap:13,.0f}")
    print(f"  {'elevations; demotions':<48}{of_kml.elevations:13,.0f}{of_kml.demotions:13,.0f}\n")


def line(title: str, new: float, old: float, of: str, promise: str = "") -> None:
    digits = 1 if old < 100_000 else 0
    figures = f"{new:13,.{digits}f}{old:13,.{digits}f}"
    print(f"  {title:<48}{figures}  {new / old:6.3f} of {of}{promise and '   promised: ' + promise}")


def main() -> None:
    parser = argparse.ArgumentParser(description="System calls in instructions, by trap and by direct call.")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    parser.add_argument("--work", action="store_true", help="measure workloads, too")
    arguments = parser.parse_args()

    def progress(step: Progress) -> None:
        if step.ended:
            print(f"# {step.step}: {step.elapsed_s:.0f} s", flush=True)

    built = [manifest.spec for manifest in store.manifests() if not manifest.spec.tools]
    own = [make_spec(kernel=kernel) for kernel in arguments.kernels] or [
        spec for spec in built if spec == make_spec(kernel=spec.kernel, mirror=spec.mirror)
    ]
    images = [ensure_image(spec, progress) for spec in sorted(own, key=lambda spec: KERNELS.index(spec.kernel))]
    print(markdown({image.manifest.kernel_release: table(asyncio.run(measure(image))) for image in images}))
    for image in images if arguments.work else ():
        print(f"\nLinux {image.manifest.kernel_release}")
        for name, loops, settings in WORK:
            report_work(name, asyncio.run(repeat(image, name, loops, settings)))


if __name__ == "__main__":
    main()

"""What a system call costs in instructions, by trap and by direct call, and what the engine costs others.

    python benchmarks/kml.py [KERNEL …]

Each kernel (default: 6.1 and 6.12) is booted in QEMU with one instruction a nanosecond (``-icount shift=0``), in each
arm, and runs ``kml_calls.c``. The figures are the same from run to run and from machine to machine, up to the build of
the kernel. They are instructions, not time: a trap that hardware needs a hundred cycles for is one instruction here.

Then it does point selects and the Wisconsin benchmark, as an exact bench: without the module, in arm stock, with
redirected interrupts, and with KML. Counted is the whole guest.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
from pathlib import Path

from kmltui import workloads
from kmltui.build.builder import ensure_image
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.images.image import Image
from kmltui.images.progress import Progress
from kmltui.images.spec import make_spec
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
NO_SAMPLES_NS = 10**15
PAIRS = 3
WORK: tuple[tuple[str, int, dict[str, str]], ...] = (
    ("oltp_point_select", 2000, {}),
    ("wisconsin", 5, {"tables": "ready"}),
)

Figures = dict[str, float]
"""Instructions a call, by name."""


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


async def figures(session: GuestSession, way: str) -> Figures:
    return {name: float(value) for name, value in map(str.split, (await run(session, PROGRAM, way)).splitlines())}


async def boot(image: Image, arm: str, program: bytes) -> GuestSession:
    name = arm.replace("+", "-")
    spec = SessionSpec(name=name, arm=arm, accel="tcg", clock="instructions", image=image.name)  # type: ignore[arg-type]
    session = GuestSession(spec, NO_SAMPLES_NS)
    await session.start(Journal.begin(lambda record: None))
    await session.put(PROGRAM, program, 0o755)
    return session


async def measure(image: Image, program: bytes) -> dict[str, Figures]:
    """Figures by what was measured: ``none`` is the kernel without the module."""
    result = {}
    for arm in ("stock", "stock+idt", "kml"):
        session = await boot(image, arm, program)
        try:
            result[arm] = await figures(session, "direct" if arm == "kml" else "trap")
            if arm == "stock":
                await run(session, "/bin/sh", "-c", "rmmod kml")
                result["none"] = await figures(session, "trap")
        finally:
            await session.stop()
    return result


class NoModule(ExactGuestSession):
    """A stock session without the module: nobody counts its system calls."""

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


def report(kernel: str, found: dict[str, Figures]) -> None:
    trap, direct, idt, none = found["stock"], found["kml"], found["stock+idt"], found["none"]
    print(f"{kernel}: instructions a call, loop included")
    line("getppid, direct / trap", direct["getppid"], trap["getppid"], "a trap in arm stock", "at most 100")
    line("getpgrp, direct / trap", direct["getpgrp"], trap["getpgrp"], "a trap in arm stock")
    line("read 1 byte of /dev/zero, direct / trap", direct["read"], trap["read"], "a trap in arm stock", "at most 430")
    line("counting: getppid, stock / no module", trap["getppid"], none["getppid"], "a trap without the module")
    line("interrupt in kernel mode, stock+idt / stock", idt["fault"], trap["fault"], "a call with a kernel-mode fault")
    detour = idt["fault"] - trap["fault"]
    print(f"  {'the detour of an interrupt in kernel mode':<48}{detour:13.1f}   promised: at most 60\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="System calls in instructions, by trap and by direct call.")
    parser.add_argument("kernels", nargs="*", default=["6.1", "6.12"], metavar="KERNEL")
    program = compile_program()

    def progress(step: Progress) -> None:
        if step.ended:
            print(f"# {step.step}: {step.elapsed_s:.0f} s")

    for kernel in parser.parse_args().kernels:
        image = ensure_image(make_spec(kernel=kernel), progress)
        report(f"Linux {image.manifest.kernel_release}", asyncio.run(measure(image, program)))
        for name, loops, settings in WORK:
            report_work(name, asyncio.run(repeat(image, name, loops, settings)))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine's tests do in guests. The programs below ``programs/`` make their direct calls themselves, so nothing
here depends on rewritten files."""

from __future__ import annotations

import asyncio
import io
import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from kmltui.counters.kml import parse_kml_counters
from kmltui.images import store
from kmltui.machine.qemu import Vm
from kmltui.model import KmlCounters

from .conftest import PROGRAM_SOURCES, Guest

WHERE = "/trusted/test"
NMI, MACHINE_CHECK, TIMER = 2, 18, 236
"""Vectors."""


async def install(guest: Guest, programs: dict[str, bytes], *names: str) -> None:
    for name in names:
        await guest.session.put(f"{WHERE}/{name}", programs[name], 0o755)


async def run(guest: Guest, programs: dict[str, bytes], name: str, *arguments: str) -> str:
    await install(guest, programs, name)
    return await guest.check([f"{WHERE}/{name}", *arguments], elevated=False)


async def counters(guest: Guest) -> KmlCounters:
    return parse_kml_counters(await guest.check(["/bin/cat", "/proc/kml/counters"], elevated=False))


async def put_module(guest: Guest, name: str, directory: Path) -> None:
    """Build the module ``programs/module/NAME.c`` for the guest's kernel, as ``/tmp/NAME.ko`` there."""
    release = (await sh(guest, "uname -r")).strip()
    headers = next((store.root() / "trees").glob(f"kernel-*/usr/src/linux-headers-{release}"))
    (directory / f"{name}.c").write_text((PROGRAM_SOURCES / "module" / f"{name}.c").read_text())
    (directory / "Kbuild").write_text(f"obj-m := {name}.o\nccflags-y := -Wno-infinite-recursion\n")
    # As kmltui.build.kernel builds: without what the kernel's own compiler could do, and tools of the host's.
    settings = ["CC=gcc", "CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT="]
    build = ["make", "-s", "-C", str(headers), f"M={directory}", *settings, "modules"]
    await asyncio.to_thread(subprocess.run, build, check=True, capture_output=True)
    await guest.session.put(f"/tmp/{name}.ko", (directory / f"{name}.ko").read_bytes())


async def monitor(vm: Vm, command: str) -> None:
    """A command of QEMU's monitor that answers nothing when it succeeds."""
    answer = await vm.execute("human-monitor-command", {"command-line": command})
    assert not answer, answer


async def expect_crashes(guest: Guest) -> None:
    """Have the kernel not report programs that die of a signal: its words for some are those of an alarm."""
    await sh(guest, "echo 0 > /proc/sys/debug/exception-trace")


async def sh(guest: Guest, command: str) -> str:
    """A shell command that is not itself elevated."""
    return await guest.check(["/bin/sh", "-c", command], elevated=False)


def place_in(program: bytes, symbol: str) -> tuple[int, int]:
    """Where a function is: its address, and its offset in the ELF file."""
    elf = ELFFile(io.BytesIO(program))
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    [found] = table.get_symbol_by_name(symbol)
    address: int = found["st_value"]
    return address, next(iter(elf.address_offsets(address)))

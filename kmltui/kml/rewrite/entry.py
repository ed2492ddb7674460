# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts the code of entry.S before the first instruction of loaders and static programs."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from kmltui.kml.rewrite.code import Code
from kmltui.kml.rewrite.elf import ElfError
from kmltui.kml.rewrite.plan import JUMP_SIZE
from kmltui.kml.rewrite.targets import Targets
from kmltui.kml.rewrite.thunks import Thunks, jump, relative
from kmltui.kml.rewrite.unwind import slow_frame

SLOW_SIZE = 8
"""The size in bytes of the slow code, which comes first in entry.S."""

_SOURCE = Path(__file__).with_name("entry.S")


class EntryError(ElfError):
    """The first instructions of a program cannot be redirected."""


@cache
def entry_code() -> bytes:
    """entry.S as machine code; RuntimeError, with the assembler's messages, if there is no compiler or it fails."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "entry")
        flags = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,--oformat=binary,-Ttext=0"]
        try:
            subprocess.run(["gcc", *flags, "-o", out, _SOURCE], check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise RuntimeError("gcc is needed to rewrite programs: install it") from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{_SOURCE.name} does not assemble: {error.stderr}") from error
        return out.read_bytes()


def add_entry(code: Code, thunks: Thunks, targets: Targets) -> None:
    """Make the program set up its page first; EntryError if its first instructions cannot be moved.

    They are moved behind the entry code. The entry address stays as it is, because ld.so compares it with AT_ENTRY to
    find out whether it was started as the program itself.
    """
    entry = end = code.elf.entry
    thunks.align()
    slow = thunks.here
    start = slow + SLOW_SIZE
    thunks.frames.append(slow_frame(slow, start))
    thunks.text += entry_code()
    for instruction in code.straight(entry):
        if targets.inside(instruction.address, instruction.end):
            break
        if instruction.mnemonic == "jmp" and instruction.target is not None and instruction.size == JUMP_SIZE:
            # No code of the program comes before it (Go's first instruction), or that code has been moved already.
            thunks.text += jump(thunks.here, instruction.target)
            end = instruction.end
            break
        if instruction.is_call and instruction.target is not None:
            thunks.text += relative(b"\xe8", thunks.here, instruction.target)
        else:
            copied = code.copied(instruction, thunks.here)
            if copied is None:
                break
            thunks.text += copied
        end = instruction.end
        if end - entry >= JUMP_SIZE or targets.at(end):
            break
    if end - entry < JUMP_SIZE:
        raise EntryError(f"the first instructions at {entry:#x} cannot be moved")
    thunks.text += jump(thunks.here, end)
    thunks.replace(entry, end, jump(entry, start))

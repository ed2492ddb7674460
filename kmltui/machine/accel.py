# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM or emulation: tries once whether a guest really boots under KVM here, and remembers the result.

That ``/dev/kvm`` can be opened says little: where virtual machines are nested, a guest may hang in its first
instructions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import threading
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from kmltui import files
from kmltui.images import store
from kmltui.images.errors import GuestError, MissingError
from kmltui.images.image import Image, default_memory_bytes
from kmltui.machine.channel import Channel
from kmltui.machine.qemu import Accelerator, Vm, VmConfig, qemu_version

FIRST_OUTPUT_S = 4.0
"""A running kernel has written to its console by then; under KVM this takes a fraction of a second."""
HELLO_S = 20.0


class _Answer(Struct, frozen=True):
    works: bool
    reason: str


def _key() -> str:
    return f"{platform.release()} {qemu_version()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def _memory() -> Path:
    return store.root() / "kvm.json"


def remembered() -> tuple[bool, str] | None:
    """The result since this machine booted: whether KVM works, and why not. None if not tried yet."""
    try:
        key = _key()
    except MissingError:  # without QEMU nothing is known, and others say that it is missing
        return None
    answer = (files.remembered(_memory(), dict[str, _Answer]) or {}).get(key)
    return (answer.works, answer.reason) if answer else None


def _remember(answer: _Answer) -> None:
    with files.replacing(_memory()) as stream:
        stream.write(msgspec.json.encode({_key(): answer}))


def emulated(wanted: Literal["auto", "kvm", "tcg"]) -> bool | None:
    """Return whether :func:`choose` will return ``tcg``; None where KVM has to be tried first."""
    if wanted != "auto":
        return wanted == "tcg"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return True
    known = remembered()
    return None if known is None else not known[0]


_TRYING = threading.Lock()


def settle(image: Image) -> None:
    """Make sure that :func:`emulated` has an answer: KVM is tried with a guest of ``image`` if that has not been done
    since this machine booted. Takes some seconds then; not to be called in an event loop's thread."""
    with _TRYING, store.in_use():
        if emulated("auto") is None:
            asyncio.run(choose("auto", image.kernel, image.initrd))


async def choose(wanted: Literal["auto", "kvm", "tcg"], kernel: Path, initrd: Path) -> Accelerator:
    """The accelerator to use. ``kvm`` wanted but not working: :class:`GuestError`; ``auto``: emulation then."""
    if wanted == "tcg":
        return "tcg"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        works, reason = False, "/dev/kvm cannot be opened"
    elif (known := remembered()) is not None:
        works, reason = known
    else:
        answer = await _try(kernel, initrd)
        _remember(answer)
        works, reason = answer.works, answer.reason
    if works:
        return "kvm"
    if wanted == "kvm":
        raise GuestError(f"KVM does not work here: {reason}; use --accel tcg")
    return "tcg"


async def _try(kernel: Path, initrd: Path) -> _Answer:
    """Boot a guest under KVM as far as its first process."""
    talkative = "earlyprintk=ttyS0 ignore_loglevel"
    memory = default_memory_bytes(initrd)
    vm = Vm(VmConfig(name="probe", kernel=kernel, initrd=initrd, accel="kvm", append=talkative, memory_bytes=memory))
    try:
        await vm.start()
        ended = asyncio.create_task(vm.ended())
        output = asyncio.create_task(vm.first_output.wait())
        done, _ = await asyncio.wait({ended, output}, timeout=FIRST_OUTPUT_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, output):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if output not in done:
            return _Answer(False, vm.messages or f"a guest wrote nothing within {FIRST_OUTPUT_S:.0f} s")
        channel = Channel(*vm.control)
        async with asyncio.timeout(HELLO_S):
            await channel.hello()
        await channel.close()
        return _Answer(True, "")
    except TimeoutError:
        return _Answer(False, f"a guest was not up within {HELLO_S:.0f} s")
    except GuestError as error:
        return _Answer(False, str(error))
    finally:
        await vm.stop()

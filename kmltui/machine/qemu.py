# SPDX-License-Identifier: GPL-2.0-or-later
"""One virtual machine: its command line, its process, its four connections, its end.

Every connection (QMP, console, guestd, agent) is one half of a socket pair made before QEMU starts: there is no
socket on disk that another user could reach or that could be left behind. QEMU dies with the process that started
it (see :mod:`kmltui.machine.deathsig`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO, Literal

from msgspec import Struct
from qemu.qmp import ExecuteError, QMPClient, QMPError

from kmltui.images.errors import GuestError, MissingError
from kmltui.machine import deathsig, tsc
from kmltui.machine.channel import GuestGone
from kmltui.machine.user import let_read, unprivileged
from kmltui.model import MEMORY_BYTES, ClockKind

PROGRAM = "qemu-system-x86_64"
Accelerator = Literal["kvm", "tcg"]

_CPU: dict[Accelerator, str] = {
    # Without SMEP and SMAP user code may run in ring 0; a small guest does not need five-level page tables.
    # QEMU 7.2's CMPXCHG16B can leave garbage in the flags; kernel 6.12, which allocates memory by it, then dies.
    "tcg": "max,-smep,-smap,-svm,-la57,-cx16",
    # Hosts differ in whether KVM can set that register of the guest's. KML refuses processors that have VMX or SVM.
    "kvm": "host,-smep,-smap,-vmx,-svm,-la57,-arch-capabilities",
}

_BY_BYTE = ("erms", "fsrm", "fzrm", "fsrs", "fsrc")
"""What a processor says if ``rep movsb`` and its like move many bytes at a time. The emulator moves one, and counts an
instruction for it: a kernel and a C library that believe it copy eight times slower, and every page that is cleared
takes 4,096 instructions. So an emulated machine does not say it, and they copy by words and vectors."""

EMULATOR_THREADS = "single"
"""The vCPUs of an emulated machine take turns in one thread. With a thread for each, QEMU 7.2 now and then runs what
it has translated of an instruction that the kernel has just patched ("Oops: int3": 2 of 24 boots with eight vCPUs on
two busy cores; none of 48 in one thread, and those booted faster)."""

INSTRUCTION_CLOCK = (
    # The guest's clock counts instructions (one is 1 ns), also the clock that it boots with and then keeps.
    "-icount", "shift=0", "-rtc", "base=utc,clock=vm",
    # Its random numbers are always the same.
    "-seed", "1",
    # What it writes to a port of ours is taken at once. (The guest's driver spins until it is taken; by another thread
    # of QEMU that would be when the host has time for it.)
    "-global", "virtio-serial-pci.ioeventfd=off",
)  # fmt: skip
"""Makes an emulated guest's clock count its instructions. It can have only one vCPU."""

COMMAND_LINE = (
    "console=ttyS0 quiet loglevel=5 panic=-1 oops=panic "
    # What KML cannot work with, off in both sessions, so that neither gains by its absence: page-table isolation,
    # control-flow enforcement, FRED.
    "pti=off ibt=off nousershstk fred=off "
    # The kernel lies at the same addresses in both, and in every run.
    "nokaslr "
    "tsc=reliable no_timer_check nmi_watchdog=0 no-kvmapf random.trust_cpu=on "
    # Boot without what our guests do not need.
    # (Security modules: the guest has no policy, and asking them all takes a sixth of a one-byte read.)
    "lsm=capability cryptomgr.notests 8250.nr_uarts=1 i8042.noaux i8042.nokbd ipv6.disable=1 acpi_no_watchdog "
    "rcupdate.rcu_expedited=1"
)
"""The kernel's command line; ``kmltui.name`` and ``kmltui.arm`` come after it, and nothing else differs."""

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""What QEMU gives up once it runs: a guest that broke out into it could not start programs or change its user."""

_ENVIRONMENT = ("LD_LIBRARY_PATH", "TMPDIR")
"""What QEMU may need of its caller's environment; it gets nothing else."""

CONSOLE_LINES = 200


class SaveError(GuestError):
    """A machine's state was not saved; the machine runs on."""


class VmConfig(Struct, frozen=True, kw_only=True):
    """A machine to start. ``arguments`` are further arguments of QEMU, ``append`` of the kernel's command line."""

    name: str
    kernel: Path
    initrd: Path
    arm: str = "stock"
    vcpus: int = 1
    memory_bytes: int = MEMORY_BYTES
    accel: Accelerator = "tcg"
    clock: ClockKind = "wall"
    arguments: Sequence[str] = ()
    files: Sequence[Path] = ()
    """Files that ``arguments`` name. QEMU may be another user, to whom no path leads; it reaches them all the same."""
    append: str = ""

    @property
    def command_line(self) -> str:
        parts = (COMMAND_LINE, self._timers(), self.append, f"kmltui.name={self.name} kmltui.arm={self.arm}")
        return " ".join(part for part in parts if part)

    def _timers(self) -> str:
        """What the guest's kernel would have to measure of its timers, and cannot or should not."""
        if self.accel != "tcg":
            return ""
        if self.clock == "instructions":
            # It measures the timer of its APIC in a loop for a tenth of a second, which is 10⁸ instructions, and whose
            # instructions are slow to emulate: half of the boot. So it uses the HPET, which need not be measured.
            return f"tsc_early_khz={tsc.ICOUNT_KHZ} noapictimer"
        khz = tsc.host_khz()
        return f"tsc_early_khz={khz}" if khz else ""


def qemu_path() -> str:
    """Where QEMU is. Raises :class:`MissingError` if it is not on this machine."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingError(
            f"{PROGRAM} is not on this machine: it runs the guests; `kmltui doctor` says how to install it"
        )
    return str(Path(program).absolute())


@cache
def qemu_version() -> str:
    """QEMU's version, for example ``7.2.22``. Raises :class:`MissingError` if it is not on this machine."""
    output = subprocess.run([qemu_path(), "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version (\S+)", output)
    return match[1] if match else "unknown"


@cache
def _processor(accel: Accelerator) -> str:
    """The model of the guest's processor, and which of its features are off."""
    if accel == "kvm":
        return _CPU[accel]
    listed = subprocess.run([qemu_path(), "-cpu", "help"], capture_output=True, text=True, check=False).stdout.split()
    return ",-".join([_CPU[accel], *(name for name in _BY_BYTE if name in listed)])


_POLL_S = 0.01
_UNLIMITED = 1 << 40
"""Bytes a second: more than any machine copies. QEMU's default would spare a network."""
_GO_ON_LIMIT_S = 20.0
"""For some milliseconds' work, on a very busy machine."""

CONNECTIONS = ("qmp", "console", "control", "agent")


def qemu_arguments(config: VmConfig, descriptors: Mapping[str, int]) -> list[str]:
    """QEMU's arguments for a machine. ``descriptors``: where it finds its end of each of :data:`CONNECTIONS`."""
    by_instructions = config.clock == "instructions"
    accel = f"tcg,thread={EMULATOR_THREADS}" if config.accel == "tcg" else config.accel
    return [
        "-name", f"kmltui-{config.name}",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S", "-sandbox", SANDBOX,
        "-machine", "q35,usb=off,vmport=off,smbus=off,sata=off",
        "-accel", accel, "-cpu", _processor(config.accel), "-smp", str(config.vcpus),
        "-m", f"{config.memory_bytes >> 20}M", "-rtc", "base=utc",
        "-kernel", str(config.kernel), "-initrd", str(config.initrd),
        "-append", config.command_line,
        "-chardev", f"socket,id=qmp,fd={descriptors['qmp']}", "-mon", "chardev=qmp,mode=control",
        "-chardev", f"socket,id=console,fd={descriptors['console']}", "-serial", "chardev:console",
        "-device", "virtio-serial-pci,max_ports=4",
        "-chardev", f"socket,id=control,fd={descriptors['control']}",
        "-device", "virtserialport,chardev=control,name=kmltui.control,nr=1",
        "-chardev", f"socket,id=agent,fd={descriptors['agent']}",
        "-device", "virtserialport,chardev=agent,name=kmltui.agent,nr=2",
        # Port 0: the host's kernel chooses a free one, so two runs cannot ask for the same.
        "-netdev", "user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-10.0.2.15:3306",
        "-device", "virtio-net-pci,netdev=net,romfile=",
        *(INSTRUCTION_CLOCK if by_instructions else ()),
        *config.arguments,
    ]  # fmt: skip


def _reached(word: str, opened: Mapping[Path, int]) -> str:
    """An argument whose files are named by descriptors."""
    for path, descriptor in opened.items():
        word = word.replace(str(path), f"/proc/self/fd/{descriptor}")
    return word


def _send(connection: socket.socket, state: BinaryIO) -> None:
    """Send what is left of a file. What stops taking it says why elsewhere."""
    with contextlib.suppress(OSError):
        connection.sendfile(state, state.tell())
        connection.shutdown(socket.SHUT_WR)


class Vm:
    """A running machine. :meth:`start` starts it, :meth:`stop` ends it; it may also end by itself (:attr:`ended`)."""

    def __init__(self, config: VmConfig, on_console: Callable[[str], None] | None = None) -> None:
        self.config = config
        self.console: deque[str] = deque(maxlen=CONSOLE_LINES)
        """The last lines of the console."""
        self.first_output = asyncio.Event()
        """Set when the guest's kernel has written something to its console."""
        self.port = 0
        """Where on 127.0.0.1 the guest's MySQL port is reached."""
        self._on_console = on_console
        self._process: asyncio.subprocess.Process | None = None
        self._qmp = QMPClient(f"kmltui-{config.name}")
        self._tasks: list[asyncio.Task[None]] = []
        self._messages: deque[str] = deque(maxlen=20)
        self._output: tuple[asyncio.StreamReader, asyncio.StreamWriter]
        self.control: tuple[asyncio.StreamReader, asyncio.StreamWriter]
        self.agent: tuple[asyncio.StreamReader, asyncio.StreamWriter]

    @property
    def pid(self) -> int:
        assert self._process is not None, "the machine has not been started"
        return self._process.pid

    async def vcpu_threads(self) -> set[int]:
        """The ids of the threads that run its vCPUs; under emulation one thread runs them all."""
        answer = await self.execute("query-cpus-fast")
        assert isinstance(answer, list)
        return {int(vcpu["thread-id"]) for vcpu in answer}

    async def start(self, state: BinaryIO | None = None) -> None:
        """Start QEMU and the guest's kernel, or go on from a ``state`` that :meth:`save` has written.

        Raises :class:`GuestError` if QEMU does not come up.
        """
        program = qemu_path()
        await asyncio.to_thread(_processor, self.config.accel)  # which is remembered: the first time it asks QEMU
        pairs = {name: socket.socketpair() for name in (*CONNECTIONS, *(("state",) if state else ()))}
        ours = {name: pair[0] for name, pair in pairs.items()}
        theirs = {name: pair[1] for name, pair in pairs.items()}
        user = unprivileged(kvm=self.config.accel == "kvm")
        opened: dict[Path, int] = {}
        try:
            for path in (self.config.kernel, self.config.initrd, *self.config.files):
                let_read(path, user)
                opened[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
            descriptors = {name: end.fileno() for name, end in theirs.items()}
            arguments = [_reached(word, opened) for word in qemu_arguments(self.config, descriptors)]
            if state:
                arguments += ["-incoming", f"fd:{descriptors['state']}"]
            # -I and -S: a Python process that reads nothing but this one file.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", deathsig.__file__, str(os.getpid()), str(user or "-"), program, *arguments,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                pass_fds=[*(end.fileno() for end in theirs.values()), *opened.values()],
                # A caller's environment may hold passwords, and QEMU may be a user whose processes are not ours alone.
                env={name: value for name in _ENVIRONMENT if (value := os.environ.get(name)) is not None},
                # Ctrl-C at the terminal is for the runner, which stops the guests cleanly.
                start_new_session=True,
            )  # fmt: skip
        finally:
            for end in theirs.values():
                end.close()
            for descriptor in opened.values():
                os.close(descriptor)
        self._tasks.append(asyncio.create_task(self._read_messages()))
        # A connection is closed with its writer, so all three are kept.
        self._output = await asyncio.open_connection(sock=ours["console"])
        self._tasks.append(asyncio.create_task(self._read_console(self._output[0])))
        self.control = await asyncio.open_connection(sock=ours["control"], limit=1 << 20)
        self.agent = await asyncio.open_connection(sock=ours["agent"], limit=1 << 21)
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # it logs what it raises
        try:
            await self._qmp.connect(ours["qmp"])
            self.port = await self._forwarded_port()
            if state:
                await self._load(ours["state"], state)
            await self._qmp.execute("cont")
        except (QMPError, OSError, EOFError, GuestError) as error:
            await self.stop()
            raise GuestError(f"QEMU did not start: {'; '.join(self._messages) or error}") from error

    async def _load(self, connection: socket.socket, state: BinaryIO) -> None:
        with connection:
            sending = asyncio.create_task(asyncio.to_thread(_send, connection, state))
            try:
                await self._other_than("query-status", "inmigrate")
            finally:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # so that the thread ends before its socket is closed
                await sending

    async def save(self, connection: socket.socket, limit_s: float) -> None:
        """Send the machine's state into ``connection``, whose other end is read meanwhile, and go on running.

        Raises :class:`SaveError` if not all was sent within ``limit_s``, and another :class:`GuestError` if the machine
        stands still. Cancelled, it leaves it standing still.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self._send_state(connection)
        except (GuestError, TimeoutError) as error:
            # Whoever reads is told that no more comes; and QEMU, which may wait for him, that nobody reads any more.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            await self._go_on()
            raise SaveError(str(error) or f"it took longer than {limit_s:.0f} s") from error
        await self._go_on()

    async def _send_state(self, connection: socket.socket) -> None:
        await self.execute("stop")
        try:
            self._qmp.send_fd_scm(connection.fileno())
        except (QMPError, OSError) as error:
            raise GuestError(f"QEMU takes no connection: {error}") from error
        await self.execute("getfd", {"fdname": "state"})
        await self.execute("migrate-set-parameters", {"max-bandwidth": _UNLIMITED})
        await self.execute("migrate", {"uri": "fd:state"})
        status = await self._other_than("query-migrate", "", "setup", "active", "device")
        if status != "completed":
            raise GuestError(f"QEMU could not write the guest's state: {status}")

    async def _go_on(self) -> None:
        """Run on after a migration, which QEMU ends some time after it has said that it is over."""
        try:
            async with asyncio.timeout(_GO_ON_LIMIT_S):
                await self._other_than("query-status", "finish-migrate")
                await self.execute("cont")
        except TimeoutError:
            raise GuestError("QEMU does not let the guest go on") from None

    async def _other_than(self, query: str, *passing: str) -> str:
        """The status that follows the ``passing`` ones."""
        while True:
            answer = await self.execute(query)
            assert isinstance(answer, dict)
            if (status := str(answer.get("status", ""))) not in passing:
                return status
            await asyncio.sleep(_POLL_S)

    async def _forwarded_port(self) -> int:
        text = str(await self._qmp.execute("human-monitor-command", {"command-line": "info usernet"}))
        match = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s", text)
        if not match:
            raise GuestError("QEMU forwards no port to the guest's MySQL server")
        return int(match[1])

    async def _read_console(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            pending = b""
            while data := await reader.read(4096):
                self.first_output.set()
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._console_line(line)
            if pending:
                self._console_line(pending)

    def _console_line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        self.console.append(text)
        if self._on_console:
            self._on_console(text)

    async def _read_messages(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        async for line in self._process.stderr:
            self._messages.append(line.decode(errors="replace").rstrip())

    @property
    def panicked(self) -> bool:
        """Whether the guest's kernel has said that it gives up."""
        return any("Kernel panic - not syncing" in line for line in self.console)

    @property
    def messages(self) -> str:
        """What QEMU itself has complained of."""
        return "; ".join(self._messages)

    async def ended(self) -> None:
        """Wait until QEMU is gone and all of its console has been read."""
        assert self._process is not None
        await self._process.wait()
        await asyncio.wait(self._tasks, timeout=2)

    async def execute(self, command: str, arguments: dict[str, object] | None = None) -> object:
        """A QMP command. Raises :class:`GuestError` if QEMU refuses it, :class:`GuestGone` if it is gone."""
        try:
            return await self._qmp.execute(command, arguments)
        except ExecuteError as error:
            raise GuestError(f"QEMU: {command}: {error}") from error
        except (QMPError, OSError, EOFError) as error:
            raise GuestGone(f"QEMU is gone: {command}: {error}") from error

    async def stop(self) -> None:
        """End it at once: a guest has nothing to lose. Idempotent."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()
        with contextlib.suppress(Exception):  # leftovers of a connection to a process that is gone
            await self._qmp.disconnect()
        for name in ("_output", "control", "agent"):
            if hasattr(self, name):
                getattr(self, name)[1].close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        for task in self._tasks:
            task.cancel()

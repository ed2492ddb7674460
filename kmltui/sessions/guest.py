# SPDX-License-Identifier: GPL-2.0-or-later
"""A session in a virtual machine of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec

from kmltui.counters import CounterError
from kmltui.images import store
from kmltui.images.errors import GuestError
from kmltui.images.image import Image, chosen_spec, find_image
from kmltui.machine import environment
from kmltui.machine.accel import choose
from kmltui.machine.agent import Agent, decode
from kmltui.machine.booted import Booted, IncompleteError, Report
from kmltui.machine.channel import Channel, GuestGone, GuestProcess
from kmltui.machine.contention import ContentionFiles
from kmltui.machine.qemu import Accelerator, SaveError, Vm, VmConfig
from kmltui.machine.wire import SpawnFlag
from kmltui.model import Environment, SessionSpec, session_clock
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command, ErrorState, SessionError

BOOT_LIMIT_S = 300.0
"""From start to guestd's report; a few seconds under emulation, more on a very busy machine."""

SILENCE_LIMIT_S = 30.0
"""If the agent is silent for this long (and for ten periods), the guest hangs."""

RECHECK_S = 2.0

SAVE_LIMIT_S = 30.0
"""For what takes half a second, more on a very busy machine or a slow disk: the guest stands still for as long."""

RESUME_LIMIT_S = 30.0
"""From QEMU's start to a saved guest's first answer: half a second, more on a very busy machine or a slow disk."""

_NOT_KEPT = "the guest could not be saved after its boot, so the next start has to boot again"

_SHOWN_LINES = 8
_ALARMS = ("BUG:", "Oops", "Kernel panic", "sysrq:", "general protection fault", "watchdog:", "WARNING:", "Call Trace")


def _telling(console: list[str]) -> list[str]:
    """The last lines, preceded by those that say what happened (a panic ends in registers and addresses)."""
    last = len(console) - _SHOWN_LINES
    alarms = [line for line in console[: max(last, 0)] if any(alarm in line for alarm in _ALARMS)]
    return alarms[-_SHOWN_LINES:] + console[max(last, 0) :]


class _Up(NamedTuple):
    """A guest that answers."""

    vm: Vm
    channel: Channel
    report: Report
    """guestd's."""
    facts: dict[str, str]
    """What it says of itself."""


class GuestSession:
    """One guest, sampled every ``sample_period_ns``; 0: on demand only, and nobody notices if it hangs.

    Even if its clock counts instructions, the period is the host's: samples are then requested from here.
    ``qemu_arguments`` go to QEMU as they are, ``qemu_files`` are the files that they name, ``append`` goes to the
    kernel's command line. ``fresh``: it boots, even where it could go on from one that was saved after its boot.
    """

    def __init__(
        self,
        spec: SessionSpec,
        sample_period_ns: int = 500_000_000,
        *,
        qemu_arguments: Sequence[str] = (),
        qemu_files: Sequence[Path] = (),
        append: str = "",
        fresh: bool = False,
    ) -> None:
        """Raise :class:`SessionError` for a clock that the session cannot have."""
        if spec.vcpus != 1 and session_clock(spec, {}) == "instructions":
            raise SessionError(f"{spec.name}: instructions are counted on one vCPU, not on {spec.vcpus}")
        self.spec = spec
        """Its ``clock`` is the requested one until the session has started, then the actual one."""
        self._period_ns = sample_period_ns
        self._qemu_arguments = qemu_arguments
        self._qemu_files = qemu_files
        self._append = append
        self._fresh = fresh
        self._journal = Journal.begin(lambda _record: None)
        self._vm: Vm | None = None
        self._channel: Channel | None = None
        self._agent: Agent | None = None
        self._host: ContentionFiles | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._heard = asyncio.Event()
        self._failure: asyncio.Future[SessionError] | None = None
        self._stopped = False

    async def start(self, journal: Journal) -> None:
        self._journal = journal
        self._failure = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(BOOT_LIMIT_S):
                await self._start()
        except TimeoutError:
            raise self._error(f"was not up within {BOOT_LIMIT_S:.0f} s", "hung") from None
        except GuestGone:
            raise await self._reason() from None
        except GuestError as error:
            raise self._error(str(error)) from error

    async def _start(self) -> None:
        image = await asyncio.to_thread(find_image, chosen_spec(self.spec.image))
        with store.in_use():
            # A large image needs more memory than guests have by default; with less its kernel would panic.
            memory_bytes = max(self.spec.memory_bytes, image.least_memory_bytes)
            self.spec = msgspec.structs.replace(self.spec, memory_bytes=memory_bytes)
            accel = await choose(self.spec.accel, image.kernel, image.initrd)
            if accel == "kvm":  # where nothing counts instructions
                self.spec = msgspec.structs.replace(self.spec, clock="wall")
            self._state(f"starting QEMU with {'KVM' if accel == 'kvm' else 'software emulation (TCG)'}")
            config = self._config(image, accel)
            kept = await asyncio.to_thread(self._kept, config, image)
            if (up := await self._resumed(config, kept) if kept else None) is None:
                up = await self._booted(config, kept)
            self._vm, self._channel, report, facts = up
            self._host = ContentionFiles(self._vm.pid, await self._vm.vcpu_threads())
        facts |= environment.known(image, accel, self.spec, report)
        facts["clock"] = session_clock(self.spec, {})
        self._journal.emit(Environment(t_ns=self._journal.now(), session=self.spec.name, facts=facts))
        self._agent = Agent(*self._vm.agent)
        self._tasks.append(asyncio.create_task(self._follow_agent(self._agent)))
        await self.sample("boot")
        if session_clock(self.spec, {}) == "instructions":
            self._tasks.append(asyncio.create_task(self._ask_for_samples(self._agent)))
        else:
            await self._agent.set_period(self._period_ns)
        self._tasks.append(asyncio.create_task(self._watch_silence()))

    def _kept(self, config: VmConfig, image: Image) -> Booted | None:
        """Where such a guest is kept as it was after its boot; None if it is not one that comes up alike each time."""
        if self._fresh or config.clock != "instructions" or self._qemu_arguments or self._append:
            return None
        return Booted(config, image.manifest.key)

    async def _booted(self, config: VmConfig, kept: Booted | None) -> _Up:
        self._vm = vm = Vm(config, self._console)
        await vm.start()
        self._tasks.append(asyncio.create_task(self._watch_vm(vm)))
        self._state("waiting for the guest's kernel")
        self._channel = channel = Channel(*vm.control)
        report = await channel.hello()
        if problems := report.get("problem"):
            raise GuestError("the guest did not boot properly: " + "; ".join(problems))
        if report.get("arm") != [self.spec.arm]:
            raise GuestError(f"the guest came up with the arm {report.get('arm')}")
        if kept:
            await self._keep(vm, kept, report)
        return _Up(vm, channel, report, await environment.read(channel))

    async def _keep(self, vm: Vm, kept: Booted, report: Report) -> None:
        """Keep the guest as it is, if there is room. It runs on while the file is brought to the disk."""
        if store.free_bytes() < store.NEEDED_BYTES:
            return
        self._state("saving the guest for the next start")
        ours, theirs = socket.socketpair()
        complete: Future[bool] = Future()
        with theirs:
            writing = asyncio.create_task(asyncio.to_thread(kept.keep, report, ours, complete))
            failure: SaveError | None = None
            try:
                await vm.save(theirs, SAVE_LIMIT_S)
                complete.set_result(True)
            except SaveError as error:
                failure = error
            finally:
                if not complete.done():
                    complete.set_result(False)
                self._tasks.append(asyncio.create_task(self._report_unsaved(writing, failure)))

    async def _report_unsaved(self, writing: asyncio.Task[None], failure: SaveError | None) -> None:
        reason: Exception | None = failure
        try:
            await writing
        except IncompleteError:
            pass
        except OSError as error:
            reason = error  # which is why QEMU could not go on, too
        if reason:
            self._journal.log(self.spec.name, "runner", f"{_NOT_KEPT}: {reason}", "warning")

    async def _resumed(self, config: VmConfig, kept: Booted) -> _Up | None:
        """The guest that was kept; None if there is none, or it does not go on."""
        with kept.open() as found:
            if found is None:
                return None
            report, state = found
            self._state("resuming the guest as it was after its boot")
            self._vm = vm = Vm(config, self._console)
            try:
                async with asyncio.timeout(RESUME_LIMIT_S):
                    await vm.start(state)
                    channel = Channel(*vm.control)
                    channel.resume()
                    facts = await environment.read(channel, resumed=True)
            except (GuestError, OSError, TimeoutError) as error:
                reason = str(error) or f"it did not answer within {RESUME_LIMIT_S:.0f} s"
                text = f"could not resume the guest that was saved after its boot ({reason}); booting a new one"
                self._journal.log(self.spec.name, "runner", text, "warning")
                await vm.stop()
                kept.discard()
                return None
        self._tasks.append(asyncio.create_task(self._watch_vm(vm)))
        return _Up(vm, channel, report, facts)

    async def _ask_for_samples(self, agent: Agent) -> None:
        """Request a sample each period of the host's clock; the guest's own runs at whatever speed it is emulated."""
        with contextlib.suppress(OSError):  # the guest is gone; the watcher of its QEMU knows why
            while self._period_ns:
                await asyncio.sleep(self._period_ns / 1e9)
                await agent.ask("")

    def _config(self, image: Image, accel: Accelerator) -> VmConfig:
        return VmConfig(
            name=self.spec.name,
            kernel=image.kernel,
            initrd=image.initrd,
            arm=self.spec.arm,
            vcpus=self.spec.vcpus,
            memory_bytes=self.spec.memory_bytes,
            accel=accel,
            arguments=self._qemu_arguments,
            files=self._qemu_files,
            clock=session_clock(self.spec, {}),
            append=self._append,
        )

    def _state(self, detail: str) -> None:
        self._journal.state(self.spec.name, "booting", detail)

    def _console(self, text: str) -> None:
        alarming = any(alarm in text for alarm in _ALARMS)
        self._journal.log(self.spec.name, "console", text, "error" if alarming else "info")

    def _error(self, what: str, state: ErrorState = "failed") -> SessionError:
        lines = _telling(list(self._vm.console)) if self._vm else []
        console = "; from the end of its console:\n" + "\n".join(lines) if lines else ""
        return SessionError(f"{self.spec.name}: {what}{console}", state)

    def _fail(self, error: SessionError) -> None:
        if self._failure is not None and not self._failure.done() and not self._stopped:
            self._failure.set_result(error)

    async def _reason(self) -> SessionError:
        """Return why the guest is gone, once QEMU has ended."""
        assert self._failure is not None
        try:
            return await asyncio.wait_for(asyncio.shield(self._failure), 5.0)
        except TimeoutError:
            return self._error("the guest no longer answers", "hung")

    async def _watch_vm(self, vm: Vm) -> None:
        await vm.ended()
        if vm.panicked:
            self._fail(self._error("the guest's kernel has panicked", "panicked"))
        elif vm.messages:
            self._fail(self._error(f"QEMU has ended: {vm.messages}"))
        else:
            self._fail(self._error("QEMU has ended, or was killed"))

    async def _watch_silence(self) -> None:
        limit = max(SILENCE_LIMIT_S, 10 * self._period_ns / 1e9)
        # Twice, because this process may have stood still, with the agent's samples still unread.
        while self._period_ns and (await self._hears(limit) or await self._hears(RECHECK_S)):
            pass
        if self._period_ns:
            self._fail(self._error(f"the guest hangs: its agent has been silent for {limit:.0f} s", "hung"))

    async def _hears(self, limit_s: float) -> bool:
        """Return whether the agent sends something within ``limit_s`` from now."""
        self._heard.clear()
        try:
            await asyncio.wait_for(self._heard.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    async def _follow_agent(self, agent: Agent) -> None:
        try:
            while True:
                frame = await agent.receive()
                sample = decode(frame, self.spec.name, self._journal.now())
                if self._host is not None:
                    sample = msgspec.structs.replace(sample, contention=self._host.read())
                self._heard.set()
                self._journal.emit(sample)
                if sample.mark and self._waiting[sample.mark]:
                    self._settle(self._waiting[sample.mark].popleft())
        except (EOFError, OSError):
            pass  # the guest is gone; the other watcher knows why
        except (GuestError, CounterError) as error:
            self._fail(self._error(str(error)))
        finally:
            for futures in self._waiting.values():
                for future in futures:
                    self._settle(future, GuestGone("the guest is gone"))

    @staticmethod
    def _settle(future: asyncio.Future[None], error: Exception | None = None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    async def sample(self, mark: str) -> None:
        agent, _ = self._live()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[mark].append(future)
        try:
            await agent.ask(mark)
            await future
        except (GuestGone, OSError):
            raise await self._reason() from None

    def _live(self) -> tuple[Agent, Channel]:
        if self._agent is None or self._channel is None or self._stopped:
            raise SessionError(f"{self.spec.name}: the guest is not running")
        return self._agent, self._channel

    @property
    def pid(self) -> int:
        """The process id of its QEMU."""
        assert self._vm is not None, "the session has not been started"
        return self._vm.pid

    @property
    def ended(self) -> bool:
        """Whether it was stopped or has failed."""
        return self._stopped or (self._failure is not None and self._failure.done())

    @property
    def channel(self) -> Channel:
        """guestd itself, for what the protocol of sessions does not offer (terminals)."""
        return self._live()[1]

    async def spawn(self, command: Command) -> GuestProcess:
        argv = command.argv
        flags = SpawnFlag.STDIN if command.stdin else SpawnFlag.NONE
        try:
            return await self.channel.spawn(argv, group=command.group, env=command.env, flags=flags)
        except GuestGone:
            raise await self._reason() from None
        except (OSError, ValueError) as error:
            raise SessionError(f"{self.spec.name}: cannot start {argv[0] if argv else 'nothing'}: {error}") from error

    async def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        try:
            await self.channel.put(path, data, mode)
        except GuestGone:
            raise await self._reason() from None
        except OSError as error:
            raise SessionError(f"{self.spec.name}: cannot write {path} in the guest: {error.strerror}") from error

    async def get(self, path: str) -> bytes:
        data = bytearray()
        try:
            await self.channel.get(path, data.extend)
        except GuestGone:
            raise await self._reason() from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise SessionError(f"{self.spec.name}: cannot read {path} in the guest: {error.strerror}") from error
        return bytes(data)

    def mysql_address(self) -> tuple[str, int]:
        assert self._vm is not None, "the session has not been started"
        return "127.0.0.1", self._vm.port

    async def failed(self) -> SessionError:
        assert self._failure is not None, "the session has not been started"
        return await asyncio.shield(self._failure)

    async def stop(self) -> None:
        self._stopped = True
        if self._vm is not None:
            await self._vm.stop()
        if self._channel is not None:
            await self._channel.close()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)

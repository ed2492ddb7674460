# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests for tests: the image with all tools, guests that tests share, and guests of a test's own.

``stock`` and ``kml`` are shared by all tests that ask for them and must be left as they were found. ``boot`` starts
guests for one test. After each test the kernel's messages are read: a warning, bug, oops or lockup fails the test.

Tests run on 6.1. Those marked ``every_kernel`` run on every kernel that the module supports; except that of these the
ones that boot a guest of their own take turns: the first runs on the first kernel, the second on the next, unless the
marker names one (``turn="7.3"``). ``KMLTUI_TEST_KERNELS`` names the kernels to run all tests on instead, separated by
spaces, each with ``/generic`` behind it for the flavour that is not the cloud's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
import pytest_asyncio

from kmltui import paths
from kmltui.build.builder import ensure_image
from kmltui.images.image import Image
from kmltui.images.progress import Progress
from kmltui.images.spec import Kernel, make_spec
from kmltui.model import Environment, Log, Record, Sample, SessionSpec
from kmltui.sessions.guest import GuestSession
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Command, SessionError

CHOSEN = os.environ.get("KMLTUI_TEST_KERNELS", "").split()
SUPPORTED: tuple[str, ...] = get_args(Kernel)
COMMAND_LIMIT_S = 300.0
RING3 = "/tmp/ring3"
"""Where programs of busybox's lie that are not trusted, since others than root may write to /tmp."""
PROGRAM_SOURCES = Path(__file__).parent / "programs"
MEMORY_BYTES = 1536 << 20
"""The image with tools is some 300 MB, twice in memory while the guest boots."""

_ALARM = re.compile(
    r"WARNING:|BUG:|Oops|general protection fault|soft lockup|hard LOCKUP|Call Trace|rcu.*stall|blocked for"
    r"|No irq handler for vector|spurious APIC interrupt"
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not CHOSEN:
        _take_turns(config, items)
    for item in items:
        if item.path.parent == _HERE:
            item.add_marker(pytest.mark.guest)
            if isinstance(item, pytest.Function) and asyncio.iscoroutinefunction(item.obj):
                # The shared guests live in one event loop.
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Kernel by kernel and in the files' order, whatever order pytest has made of the parameters: what tests share is
    made once."""
    session.items.sort(key=_place)


_HERE = Path(__file__).parent


def _place(item: pytest.Item) -> tuple[int, Path, int]:
    kernel = item.callspec.params.get("kernel") if hasattr(item, "callspec") else None
    index = -1 if kernel is None else list(CHOSEN or SUPPORTED).index(kernel)
    return index, item.path, item.location[1] or 0


def _takes_turns(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and _on_every_kernel(item) and "boot" in item.fixturenames


def _take_turns(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave of each test that takes turns the one on the kernel whose turn it is."""
    kernels: dict[tuple[Any, ...], str] = {}
    left_out = []
    for item in sorted(filter(_takes_turns, items), key=lambda item: (item.path, item.location[1] or 0)):
        assert isinstance(item, pytest.Function)
        parameters = dict(item.callspec.params)
        kernel = parameters.pop("kernel")
        test = (item.path, item.originalname, repr(sorted(parameters.items())))
        marker = item.get_closest_marker("every_kernel")
        turn = marker.kwargs.get("turn") if marker else None
        if kernels.setdefault(test, turn or SUPPORTED[len(kernels) % len(SUPPORTED)]) != kernel:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _on_every_kernel(test: Any) -> bool:
    return bool(test.get_closest_marker("every_kernel")) and not test.get_closest_marker("by_hand")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        kernels = SUPPORTED if _on_every_kernel(metafunc.definition) else SUPPORTED[:1]
        metafunc.parametrize("kernel", CHOSEN or kernels, scope="session")


@dataclass
class Result:
    """What a program in a guest did."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Guest:
    """A running guest, with everything it has told."""

    session: GuestSession
    records: list[Record] = field(default_factory=list)
    last_message: str = ""
    """Of the kernel's, as far as they have been read. (Its buffer is a ring: their number says nothing.)"""

    async def run(
        self,
        command: str | Sequence[str],
        *,
        group: str = "client",
        env: Mapping[str, str] | None = None,
        elevated: bool = True,
        data: bytes | None = None,
        limit_s: float = COMMAND_LIMIT_S,
    ) -> Result:
        """Run a program (a text: by the shell) to its end. Not elevated: by a shell, or another program of busybox's,
        that is not trusted, and finds others like itself first."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        if not elevated:
            argv[0] = re.sub("^/bin/", f"{RING3}/", argv[0])
            env = {"PATH": f"{RING3}:/usr/sbin:/usr/bin", **(env or {})}
        async with asyncio.timeout(limit_s):
            process = await self.session.spawn(Command(argv, group, env or {}, data is not None))
            if data is not None:
                await process.write(data)
                await process.close_stdin()
            out = {"stdout": bytearray(), "stderr": bytearray()}
            async for stream, part in process.chunks():
                out[stream] += part
            return Result(
                await process.wait(), out["stdout"].decode(errors="replace"), out["stderr"].decode(errors="replace")
            )

    async def check(self, command: str | Sequence[str], **options: Any) -> str:
        """The standard output of a program that must succeed."""
        result = await self.run(command, **options)
        assert result.status == 0, f"{command}: status {result.status}\n{result.stdout}{result.stderr}"
        return result.stdout

    def of(self, kind: type[Any]) -> list[Any]:
        """The records of one kind so far."""
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def samples(self) -> list[Sample]:
        return self.of(Sample)

    @property
    def facts(self) -> dict[str, str]:
        environment: Environment = self.of(Environment)[0]
        return environment.facts

    @property
    def console(self) -> list[str]:
        return [log.text for log in self.of(Log) if log.source == "console"]

    async def sample(self, mark: str) -> Sample:
        """A sample taken now."""
        await self.session.sample(mark)
        return next(sample for sample in reversed(self.samples) if sample.mark == mark)

    async def new_alarms(self) -> list[str]:
        """What the kernel has complained of since the last time."""
        lines = (await self.check(["/bin/dmesg"], elevated=False)).splitlines()
        read = max((number for number, line in enumerate(lines) if line == self.last_message), default=-1)
        self.last_message = lines[-1] if lines else ""
        alarms, out_of_memory = [], False
        for line in lines[read + 1 :]:
            # The report of who has asked for more memory than there is has a stack trace, and is no complaint.
            out_of_memory |= "invoked oom-killer" in line or "page allocation failure" in line
            if out_of_memory and "Call Trace" in line:
                out_of_memory = False
            elif _ALARM.search(line):
                alarms.append(line)
        return alarms

    async def alive(self) -> bool:
        with contextlib.suppress(SessionError, TimeoutError):
            return (await self.run(["/bin/true"], elevated=False, limit_s=20)).status == 0
        return False


async def start_guest(image: Image, arm: str = "stock", *, period_ns: int = 500_000_000, **options: Any) -> Guest:
    """Boot a guest. ``options`` are the session's (vcpus, memory_bytes, name, clock) or :class:`GuestSession`'s."""
    of_spec = {key: options.pop(key) for key in ("vcpus", "memory_bytes", "name", "clock") if key in options}
    spec = SessionSpec(
        **{  # type: ignore[arg-type]  # of values of several types
            "name": arm.replace("+", "-"),
            "arm": arm,
            "memory_bytes": MEMORY_BYTES,
            "accel": "auto",
            "image": image.name,
        }
        | of_spec
    )
    guest = Guest(GuestSession(spec, period_ns, **options))
    try:
        await guest.session.start(Journal.begin(guest.records.append))
    except BaseException:
        await guest.session.stop()
        raise
    await guest.check(f"mkdir {RING3} && cp /kmltui/busybox {RING3}/ && {RING3}/busybox --install -s {RING3}")
    await guest.new_alarms()
    return guest


@contextlib.contextmanager
def own_home(directory: Path) -> Iterator[Path]:
    """Runs, sockets and settings are below ``directory`` for as long as this lasts; the cache is the user's own."""
    cache = paths.cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    directory.mkdir(exist_ok=True)
    (directory / "cache").symlink_to(cache.resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KMLTUI_HOME", str(directory))
        yield directory


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests run is in no list of the user's."""
    with own_home(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture(scope="session")
def image(kernel: str) -> Image:
    """The image with all tools for the kernel under test, built if need be."""

    def report(progress: Progress) -> None:
        if progress.ended:
            print(f"{progress.step}: {progress.elapsed_s:.1f} s")

    version, _, flavour = kernel.partition("/")
    return ensure_image(make_spec(kernel=version, flavour=flavour or "cloud", tools=True), report)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The test programs, static, by name."""
    directory = tmp_path_factory.mktemp("ring0")
    made = {}
    for source in PROGRAM_SOURCES.glob("*.c"):
        output = directory / source.stem
        command = [
            "gcc",
            "-O2",
            "-static",
            "-mno-red-zone",
            "-Wall",
            "-Werror",
            "-o",
            str(output),
            str(source),
            "-lpthread",
        ]
        subprocess.run(command, check=True)
        made[source.stem] = output.read_bytes()
    return made


class _Shared:
    """A guest that is booted when first asked for, and anew if a test has killed it."""

    def __init__(self, image: Image, arm: str) -> None:
        self._image = image
        self._arm = arm
        self._guest: Guest | None = None

    async def get(self) -> Guest:
        if self._guest is not None and not await self._guest.alive():
            await self.stop()
        if self._guest is None:
            self._guest = await start_guest(self._image, self._arm, vcpus=2)
        return self._guest

    async def stop(self) -> None:
        if self._guest is not None:
            await self._guest.session.stop()
            self._guest = None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_stock(image: Image) -> AsyncIterator[_Shared]:
    shared = _Shared(image, "stock")
    yield shared
    await shared.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _shared_kml(image: Image) -> AsyncIterator[_Shared]:
    shared = _Shared(image, "kml")
    yield shared
    await shared.stop()


async def _watched(shared: _Shared) -> AsyncIterator[Guest]:
    guest = await shared.get()
    yield guest
    alarms = await guest.new_alarms()
    assert not alarms, "the kernel complained:\n" + "\n".join(alarms)


@pytest_asyncio.fixture(loop_scope="session")
async def stock(_shared_stock: _Shared) -> AsyncIterator[Guest]:
    """A shared guest with 2 vCPUs in arm ``stock``."""
    async for guest in _watched(_shared_stock):
        yield guest


@pytest_asyncio.fixture(loop_scope="session")
async def kml(_shared_kml: _Shared) -> AsyncIterator[Guest]:
    """A shared guest with 2 vCPUs in arm ``kml``."""
    async for guest in _watched(_shared_kml):
        yield guest


Boot = Callable[..., Awaitable[Guest]]


@pytest_asyncio.fixture(loop_scope="session")
async def boot(image: Image) -> AsyncIterator[Boot]:
    """``await boot(arm, vcpus=…, …)``: a guest of the test's own. Of guests that the test broke nothing is asked."""
    guests: list[Guest] = []

    async def start(arm: str = "stock", **options: Any) -> Guest:
        guest = await start_guest(image, arm, **options)
        guests.append(guest)
        return guest

    yield start
    complaints: list[str] = []
    for guest in guests:
        if not guest.session.ended and await guest.alive():
            complaints += await guest.new_alarms()
        await guest.session.stop()
    assert not complaints, "a kernel complained:\n" + "\n".join(complaints)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that are kept as they were after their boot: which one is taken, and what is not kept."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from qemu.qmp import ExecuteError, Message
from qemu.qmp.models import ErrorResponse

from kmltui import files
from kmltui.images import store
from kmltui.images.errors import GuestError
from kmltui.machine import booted
from kmltui.machine.booted import Booted, IncompleteError
from kmltui.machine.qemu import SaveError, Vm, VmConfig

REPORT = {"protocol": ["1"], "arm": ["kml"]}


@pytest.fixture(autouse=True)
def _no_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "qemu"
    program.write_text("")
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(booted, "qemu_path", lambda: str(program))
    monkeypatch.setattr(booted, "qemu_version", lambda: "7.2")
    monkeypatch.setattr("kmltui.machine.qemu._processor", lambda accel: "max")


def machine(image: str = "image", directory: str = "/images", **options: Any) -> Booted:
    lies = {"kernel": Path(directory) / "kernel", "initrd": Path(directory) / "initrd"}
    return Booted(VmConfig(**{"name": "kml", "clock": "instructions"} | lies | options), image)


def keep(kept: Booted, state: bytes, *, complete: bool = True) -> None:
    ours, theirs = socket.socketpair()
    known: Future[bool] = Future()
    known.set_result(complete)
    thread = threading.Thread(target=lambda: (theirs.sendall(state), theirs.close()))
    thread.start()
    try:
        kept.keep(REPORT, ours, known)
    finally:
        thread.join()


def found(kept: Booted) -> bytes | None:
    with kept.open() as there:
        if there is None:
            return None
        report, stream = there
        assert report == REPORT
        return stream.read()


def test_what_was_kept_is_found_again() -> None:
    state = os.urandom(3_000_000)
    keep(machine(), state)
    assert found(machine()) == state
    assert machine().path.stat().st_mode & 0o077 == 0


def test_nothing_is_found_where_nothing_was_kept() -> None:
    assert found(machine()) is None


@pytest.mark.parametrize(
    "other",
    [{"arm": "kml"}, {"memory_bytes": 2 << 30}, {"image": "another"}, {"append": "quiet"}, {"name": "x"}, {"vcpus": 2}],
)
def test_another_machine_has_another_state(other: dict[str, Any]) -> None:
    keep(machine(), b"state")
    assert found(machine(**other)) is None


def test_another_qemu_has_another_state(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(machine(), b"state")
    monkeypatch.setattr(booted, "qemu_version", lambda: "10.0")
    assert found(machine()) is None


def test_it_does_not_matter_where_the_image_lies() -> None:
    keep(machine(), b"state")
    assert found(machine(directory="/elsewhere")) == b"state"


def test_half_a_state_is_not_kept() -> None:
    with pytest.raises(IncompleteError):
        keep(machine(), b"half a st", complete=False)
    assert found(machine()) is None
    assert not list(store.booted_dir().iterdir())


def test_the_ones_not_used_for_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booted, "KEPT_BYTES", 3500)
    every = [machine(memory_bytes=(number + 1) << 28) for number in range(5)]
    for number, kept in enumerate(every):
        keep(kept, b"x" * 900)
        os.utime(kept.path, (number, number))
        assert found(every[0]) is not None, "the first is used again and again"
    assert [found(kept) is not None for kept in every] == [True, False, False, True, True]


def test_one_that_is_larger_than_all_may_be_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booted, "KEPT_BYTES", 1000)
    keep(machine(), b"small")
    keep(machine(arm="kml"), b"x" * 2000)
    assert found(machine()) is None and found(machine(arm="kml")) is not None


def test_what_another_writes_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booted, "KEPT_BYTES", 1000)
    keep(machine(), b"small")
    with files.replacing(machine(arm="kml").path) as stream:
        stream.write(b"{}\n")
        keep(machine(), b"x" * 2000)
    assert machine(arm="kml").path.exists()


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\n", b"{", b'{"arm": 1}\n', b"\xff\xfe\n", b"x" * 100_000])
def test_what_is_not_one_of_ours_is_not_taken(content: bytes) -> None:
    keep(machine(), b"state")
    machine().path.write_bytes(content)
    assert found(machine()) is None


def test_what_is_discarded_is_gone() -> None:
    keep(machine(), b"state")
    machine().discard()
    machine().discard()
    assert found(machine()) is None


def test_states_of_images_that_are_gone_are_swept() -> None:
    keep(machine("gone"), b"state")
    store.sweep()
    assert not list(store.booted_dir().iterdir())


class FakeQmp:
    """QEMU's monitor during a migration, which it ends some time after it has called it completed."""

    def __init__(self, outcome: str = "completed", ending: int = 3, refused: str = "", mute: str = "") -> None:
        self.mute = mute
        self.outcome = outcome
        self.ending = ending
        self.refused = refused
        self.status = "running"

    def send_fd_scm(self, descriptor: int) -> None:
        self.peer = socket.socket(fileno=os.dup(descriptor))  # QEMU's own, which it keeps whatever becomes of it

    async def execute(self, command: str, arguments: object = None) -> object:
        if command == self.refused:
            error = {"error": {"class": "GenericError", "desc": "refused"}}
            raise ExecuteError(ErrorResponse(error), Message(), Message(error))
        if command == self.mute:
            await asyncio.Event().wait()
        if command == "stop":
            self.status = "paused"
        elif command == "migrate":
            self.status = "finish-migrate"
        elif command == "query-migrate":
            return {"status": self.outcome}
        elif command == "query-status":
            self.ending -= self.status == "finish-migrate"
            if self.status == "finish-migrate" and not self.ending:
                self.status = "postmigrate"
            return {"status": self.status}
        elif command == "cont":
            assert self.status != "finish-migrate", "QEMU would refuse it"
            self.status = "running"
        return {}


async def save(monkeypatch: pytest.MonkeyPatch, qmp: FakeQmp, limit_s: float = 5) -> None:
    """In a thread somebody reads what is saved; it must come to an end for him, whatever happens."""
    vm = Vm(VmConfig(name="kml", kernel=Path("kernel"), initrd=Path("initrd")))
    monkeypatch.setattr(vm, "_qmp", qmp)
    ours, theirs = socket.socketpair()
    with ours:
        reading = asyncio.create_task(asyncio.to_thread(ours.recv, 1))
        try:
            with theirs:
                await vm.save(theirs, limit_s)
        except SaveError:
            assert await asyncio.wait_for(reading, 5) == b""
            raise
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            await reading


async def test_a_saved_guest_goes_on_once_qemu_lets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    qmp = FakeQmp()
    await save(monkeypatch, qmp)
    assert qmp.status == "running"


@pytest.mark.parametrize(
    "qmp",
    [FakeQmp("failed"), FakeQmp(refused="getfd"), FakeQmp(refused="migrate"), FakeQmp("active"), FakeQmp(mute="getfd")],
)
async def test_a_guest_that_cannot_be_saved_in_time_goes_on(monkeypatch: pytest.MonkeyPatch, qmp: FakeQmp) -> None:
    with pytest.raises(SaveError):
        await save(monkeypatch, qmp, 0.1)
    assert qmp.status == "running"


@pytest.mark.parametrize("silent", ["stop", "query-migrate"])
async def test_saving_ends_when_it_is_cancelled(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    task = asyncio.create_task(save(monkeypatch, FakeQmp(mute=silent)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_a_qemu_that_does_not_let_the_guest_go_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kmltui.machine.qemu._GO_ON_LIMIT_S", 0.1)
    with pytest.raises(GuestError, match="does not let the guest go on"):
        await save(monkeypatch, FakeQmp(mute="cont"))


def test_what_others_could_have_written_is_not_taken(tmp_path: Path) -> None:
    kept = machine()
    keep(kept, b"state")
    assert found(kept) is not None
    kept.path.chmod(0o660)
    assert found(kept) is None
    kept.path.chmod(0o600)
    kept.path.parent.chmod(0o777)
    assert found(kept) is None
    kept.path.parent.chmod(0o700)
    kept.path.rename(tmp_path / "elsewhere")
    kept.path.symlink_to(tmp_path / "elsewhere")
    assert found(kept) is None
    kept.path.unlink()
    os.mkfifo(kept.path, 0o600)
    assert found(kept) is None


async def test_a_guest_that_does_not_go_on_is_not_taken_for_one_that_was_only_not_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(GuestError, match="cont: refused") as caught:
        await save(monkeypatch, FakeQmp(refused="cont"))
    assert not isinstance(caught.value, SaveError)

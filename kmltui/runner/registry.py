# SPDX-License-Identifier: GPL-2.0-or-later
"""The register of runs: which runs this user has started, where their recordings are, and which are alive.

One small JSON file per run, below the state directory. It identifies the runner's process by pid *and* start time, so
that a recycled pid is never taken for a runner. Where neither says anything, as in a container with a pid or time
namespace of its own and the same files, the lock on the recording shows that the run goes on.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from kmltui import files, paths
from kmltui.recording import locking


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a run without opening its recording."""

    name: str
    recording: str = ""
    """Empty: the name is taken by the process that is about to start the run."""
    pid: int
    started: str = ""
    """Which of all processes that had this number it is (:func:`began`). Empty: it has ended the run."""
    created_unix_ns: int = 0

    @property
    def alive(self) -> bool:
        """Whether the run goes on: its runner's process exists and has not ended it, or still writes."""
        return bool(self.started) and (began(self.pid) == self.started or _is_written(self.recording))

    @property
    def socket(self) -> Path:
        """The run's control socket (exists while it is alive)."""
        return socket_path(self.name)


def _is_written(recording: str) -> bool:
    try:
        with open(recording, "rb", buffering=0, opener=_at_once) as file:
            return locking.is_held(file)
    except OSError:
        return False


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for anybody: what lies at the path now may be a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def began(pid: int) -> str:
    """When process ``pid`` began, in a way that no other process has and no change of the clock alters: the boot, and
    the ticks since. Empty: there is no such process any more.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    # The name in parentheses may hold anything, parentheses and spaces included.
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZXx" else f"{_boot_id()} {fields[18]}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def socket_path(name: str) -> Path:
    """Where the control socket of run ``name`` is."""
    return paths.runtime_dir() / f"{name}.sock"


def log_path(name: str) -> Path:
    """What the runner of a detached run printed."""
    return paths.state_dir() / "logs" / f"{name}.log"


def _entry_path(name: str) -> Path:
    return paths.state_dir() / "register" / f"{name}.json"


@contextmanager
def _locked() -> Iterator[Path]:
    """The register's directory; nobody else changes what is in it meanwhile."""
    directory = files.private_dir(paths.state_dir() / "register")
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def reserve(name: str) -> None:
    """Take ``name`` for a run that this process is about to start. Raises FileExistsError: a live run has it."""
    with _locked():
        _enter(RunEntry(name=name, pid=os.getpid(), started=began(os.getpid())))


def register(name: str, recording: Path, created_unix_ns: int) -> RunEntry:
    """Register this process as the runner of ``name``, which it, or the process that started it, may have reserved.

    Raises FileExistsError: a live run has that name; entering over it would make it one that nobody can stop.
    """
    entry = RunEntry(
        name=name,
        recording=str(recording.absolute()),
        pid=os.getpid(),
        started=began(os.getpid()),
        created_unix_ns=created_unix_ns,
    )
    with _locked():
        _enter(entry)
        _tidy()
    return entry


def _enter(entry: RunEntry) -> None:
    path = _entry_path(entry.name)
    known = files.remembered(path, RunEntry)
    if known is not None and known.alive and not (_is_reservation(known) and known.pid in (os.getpid(), os.getppid())):
        raise FileExistsError(errno.EEXIST, "a run of that name is live; choose another name", entry.name)
    with files.replacing(path) as stream:
        stream.write(msgspec.json.encode(entry))


def _is_reservation(entry: RunEntry) -> bool:
    return not entry.recording


def release(name: str) -> None:
    """The run ``name`` of this process has ended, although the process may go on: its name is free again."""
    with _locked():
        entry = files.remembered(_entry_path(name), RunEntry)
        if entry is not None and entry.pid == os.getpid():
            with files.replacing(_entry_path(name)) as stream:
                stream.write(msgspec.json.encode(msgspec.structs.replace(entry, started="")))


def forget(name: str) -> None:
    """Drop a run from the register; its recording is not touched."""
    _entry_path(name).unlink(missing_ok=True)


def tidy() -> None:
    """Remove leftovers of runs that were killed or whose recordings are gone: sockets, logs, entries."""
    with _locked():
        _tidy()


def _tidy() -> None:
    for path in (paths.state_dir() / "register").glob("*.json"):
        entry = files.remembered(path, RunEntry)
        if entry is None or entry.alive:
            continue
        entry.socket.unlink(missing_ok=True)
        if _is_reservation(entry) or not Path(entry.recording).exists():
            log_path(entry.name).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def entries() -> list[RunEntry]:
    """All registered runs whose recording still exists, newest first. Damaged entries are passed over."""
    found = []
    directory = paths.state_dir() / "register"
    for path in directory.glob("*.json") if directory.is_dir() else ():
        entry = files.remembered(path, RunEntry)
        if entry is None or _is_reservation(entry):
            continue
        if entry.alive or Path(entry.recording).exists():
            found.append(entry)
    return sorted(found, key=lambda entry: entry.created_unix_ns, reverse=True)


def find(name: str) -> RunEntry:
    """The run called ``name``, in full, since who asks for a run is about to stop or change it. Raises LookupError."""
    known = {entry.name: entry for entry in entries()}
    return known[choose(name, known, in_full=True)]


def choose(name: str, known: Iterable[str], *, in_full: bool = False) -> str:
    """The one of ``known`` that is called ``name``, or the only one that begins or ends with it.

    ``in_full``: a part of the name is not enough, since the run is to be changed. Raises LookupError: no such run, or
    several; the message says which there are.
    """
    names = list(known)
    matches = [name] if name in names else [one for one in names if one.startswith(name) or one.endswith(name)]
    if len(matches) == 1 and (matches[0] == name or not in_full):
        return matches[0]
    if matches and in_full:
        raise LookupError(f"{name}: no run is called just that; write the name in full: {', '.join(matches[:5])}")
    if matches:
        raise LookupError(f"{name}: fits several runs: {', '.join(matches[:5])}")
    raise LookupError(f"{name}: no such run; 'kmltui ls' lists them")


def new_name(workload: str) -> str:
    """A name for a run that begins now: sorts by time, reads well, and is reserved for this process."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{workload}"
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        if (paths.runs_dir() / f"{name}.kmlrec").exists() or _entry_path(name).exists():
            continue
        with suppress(FileExistsError):
            reserve(name)
            return name
    raise AssertionError("there is always another number")

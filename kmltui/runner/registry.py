"""The register of runs: which runs this user has started, where their recordings are, and which are alive.

One small JSON file a run, below the state directory. It names the runner's process by pid *and* start time, so that a
recycled pid is never taken for a runner.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil

from kmltui import paths


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run without opening its recording."""

    name: str
    recording: str
    pid: int
    pid_started: float
    created_unix_ns: int

    @property
    def alive(self) -> bool:
        """Whether the runner's process still exists."""
        return is_process(self.pid, self.pid_started)

    @property
    def socket(self) -> Path:
        """The run's control socket (exists while it is alive)."""
        return socket_path(self.name)


def is_process(pid: int, started: float) -> bool:
    """Whether process ``pid`` is still the one that began at ``started`` (seconds since the epoch)."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def socket_path(name: str) -> Path:
    """Where the control socket of run ``name`` is."""
    return paths.runtime_dir() / f"{name}.sock"


def log_path(name: str) -> Path:
    """What the runner of a detached run printed."""
    return paths.state_dir() / "logs" / f"{name}.log"


def _entry_path(name: str) -> Path:
    return paths.state_dir() / "register" / f"{name}.json"


def register(name: str, recording: Path, created_unix_ns: int) -> RunEntry:
    """Enter this process as the runner of ``name``.

    Raises:
        FileExistsError: a live run has that name; entering over it would make it one that nobody can stop.
    """
    entry = RunEntry(
        name=name,
        recording=str(recording.absolute()),
        pid=os.getpid(),
        pid_started=psutil.Process().create_time(),
        created_unix_ns=created_unix_ns,
    )
    tidy()
    path = _entry_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{name}.{entry.pid}.new")
    temporary.write_bytes(msgspec.json.encode(entry))
    try:
        if (known := _read(path)) is None or not known.alive:
            path.unlink(missing_ok=True)
        # A link and not a rename: of two runs that begin at the same moment one gets the name.
        path.hardlink_to(temporary)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, "a run of that name is live; choose another name", name) from None
    finally:
        temporary.unlink(missing_ok=True)
    return entry


def _read(path: Path) -> RunEntry | None:
    """The entry in a file; None if there is none, damaged ones included."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunEntry)
    except (OSError, msgspec.MsgspecError):
        return None


def forget(name: str) -> None:
    """Drop a run from the register; its recording is not touched."""
    _entry_path(name).unlink(missing_ok=True)


def tidy() -> None:
    """Remove what runs have left that were killed or whose recordings are gone: sockets, logs, entries."""
    directory = paths.state_dir() / "register"
    for path in directory.glob("*.json") if directory.is_dir() else ():
        entry = _read(path)
        if entry is None or entry.alive:
            continue
        entry.socket.unlink(missing_ok=True)
        if not Path(entry.recording).exists():
            log_path(entry.name).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def entries() -> list[RunEntry]:
    """All registered runs whose recording still exists, newest first. Damaged entries are passed over."""
    found = []
    directory = paths.state_dir() / "register"
    for path in directory.glob("*.json") if directory.is_dir() else ():
        entry = _read(path)
        if entry is not None and (entry.alive or Path(entry.recording).exists()):
            found.append(entry)
    return sorted(found, key=lambda entry: entry.created_unix_ns, reverse=True)


def find(name: str) -> RunEntry:
    """The run called ``name``, or the only one whose name begins or ends with it.

    Raises:
        LookupError: no such run, or several; the message says which there are.
    """
    known = {entry.name: entry for entry in entries()}
    return known[choose(name, known)]


def choose(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that is called ``name``, or the only one that begins or ends with it. Raises LookupError."""
    names = list(known)
    matches = [name] if name in names else [one for one in names if one.startswith(name) or one.endswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise LookupError(f"{name}: fits several runs: {', '.join(matches[:5])}")
    raise LookupError(f"{name}: no such run; 'kmltui ls' lists them")


def new_name(workload: str) -> str:
    """A name for a run that begins now: sorts by time, reads well, unique on this machine."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{workload}"
    taken = {entry.name for entry in entries()}
    name, number = stem, 2
    while name in taken or (paths.runs_dir() / f"{name}.kmlrec").exists():
        name, number = f"{stem}-{number}", number + 1
    return name

"""The register of runs: which runs this user has started, where their recordings are, and which are alive.

One small JSON file a run, below the state directory. It names the runner's process by pid *and* start time, so that a
recycled pid is never taken for a runner.
"""

from __future__ import annotations

import os
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


def _entry_path(name: str) -> Path:
    return paths.state_dir() / "register" / f"{name}.json"


def register(name: str, recording: Path, created_unix_ns: int) -> RunEntry:
    """Enter this process as the runner of ``name``."""
    entry = RunEntry(
        name=name,
        recording=str(recording.absolute()),
        pid=os.getpid(),
        pid_started=psutil.Process().create_time(),
        created_unix_ns=created_unix_ns,
    )
    path = _entry_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(entry))
    temporary.replace(path)
    return entry


def forget(name: str) -> None:
    """Drop a run from the register; its recording is not touched."""
    _entry_path(name).unlink(missing_ok=True)


def entries() -> list[RunEntry]:
    """All registered runs whose recording still exists, newest first. Damaged entries are passed over."""
    found = []
    directory = paths.state_dir() / "register"
    for path in directory.glob("*.json") if directory.is_dir() else ():
        try:
            entry = msgspec.json.decode(path.read_bytes(), type=RunEntry)
        except (OSError, msgspec.MsgspecError):
            continue
        if entry.alive or Path(entry.recording).exists():
            found.append(entry)
    return sorted(found, key=lambda entry: entry.created_unix_ns, reverse=True)


def find(name: str) -> RunEntry:
    """The run called ``name``, or the only one whose name begins or ends with it.

    Raises:
        LookupError: no such run, or several; the message says which there are.
    """
    known = entries()
    matches = [entry for entry in known if entry.name == name] or [
        entry for entry in known if entry.name.startswith(name) or entry.name.endswith(name)
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise LookupError(f"{name}: fits several runs: {', '.join(entry.name for entry in matches[:5])}")
    raise LookupError(f"{name}: no such run; 'kmltui ls' lists them")

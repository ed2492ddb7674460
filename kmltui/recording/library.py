# SPDX-License-Identifier: GPL-2.0-or-later
"""The recordings of a directory: what each one is, without reading it all; renaming and removing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kmltui import files, paths
from kmltui.model import SessionSpec, WorkloadSpec
from kmltui.recording.errors import RecordingError
from kmltui.recording.reader import Reader

SUFFIX = ".kmlrec"
"""How the name of a recording ends."""

RunState = Literal["live", "done", "failed", "stopped", "lost", "unreadable"]
"""``live``: a writer is at work. ``lost``: the runner was killed before the end. The others are the run's own end."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording, as a list shows it. Texts are as recorded: make them printable before showing them."""

    path: Path
    state: RunState
    size_bytes: int
    modified_unix_ns: int
    run: str = ""
    title: str = ""
    created_unix_ns: int = 0
    duration_ns: int = 0
    """Time of the last record: for a live run, as of now."""
    workload: WorkloadSpec | None = None
    sessions: tuple[SessionSpec, ...] = ()
    torn: bool = False
    """Its end is damaged or incomplete; what comes before can be read."""
    detail: str = ""
    """Why it failed, was stopped or cannot be read."""

    @property
    def name(self) -> str:
        """The file's name without the suffix."""
        return self.path.name.removesuffix(SUFFIX)


def entry(path: str | os.PathLike[str]) -> Entry:
    """What a recording is. Never raises: one that cannot be read is ``unreadable`` and says why."""
    target = Path(path)
    try:
        status = target.stat()
    except OSError as error:
        return Entry(
            path=target, state="unreadable", size_bytes=0, modified_unix_ns=0, detail=f"{target}: {error.strerror}"
        )
    size, modified = status.st_size, status.st_mtime_ns
    try:
        with Reader.open(target) as reader:
            end = reader.end
            state: RunState = "live" if reader.live else "lost" if end is None else end.status
            return Entry(
                path=target,
                state=state,
                size_bytes=size,
                modified_unix_ns=modified,
                run=reader.header.run,
                title=reader.header.title,
                created_unix_ns=reader.header.created_unix_ns,
                duration_ns=reader.duration_ns,
                workload=reader.header.workload,
                sessions=tuple(reader.header.sessions),
                torn=reader.damaged,
                detail=end.reason if end else "",
            )
    except RecordingError as error:
        return Entry(path=target, state="unreadable", size_bytes=size, modified_unix_ns=modified, detail=str(error))


def scan(directory: str | os.PathLike[str]) -> Iterator[Entry]:
    """The recordings of a directory, the latest file first; nothing if there is no such directory.

    What a run that was killed has left beside its recording is removed on the way.

    An iterator, so that a screen can show the first ones while the others are still being looked at.
    """
    files.sweep(Path(directory))
    try:
        with os.scandir(directory) as entries:
            found = [item for item in entries if item.name.endswith(SUFFIX) and not item.name.startswith(".")]
            found = [item for item in found if item.is_file()]
    except OSError:
        return
    for item in sorted(found, key=_modified_ns, reverse=True):
        yield entry(item.path)


def rename(path: str | os.PathLike[str], name: str) -> Path:
    """Give a recording another name in its directory (the suffix is added if it lacks); returns the new path.

    Raises RecordingError: a run is writing to it, the name is taken or is none, or it is one of our samples.
    """
    source = Path(path)
    _no_sample(source)
    stem = name.removesuffix(SUFFIX)
    if not stem or stem.startswith(".") or "/" in stem or "\0" in stem:
        raise RecordingError(f"{name!r} is not a name for a recording: it needs letters, and no '/' or leading '.'")
    target = source.with_name(stem + SUFFIX)
    _not_live(source)
    try:
        # A link and not a rename: it fails where the name is taken, a rename would replace that file.
        os.link(source, target)
        source.unlink()
    except FileExistsError:
        raise RecordingError(f"{target} exists already: choose another name") from None
    except OSError as error:
        raise RecordingError(f"cannot rename {source} to {target.name}: {error.strerror}") from error
    return target


def remove(path: str | os.PathLike[str]) -> None:
    """Delete a recording.

    Raises RecordingError: a run is writing to it, it is no recording and so not ours, or it is one of our samples.
    """
    target = Path(path)
    _no_sample(target)
    _not_live(target, must_be_recording=target.suffix != SUFFIX)
    try:
        target.unlink()
    except OSError as error:
        raise RecordingError(f"cannot remove {target}: {error.strerror}") from error


SAMPLES_STAY = "samples that came with kmltui stay"


def _no_sample(path: Path) -> None:
    if path.parent.resolve() == paths.data_dir("recordings").resolve():
        raise RecordingError(f"{path}: {SAMPLES_STAY}")


def _not_live(path: Path, must_be_recording: bool = False) -> None:
    state = entry(path)
    if state.state == "live":
        raise RecordingError(f"{path} is being written by its run: stop the run first (kmltui stop)")
    if must_be_recording and state.state == "unreadable":
        raise RecordingError(state.detail)


def _modified_ns(item: os.DirEntry[str]) -> int:
    try:
        return item.stat().st_mtime_ns
    except OSError:
        return 0

"""The list of runs: what the register and the recordings say of each."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from kmltui import paths
from kmltui.analysis.printable import printable
from kmltui.recording import library
from kmltui.runner import registry


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run, for people and programs."""

    name: str
    state: str
    """``live``, ``done``, ``failed``, ``stopped``, ``lost`` (the runner was killed), ``unreadable``."""
    workload: str
    sessions: list[str]
    created_unix_ns: int
    duration_ns: int
    size_bytes: int
    recording: str
    detail: str = ""

# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings of earlier versions are read as if today's had written them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recording_samples import HEADER

from kmltui.figures.repeat import repeat_command
from kmltui.live.store import Store
from kmltui.model import Header, Log, TrapSite, TrapSites
from kmltui.recording import schema


def read_header(workload: str, **fields: Any) -> Header:
    header = {"type": "header", "workload": {"name": workload, **fields}, "sessions": [{"name": "kml"}]}
    found = schema.decode_header(json.dumps({"header": header}).encode())
    assert found is not None
    return found


@pytest.mark.parametrize(("workload", "kind"), [("wisconsin", "run"), ("syscalls", "run"), ("monitor", "monitor")])
def test_the_kind_of_a_run_is_known_by_its_workload(workload: str, kind: str) -> None:
    assert read_header(workload).kind == kind


@pytest.mark.parametrize(("workload", "watched"), [("wisconsin", False), ("monitor", True)])
def test_an_old_monitor_is_shown_and_reported_as_watching(workload: str, watched: bool) -> None:
    header = read_header(workload)
    assert Store(header).watched is watched
    assert (repeat_command(header, None) == "") is watched


def test_what_workloads_declare_now_was_known_by_their_names() -> None:
    assert read_header("demo").workload.timing_phases == read_header("syscalls").workload.timing_phases == ["calls"]
    assert [read_header(name).workload.article for name in ("wisconsin", "demo", "select1")] == [True, True, False]
    assert read_header("command").workload.keeps_output
    assert not read_header("wisconsin").workload.keeps_output


def test_a_recording_of_today_is_taken_at_its_word() -> None:
    header = Header(workload=HEADER.workload, sessions=HEADER.sessions, kind="bench")
    assert schema.decode_header(schema.encode_header(header)) == header


def test_where_calls_trapped_was_a_line_of_text_for_each_place() -> None:
    line = {"type": "log", "t_ns": 5, "session": "kml", "source": "agent"}
    assert schema.from_builtins(line | {"text": "trapped: 3 7 7f00 /usr/lib/a\\040b 3c059"}) == TrapSites(
        t_ns=5, session="kml", sites=[TrapSite("/usr/lib/a b", 0x3C059, 3)]
    )
    other = schema.from_builtins(line | {"text": "trapped: what is this"})
    assert isinstance(other, Log) and other.text == "trapped: what is this"

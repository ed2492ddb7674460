# SPDX-License-Identifier: GPL-2.0-or-later
"""The example of docs/workloads.md works as it stands there."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest
from scripted_session import ScriptedProcess, ScriptedSession

from kmltui.model import Measure, Record
from kmltui.sessions.journal import Journal
from kmltui.workloads import Context, Workload, WorkloadError

DOCUMENT = Path(__file__).parents[2] / "docs" / "workloads.md"


@pytest.fixture
def example() -> Workload:
    source = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    module = types.ModuleType("documented")
    exec(compile(source[1], str(DOCUMENT), "exec"), module.__dict__)
    (workload,) = module.WORKLOADS
    assert isinstance(workload, Workload)
    return workload


async def test_it_runs_its_program_as_often_as_asked(example: Workload) -> None:
    session = ScriptedSession(ScriptedProcess([]))
    records: list[Record] = []
    ctx = Context(session=session, spec=example.spec(loops=4), journal=Journal(lambda: 0, records.append))  # type: ignore[arg-type]
    await example.run(ctx)
    assert session.argv == ["/bin/true"]
    assert [type(record) for record in records] == [Measure]


async def test_it_fails_where_its_program_does(example: Workload) -> None:
    session = ScriptedSession(ScriptedProcess([], status=1))
    ctx = Context(session=session, spec=example.spec(), journal=Journal(lambda: 0, lambda record: None))  # type: ignore[arg-type]
    with pytest.raises(WorkloadError, match="ended with status 1 in session stock"):
        await example.run(ctx)

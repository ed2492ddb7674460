# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page that plays is drawn from: the run at a number of instants."""

from __future__ import annotations

from made_up_run import header, run
from msgspec import structs
from run_samples import two_sessions

from kmltui.figures.summarise import summarise
from kmltui.model import AgentCost, Log, Sample
from kmltui.report.playable.frames import course

S = 1_000_000_000


def test_a_session_whose_newest_sample_is_old_is_not_said_to_be_busy() -> None:
    records = [record for record in run(60, cpus=1) if not (isinstance(record, Sample) and record.t_ns > 30 * S)]
    records.append(Log(t_ns=60 * S, session="stock", source="console", text="nothing has come since"))
    page = course([header(cpus=1), *records], 60 * S)
    session = page["sessions"][0]
    instants = zip(page["t"], session["cpu"]["0"], session["trap"], session["trapped"], strict=True)
    for t_ms, share, trap, trapped in instants:
        if 20_000 <= t_ms <= 30_000:
            assert share is not None and trap > 0
        if t_ms > 36_000:
            assert share is None and trap is None and trapped > 0


def test_at_its_end_the_page_has_the_counts_of_the_report_beside_it() -> None:
    """The monitor's agent makes calls by trap, too: those are not the work's."""
    records = two_sessions()
    agent = [
        structs.replace(each, agent=AgentCost(1, 10 + each.t_ns // S)) if isinstance(each, Sample) else each
        for each in records
    ]
    page, summary = course(agent, 110 * S), summarise(agent)
    for session in page["sessions"]:
        counts = summary.sessions[session["name"]].syscalls
        assert counts is not None and counts.agent == 100
        assert (session["trapped"][-1], session["directly"][-1]) == (counts.trap, counts.direct)
        by_name = {name: (each.trap, each.direct) for name, each in counts.by_name.items()}
        shown = dict(zip(page["calls"], map(tuple, session["by_call"][-1]), strict=True))
        assert {name: both for name, both in shown.items() if any(both)} == by_name

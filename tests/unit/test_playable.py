# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page that plays is drawn from: the run at a number of instants."""

from __future__ import annotations

from made_up_run import header, run

from kmltui.model import Log, Sample
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""The recordings that ship with kmltui: whole, ended in order, and with verdicts that their intervals bear out."""

import functools
import runpy
from pathlib import Path

import pytest

from kmltui import paths
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.recording import Reader
from kmltui.report import render
from kmltui.workloads import get
from kmltui.workloads.suites import Part, suite

RECORDINGS = sorted(paths.data_dir("recordings").glob("*.kmlrec"))


@functools.cache
def summary_of(path: Path) -> Summary:
    with Reader.open(path) as reader:
        assert reader.ended and not reader.damaged
        return summarise(reader.records())


def test_there_are_some() -> None:
    assert any(path.name.startswith("wisconsin") for path in RECORDINGS)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_every_session_did_its_work_in_the_ring_it_claims(path: Path) -> None:
    summary = summary_of(path)
    assert summary.run.complete
    for session in summary.sessions.values():
        if session.ring is None:  # of programs that are linked statically: only ring 0 can make a direct call
            assert ((session.direct_share or 0.0) > 0.9) == (session.arm == "kml")
        else:
            assert session.ring == (0 if session.arm == "kml" else 3)
        assert not session.failed_proofs


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_difference_is_claimed_only_where_the_interval_leaves_zero_out(path: Path) -> None:
    summary = summary_of(path)
    total = summary.comparisons.get(summary.compared or "", {}).get("instructions.total")
    if total is not None and total.interval is not None and "getppid" not in summary.verdict:
        low, high = total.interval
        assert summary.verdict.startswith("No difference") == (low <= 0 <= high)


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("form", ["text", "markdown", "json", "html"])
def test_every_report_of_them_can_be_made(path: Path, form: str) -> None:
    assert render(summary_of(path), form)


@pytest.mark.parametrize("part", suite("peers").parts, ids=lambda part: part.name)
def test_how_long_a_workload_of_the_suite_takes_is_about_what_was_measured(part: Part) -> None:
    path = next(path for path in RECORDINGS if path.stem == f"peers-{part.name.replace(' ', '')}")
    workload = get(part.workload)
    expected = workload.cost_s(workload.spec(loops=part.loops, options=part.options))
    took = summary_of(path).sessions["stock"].duration_s
    assert expected is not None and took is not None
    assert took / 3 < expected < took * 6, "what a request costs depends on its size, and on the pipeline"


def test_every_figure_of_the_readme_and_of_the_peers_is_made_from_a_recording() -> None:
    root = Path(__file__).parents[2]
    tool = runpy.run_path(str(root / "tools" / "figures.py"))
    pages = {name: (root / name).read_text(encoding="utf-8") for name in tool["PAGES"]}
    assert {name: tool["written"](text) for name, text in pages.items()} == pages
    assert all(tool["BEGIN"].format(name) in "".join(pages.values()) for name in tool["BLOCKS"])

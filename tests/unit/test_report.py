# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports say the same in every format, fit where they are shown, and let nothing through that is not text."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import HEADER, a_run, records
from run_samples import bench, two_sessions

from kmltui.figures.repeat import repeat_command
from kmltui.figures.stats import TICK_BIAS
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.model import (
    Contention,
    End,
    Environment,
    HardwareCounts,
    Header,
    Log,
    Mark,
    Measure,
    Proof,
    Record,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.printable import printable
from kmltui.report import FORMATS, markdown, render, text
from kmltui.report.blocks import Bullets, Heading, Paragraph, Table
from kmltui.report.pairs_csv import pairs_csv

EVIL = "\x1b]0;owned\x07<script>alert(1)</script>|*_`\u202e\r\n\x9b2J&\"'"


class _Page(HTMLParser):
    """Checks that tags are closed in order, and collects tags and attributes."""

    VOID = frozenset({"meta", "br", "line", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def evil_run() -> list[Record]:
    header = Header(
        run=EVIL,
        title=EVIL,
        workload=WorkloadSpec(name=EVIL, loops=3, options={EVIL: EVIL}, statements=[EVIL]),
        sessions=[SessionSpec(name="stock"), SessionSpec(name="kml", arm="kml")],
        host={EVIL: EVIL},
    )
    return [
        header,
        *two_sessions()[1:-1],
        Environment(t_ns=1, session="kml", facts={"kernel": EVIL, EVIL: EVIL, "mitigations": EVIL}),
        Proof(t_ns=1, session="kml", name=EVIL, subject=EVIL, value=EVIL, ok=False),
        Measure(t_ns=1, session="kml", name=EVIL, unit=EVIL, values={EVIL: 1.0}),
        State(t_ns=1, session="kml", state="failed", detail=EVIL),
        Mark(t_ns=1, note=EVIL, author=EVIL),
        Log(t_ns=1, session="kml", source="console", text=EVIL),
        End(t_ns=2, status="failed", reason=EVIL),
    ]


RUNS = {
    "a plain run": two_sessions(),
    "slower": two_sessions(120),
    "a bench": bench(6),
    "a bench of four arms": bench(4, arms=("stock", "stock+libc", "stock+idt", "kml")),
    "live": two_sessions()[:20],
    "nothing yet": [HEADER],
    "long": [HEADER, *a_run(400)],
    "evil": evil_run(),
}


@pytest.fixture(params=RUNS, ids=str)
def run(request: pytest.FixtureRequest) -> list[Record]:
    return RUNS[request.param]


class TestText:
    def test_it_fits_in_80_columns(self, run: list[Record]) -> None:
        report = render(summarise(run))
        assert max(map(len, report.splitlines())) <= 80
        assert not any(line != line.rstrip() for line in report.splitlines())

    def test_the_verdict_comes_first_and_both_tables_are_there(self) -> None:
        header, *rest = two_sessions()
        assert isinstance(header, Header)
        workload = msgspec.structs.replace(header.workload, article=True)
        summary = summarise([msgspec.structs.replace(header, workload=workload), *rest])
        report = render(summary)
        lines = report.splitlines()
        assert summary.verdict.startswith(lines[3])
        assert re.search(r"stock, server \+ client +150.00 +100.00 +50.00", report)
        assert re.search(r"kml, server \+ client +135.00 +90.00 +45.00", report)
        assert re.search(r"saved +10.0 % +10.0 % +10.0 %", report)
        assert re.search(r"the article's Original Linux +753.86 +611.78 +142.08", report)
        assert re.search(r"the article's Kernel Mode Linux +728.61 +605.95 +122.66", report)
        assert re.search(r"saved in the article +3.3 % +1.0 % +13.7 %", report)
        # Like beside like: its rows are the client's.
        assert report.index("kml, client") < report.index("the article's Original") < report.index("Work and time")
        assert "Opteron 850" in report and "MySQL 4.1.11" in report

    def test_the_article_stands_beside_its_own_benchmark_only(self) -> None:
        report = render(summarise(two_sessions()))
        assert "753.86" not in report and "The article" not in report

    def test_it_ends_with_the_command_that_repeats_the_run(self) -> None:
        for run, command in (
            (two_sessions(), "kmltui run --workload wisconsin --loops 100 --cpus 1 --clock wall"),
            (bench(4), "kmltui bench --workload wisconsin --loops 10 --pairs 4 --cpus 1 --clock wall"),
        ):
            assert " ".join(render(summarise(run)).replace("\\\n", " ").split()).endswith(command)

    def test_the_command_repeats_clock_and_sampling_as_far_as_they_are_not_the_default(self) -> None:
        header, *_ = two_sessions()
        assert isinstance(header, Header)

        def command(sample_period_ns: int = 500_000_000, **settings: Any) -> str:
            specs = [msgspec.structs.replace(spec, **settings) for spec in header.sessions]
            run = msgspec.structs.replace(header, sessions=specs, sample_period_ns=sample_period_ns)
            return repeat_command(run, None)

        assert "--clock" not in command(clock="instructions") and "--sample-rate" not in command()
        assert "--clock" not in command(vcpus=2) and "--clock" not in command(exact=True)
        assert "--clock" not in command(accel="kvm"), "there is no other clock"
        assert command(accel="tcg").endswith("--accel tcg --clock wall")
        assert command(clock="instructions", sample_period_ns=100_000_000).endswith("--sample-rate 10")

    def test_a_long_command_is_one_for_a_shell(self) -> None:
        header, *rest = two_sessions()
        assert isinstance(header, Header)
        options = {"engine": "InnoDB", "net_buffer_length": "16384", "tables": "it's here"}
        workload = msgspec.structs.replace(header.workload, options=options)
        summary = summarise([msgspec.structs.replace(header, workload=workload), *rest])
        shown = render(summary).rpartition("To run it again")[2].partition("\n")[2].partition("\n")[2]
        assert shlex.split(shown.replace("\\\n", " ")) == shlex.split(summary.run.command)
        assert all(len(line) <= 80 for line in shown.splitlines())

    def test_tick_sampled_figures_are_marked(self) -> None:
        report = render(summarise(two_sessions()))
        assert "user *" in report and "system *" in report and "biased" in report

    def test_the_bias_of_ticks_is_told_where_it_was_measured(self) -> None:
        measure = Measure(t_ns=1, session="kml", name=TICK_BIAS, unit="%", values={"exact": 49.8, "by ticks": 21.3})
        summary = summarise([*two_sessions(), measure])
        assert summary.sessions["kml"].measures == {}, "it is no figure of the workload's"
        assert "reads and computing: kml 21 % instead of 50 %." in " ".join(render(summary).split())

    def test_what_a_program_printed_is_shown_once_where_it_is_the_same(self) -> None:
        spec = WorkloadSpec(name="command", loops=1, options={"command": "sha256sum /bin/sh"}, keeps_output=True)
        run = [Header(workload=spec, sessions=HEADER.sessions), *two_sessions()[1:]]
        lines = [Log(t_ns=1, session=s, source="client", text="a1b2  -") for s in ("stock", "kml")]
        assert render(summarise([*run, *lines])).count("a1b2  -") == 1
        assert render(summarise([*run, *lines, lines[0]])).count("a1b2  -") == 3
        assert "a1b2" not in render(summarise([*two_sessions(), *lines])), "a benchmark's client is not quoted"

    def test_a_recording_of_a_newer_version_says_so(self) -> None:
        header = Header(
            format_version=99, kmltui_version="9.0", workload=WorkloadSpec(name="w"), sessions=HEADER.sessions
        )
        assert "made by a newer kmltui (9.0)" in " ".join(render(summarise([header])).split())

    def test_exit_statuses_are_told(self) -> None:
        proof = Proof(t_ns=1, session="kml", name="exit status", subject="true", value="0")
        assert "kml: exit status of true: 0" in render(summarise([*two_sessions(), proof]))

    def test_direct_calls_and_rings_are_told(self) -> None:
        report = render(summarise(two_sessions()))
        assert re.search(r"kml +1,000 +99,000 +99.0 % +10,000", report)
        assert "mariadbd ring 0" in report and "mariadbd ring 3" in report

    def test_a_session_that_failed_says_so(self) -> None:
        failed = [
            HEADER,
            State(t_ns=1, session="kml", state="panicked", detail="Oops: 0000\nmore"),
            End(t_ns=2, status="failed"),
        ]
        assert "kml: panicked: Oops: 0000" in render(summarise(failed))

    def test_the_last_lines_of_a_console_are_shown_as_they_are(self) -> None:
        reason = "kml: the guest panicked; its last lines:\nOops: 0000\n  RIP: ffff"
        report = render(summarise([HEADER, End(t_ns=2, status="failed", reason=reason)]))
        assert "    Oops: 0000\n      RIP: ffff" in report

    def test_warnings_are_told_and_other_lines_are_not(self) -> None:
        run = [HEADER, *a_run(50)]
        run.insert(5, Log(t_ns=3, session="kml", source="server", text="[Warning] no such thing", level="warning"))
        report = render(summarise(run))
        assert "[Warning] no such thing" in report and "line 39" not in report

    def test_a_session_without_counters_tells_how_little_it_knows(self) -> None:
        run = [
            Sample(t_ns=at, session="stock", mono_ns=at, mark=mark, io_calls={"server": 1000 * at})
            for at, mark in ((1, "start"), (9, "end"))
        ]
        report = render(summarise([HEADER, *run]))
        assert "stock: 8,000 read and write calls (a part of all" in report

    def test_a_bench_prints_intervals_and_every_pair(self) -> None:
        report = render(summarise(bench(6)))
        assert "95 % interval" in report and "Every pair" in report
        assert len(re.findall(r"(?m)^ *[1-6]  +\d", report)) == 6

    def test_where_it_comes_from_is_told_for_four_arms(self) -> None:
        report = render(summarise(bench(4, arms=("stock", "stock+libc", "stock+idt", "kml"))))
        assert "Where the difference comes from" in report and "stock+idt" in report

    def test_wide_characters_count_twice(self) -> None:
        table = Table(["", "x"], [["漢字" * 30, "1"], ["e\u0301" * 10, "22"]])
        lines = text.render([table]).splitlines()
        assert all(sum(2 if ord(c) > 0x3000 else 0 if c == "\u0301" else 1 for c in line) <= 80 for line in lines)


class TestMarkdown:
    def test_tables_have_as_many_cells_as_headers(self, run: list[Record]) -> None:
        width = 0
        for line in render(summarise(run), "markdown").splitlines():
            if line.startswith("|"):
                cells = len(re.findall(r"(?<!\\)\|", line))
                assert width in (0, cells)
                width = cells
            else:
                width = 0

    def test_markup_in_texts_is_escaped(self) -> None:
        blocks = [Heading("# <b>"), Paragraph("1. *x* [y](z)"), Bullets(["`code`"]), Paragraph("- no list")]
        assert markdown.render(blocks).split("\n\n") == [
            "## \\# \\<b\\>",
            "1\\. \\*x\\* \\[y\\](z)",
            "- \\`code\\`",
            "\\- no list\n",
        ]


class TestHtml:
    def test_it_is_one_well_formed_file_that_fetches_nothing(self, run: list[Record]) -> None:
        report = render(summarise(run), "html")
        page = _Page()
        page.feed(report)
        page.close()
        assert page.open == []
        assert not page.tags & {"script", "link", "img", "iframe", "object", "a", "form"}
        assert not {name for name in page.attributes if name.startswith("on")} and "src" not in page.attributes
        assert "http" not in report.replace("http-equiv", "")

    def test_it_has_charts_for_light_and_dark_and_paper(self) -> None:
        report = render(summarise([HEADER, *a_run(300)]), "html")
        assert report.count("<svg") == 3
        assert "prefers-color-scheme: dark" in report and "@media print" in report

    def test_a_chart_s_numbers_are_numbers(self, run: list[Record]) -> None:
        report = render(summarise(run), "html")
        assert not re.search(r'="[^"]*(nan|inf)', report)


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_a_guest_says_reaches_the_terminal_or_the_page(form: str) -> None:
    report = render(summarise(evil_run()), form)
    assert not set("\x1b\x07\x9b\r\u202e") & set(report)
    assert form != "html" or "<script" not in report
    assert "owned" in report, "it is shown, not dropped"


@settings(max_examples=40)
@given(run=st.lists(records, max_size=25), form=st.sampled_from(FORMATS))
def test_any_records_make_a_report(run: list[Record], form: str) -> None:
    assert render(summarise([HEADER, *run]), form).endswith("\n")


def watched(*counted: tuple[int, int, int]) -> Summary:
    """Of a server that counted so many queries by a second, being up since so many seconds."""
    header = Header(
        workload=WorkloadSpec(name="any"), sessions=[SessionSpec(name="local", kind="local")], kind="monitor"
    )
    begin = Sample(t_ns=0, session="local", mono_ns=0, mark="start")
    statuses = [
        Status(t_ns=second * 10**9, session="local", counters={"Queries": queries, "Uptime": uptime})
        for second, queries, uptime in counted
    ]
    return summarise([header, begin, *statuses])


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_a_restart_of_the_server_is_a_line_of_its_own(form: str) -> None:
    def said(*counted: tuple[int, int, int]) -> str:
        return " ".join(render(watched(*counted), form).split())

    assert "restarted" not in said((1, 1000, 60), (100, 2000, 159))
    assert "local: the server was restarted at 1:05;" in said((1, 1000, 60), (70, 9, 5))
    assert "restarted 2 times: at 1:05 and 1:40;" in said((1, 1000, 60), (70, 9, 5), (101, 3, 1))
    flapping = [(second, 9, 1) if second % 2 else (second, 99, 900) for second in range(2, 20)]
    assert "restarted 9 times, first at 0:02 and last at 0:18;" in said(*flapping)


def test_programs_are_told_of_the_server_s_restarts() -> None:
    summary = watched((1, 1000, 60), (70, 9, 5))
    assert json.loads(render(summary, "json"))["sessions"]["local"]["server_restarts"] == [65.0]
    assert summary.sessions["local"].server_status == {"Queries": 9}


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(ValueError, match="pdf"):
        render(summarise([HEADER]), "pdf")


class TestPrintable:
    def test_what_a_terminal_acts_upon_is_shown(self) -> None:
        assert printable("a\x1b[31mb\x00\x7f\n\t") == "a␛[31mb␀␡␊␉"
        assert printable("\x9b\u202eabc\u200b\ufeff\ud800") == "‹U+009B›‹U+202E›abc‹U+200B›‹U+FEFF›‹U+D800›"
        assert printable("naïve 漢字 – ok") == "naïve 漢字 – ok"
        assert printable("a\u00a0b\u3000c") == "a b c"
        assert printable("a\nb\x1b", keep="\n") == "a\nb␛"

    @given(st.text())
    def test_nothing_but_visible_characters_remains(self, given_text: str) -> None:
        shown = printable(given_text)
        assert shown.isprintable()
        assert printable(shown) == shown


def test_what_the_host_gave_the_guests_is_told() -> None:
    def seen(record: Record) -> Record:
        if not isinstance(record, Sample):
            return record
        s = record.t_ns
        return msgspec.structs.replace(record, contention=Contention(9 * s, s, load=2.5, khz=2_400_000))

    said = render(summarise([seen(record) for record in two_sessions()]), "text")
    assert "The host meanwhile" in said
    (row,) = (line.split() for line in said.splitlines() if line.startswith("kml  ") and "90.0 %" in line)
    assert row == ["kml", "900.00", "100.00", "90.0", "%", "2.50", "0.00", "2,400"]


def test_what_the_processor_counted_is_told_and_nothing_where_it_did_not() -> None:
    def seen(record: Record) -> Record:
        if not isinstance(record, Sample):
            return record
        return msgspec.structs.replace(record, hardware={"server": HardwareCounts(record.t_ns, 2 * record.t_ns)})

    said = render(summarise([seen(record) for record in two_sessions()]), "text")
    at = said.index("The processor's counters")
    (row,) = (line.split() for line in said[at:].splitlines()[:7] if line.startswith("kml "))
    assert row == ["kml", "100,000,000,000", "200,000,000,000", "-", "2.00"]
    assert "processor's counters" not in render(summarise(two_sessions()), "text")


def test_single_calls_stand_like_beside_like() -> None:
    header, *rest = two_sessions()
    values = {"stock": {"trap": 300.0, "inline trap": 250.0}, "kml": {"direct": 100.0, "inline direct": 240.0}}
    timed = [Measure(t_ns=50, session=name, name="getppid", unit="ns", values=found) for name, found in values.items()]
    said = render(summarise([header, *timed, *rest]), "text")
    (row,) = (line.split() for line in said.splitlines() if line.startswith("getppid, ns"))
    assert row == ["getppid,", "ns", "300", "100", "3.0", "250", "240", "1.04"]
    assert "inline" in said


class TestPairsAsCsv:
    def test_a_line_for_each_session_of_each_pair_and_none_for_the_warm_up(self) -> None:
        rows = list(csv.DictReader(io.StringIO("".join(pairs_csv(summarise(bench(3)))))))
        assert [(row["pair"], row["session"]) for row in rows] == [
            (str(pair), session) for pair in (1, 2, 3) for session in ("stock", "kml")
        ]
        assert float(rows[0]["cpu_s.total"]) == pytest.approx(15 * 1.0, rel=0.01)
        assert rows[0]["direct"] == "0" and int(rows[1]["direct"]) > 900
        assert rows[0]["instructions.total"] == "", "what was not measured is empty"

    def test_a_run_is_one_pair(self) -> None:
        rows = list(csv.DictReader(io.StringIO("".join(pairs_csv(summarise(two_sessions()))))))
        assert [row["pair"] for row in rows] == ["1", "1"] and float(rows[1]["cpu_s.total"]) == 135.0

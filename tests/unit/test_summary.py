# SPDX-License-Identifier: GPL-2.0-or-later
"""A run in figures: what a report says is what was recorded, and nothing else."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import HEADER, SECOND, a_run, records
from run_samples import bench, sample, two_sessions

from kmltui.counters.syscalls import NUMBERS
from kmltui.figures import article
from kmltui.figures.agent import without_agent
from kmltui.figures.card import card
from kmltui.figures.summarise import summarise
from kmltui.figures.summary import Summary
from kmltui.model import (
    MONITOR,
    AgentCost,
    Contention,
    End,
    Environment,
    Gap,
    GroupCpu,
    HardwareCounts,
    Header,
    KmlCounters,
    Latency,
    Measure,
    Phase,
    ProgramCalls,
    Progress,
    Proof,
    Record,
    Repeat,
    Sample,
    SessionSpec,
    Status,
    WorkloadSpec,
)
from kmltui.report import json as json_report
from kmltui.workloads.client import encode_latencies


def contract(summary: Summary) -> dict:
    return json.loads(json_report.render(summary))


class TestContract:
    """The fields that other tools rely on."""

    def test_cpu_time_is_that_between_start_and_end(self) -> None:
        report = contract(summarise(two_sessions()))
        assert report["sessions"]["stock"]["server"] == {"total": 100, "user": 75, "system": 25}
        assert report["sessions"]["stock"]["client"] == {"total": 50, "user": 25, "system": 25}
        assert report["sessions"]["stock"]["cpu_s"] == {"total": 150, "user": 100, "system": 50}
        assert report["sessions"]["kml"]["cpu_s"]["total"] == 135
        assert report["saved"] == pytest.approx({"total": 0.1, "user": 0.1, "system": 0.1})

    def test_the_run_the_work_and_the_time(self) -> None:
        report = contract(summarise(two_sessions()))
        run = report["run"]
        assert (run["workload"], run["loops"], run["duration_s"]) == ("wisconsin", 100, 112)
        assert run["started"] is None and run["complete"] is True and run["status"] == "done"
        stock = report["sessions"]["stock"]
        assert (stock["duration_s"], stock["queries"], stock["rows"]) == (100, 41_010, 9_000)
        assert stock["queries_per_s"] == pytest.approx(410.1)
        assert stock["server_status"] == {"Bytes_sent": 4, "Questions": 41_010}
        assert report["environment"]["kernel"] == "6.1" and report["environment"]["differs"] == {}

    def test_system_calls_by_name_and_way(self) -> None:
        sessions = contract(summarise(two_sessions()))["sessions"]
        assert sessions["stock"]["syscalls"]["by_name"] == {"recvfrom": {"trap": 100_000, "direct": 0}}
        assert (sessions["stock"]["syscalls"]["trap"], sessions["stock"]["syscalls"]["direct"]) == (100_000, 0)
        assert sessions["kml"]["syscalls"]["trap"] == 1_000 and sessions["kml"]["syscalls"]["direct"] == 99_000
        assert sessions["kml"]["elevations"] == 10_000 and sessions["kml"]["demotions"] == 10_000
        assert sessions["stock"]["elevations"] == 0
        assert (sessions["stock"]["ring"], sessions["kml"]["ring"]) == (3, 0)

    def test_time_of_each_cpu(self) -> None:
        (cpu,) = contract(summarise(two_sessions()))["sessions"]["stock"]["per_cpu"]
        assert cpu == {"cpu": 0, "user_s": 100, "system_s": 30, "idle_s": 10, "other_s": 0}

    def test_phases(self) -> None:
        insert, select = contract(summarise(two_sessions()))["sessions"]["stock"]["phases"]
        assert (insert["name"], insert["duration_s"], insert["queries"]) == ("insert", 46, 31_010)
        assert (select["name"], select["duration_s"], select["queries"]) == ("select", 53, 10_000)
        assert insert["trap"] == 38_000 and select["trap"] == 62_000
        assert insert["cpu_s"]["total"] + select["cpu_s"]["total"] == 150

    def test_what_a_session_does_not_provide_is_null(self) -> None:
        bare = [
            Sample(t_ns=at * SECOND, session=name, mono_ns=at * SECOND, mark=mark)
            for name in ("stock", "kml")
            for at, mark in ((1, "start"), (2, "end"))
        ]
        report = contract(summarise([HEADER, *bare, End(t_ns=9, status="done")]))
        stock = report["sessions"]["stock"]
        absent = [
            "cpu_s",
            "server",
            "client",
            "per_cpu",
            "syscalls",
            "elevations",
            "demotions",
            "queries",
            "rows",
            "ring",
        ]
        assert {key: stock[key] for key in absent} == dict.fromkeys(absent)
        assert report["saved"] is None

    def test_a_program_that_never_ran_is_absent_and_not_0(self) -> None:
        groups = {"server": GroupCpu(0, 0, 0), "client": GroupCpu(5_000_000, 1, 1)}
        run = [
            Sample(t_ns=at, session="stock", mono_ns=at, mark=mark, groups=groups if mark == "end" else {})
            for at, mark in ((1, "start"), (2, "end"))
        ]
        stock = contract(summarise([HEADER, *run, End(t_ns=9, status="done")]))["sessions"]["stock"]
        assert stock["server"] is None and stock["cpu_s"] == stock["client"]

    @pytest.mark.parametrize(
        ("options", "is_article", "client"),
        [({"client": "article"}, True, "article"), ({}, True, "buffered"), ({}, False, None)],
    )
    def test_how_the_client_reads(self, options: dict[str, str], is_article: bool, client: str | None) -> None:
        header, *rest = two_sessions()
        assert isinstance(header, Header)
        workload = msgspec.structs.replace(header.workload, options=options, article=is_article)
        run = [msgspec.structs.replace(header, workload=workload), *rest]
        assert contract(summarise(run))["client"] == client


class TestContention:
    def test_the_share_that_the_vcpus_ran_of_what_they_were_ready_for(self) -> None:
        def seen(record: Record) -> Record:
            if not isinstance(record, Sample) or record.session != "kml":
                return record
            s = record.t_ns // SECOND
            return msgspec.structs.replace(record, contention=Contention(9 * s, s, load=s / 10, steal_ticks=2 * s))

        sessions = contract(summarise([seen(record) for record in two_sessions()]))["sessions"]
        assert sessions["stock"]["contention"] is None
        found = sessions["kml"]["contention"]
        assert found["run_share"] == pytest.approx(0.9) and found["mhz"] is None
        assert found["steal_s"] == pytest.approx(2.0) and found["load"] == pytest.approx(10.3)


class TestTheProcessorsCounters:
    def run(self, kml_cycles: float = 0.9) -> list[Record]:
        """Two cycles and one instruction a nanosecond in stock; TLB misses of the server alone."""

        def seen(record: Record) -> Record:
            if not isinstance(record, Sample) or not record.mark:
                return record
            n = record.t_ns
            cycles = round(n * (kml_cycles if record.session == "kml" else 1))
            counts = {"server": HardwareCounts(cycles, n // 2, n // 1000), "client": HardwareCounts(cycles, n // 2)}
            return msgspec.structs.replace(record, hardware=counts)

        return [seen(record) for record in two_sessions()]

    def test_of_server_and_client_together_between_start_and_end(self) -> None:
        found = contract(summarise(self.run()))["sessions"]
        assert found["stock"]["hardware"] == {
            "cycles": 2 * 100 * SECOND,
            "instructions": 100 * SECOND,
            "tlb_misses": None,
        }
        assert found["kml"]["hardware"]["cycles"] == 180 * SECOND

    def test_a_session_without_them_has_none_and_nothing_is_compared(self) -> None:
        summary = contract(summarise(two_sessions()))
        assert summary["sessions"]["kml"]["hardware"] is None
        assert "hardware.cycles" not in summary["comparisons"].get("kml", {})

    def test_they_are_compared_as_any_other_figure(self) -> None:
        comparisons = contract(summarise(self.run()))["comparisons"]["kml"]
        assert comparisons["hardware.cycles"]["saved"] == pytest.approx(0.1)
        assert comparisons["hardware.instructions"]["saved"] == pytest.approx(0)
        assert "hardware.tlb_misses" not in comparisons


class TestAgent:
    def test_its_reads_of_the_counters_are_reads(self) -> None:
        trap = {NUMBERS["pread64"]: 500, NUMBERS["read"]: 100}
        left = without_agent(trap, made=10 * 12, samples=10, on_demand=10, counters=4)
        assert left[NUMBERS["read"]] == 100 - 10 * (2 + 4)

    @given(
        trap=st.dictionaries(st.integers(0, 460), st.integers(0, 1000), max_size=8),
        made=st.integers(0, 5000),
        samples=st.integers(0, 300),
        on_demand=st.integers(0, 10),
    )
    def test_its_calls_are_taken_out_to_the_last_one(
        self, trap: dict[int, int], made: int, samples: int, on_demand: int
    ):
        left = without_agent(trap, made, samples, on_demand)
        assert sum(left.values()) == max(0, sum(trap.values()) - made)
        assert all(0 <= left[nr] <= trap[nr] for nr in trap)

    def test_they_are_taken_from_what_an_agent_does(self) -> None:
        trap = {NUMBERS["pread64"]: 500, NUMBERS["write"]: 100, NUMBERS["ppoll"]: 50, NUMBERS["recvfrom"]: 9999}
        trap[NUMBERS["clock_gettime"]] = 40
        left = without_agent(trap, made=40 * 8, samples=40, on_demand=0)
        assert left[NUMBERS["recvfrom"]] == 9999
        assert left[NUMBERS["pread64"]] == 300 and left[NUMBERS["write"]] == 60 and left[NUMBERS["clock_gettime"]] == 0

    def test_totals_and_names_agree(self) -> None:
        run = [
            sample("stock", 1, "start", agent=AgentCost(1, 10)),
            sample("stock", 2, calls=5000, agent=AgentCost(2, 30)),
            sample("stock", 3, "end", calls=9000, agent=AgentCost(9_000_001, 60)),
        ]
        stock = contract(summarise([HEADER, *run, End(t_ns=9, status="done")]))["sessions"]["stock"]
        assert stock["syscalls"]["trap"] == 9000 - 50 and stock["syscalls"]["agent"] == 50
        assert sum(call["trap"] for call in stock["syscalls"]["by_name"].values()) == stock["syscalls"]["trap"]
        assert stock["agent_cpu_s"] == 0.009

    def test_outside_of_a_guest_it_is_not_counted_and_so_not_taken_out(self) -> None:
        header = Header(
            workload=WorkloadSpec(name=MONITOR), sessions=[SessionSpec(name="stock", kind="local")], kind="monitor"
        )
        run = [
            sample("stock", 1, "start", agent=AgentCost(1, 10)),
            sample("stock", 3, "end", calls=900, agent=AgentCost(9, 60)),
        ]
        summary = summarise([header, *run])
        assert summary.sessions["stock"].syscalls is not None and summary.sessions["stock"].syscalls.trap == 900


class TestVerdict:
    def test_a_single_run_says_that_it_has_no_interval(self) -> None:
        verdict = summarise(two_sessions(90)).verdict
        assert verdict.startswith("KML used 10.0 % less CPU time than stock Linux for the same work (150.00 to 135.00")
        assert "one run each" in verdict and "TCG" not in verdict

    def test_slower_is_reported_as_slower(self) -> None:
        summary = summarise(two_sessions(120))
        assert "KML used 20.0 % more CPU time" in summary.verdict
        assert summary.saved is not None and summary.saved.total == pytest.approx(-0.2)

    def test_no_change_is_not_called_a_saving(self) -> None:
        assert "as much CPU time" in summarise(two_sessions(100)).verdict

    def test_emulation_is_part_of_the_sentence(self) -> None:
        run = two_sessions()
        run[1] = Environment(t_ns=1, session="stock", facts={"accelerator": "TCG (software emulation)"})
        assert "software emulation (TCG)" in summarise(run).verdict

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda run: run[:-1], "no end"),
            (
                lambda run: [*run[:-1], End(t_ns=1, status="failed", reason="the guest panicked\nstack")],
                "the guest panicked",
            ),
            (lambda run: [*run[:-1], End(t_ns=1, status="stopped")], "stopped before its end"),
            (lambda run: [r for r in run if getattr(r, "mark", "") != "end"], "Not every session completed"),
            (
                lambda run: [*run, Proof(t_ns=9, session="kml", name="checksum", subject="statement 1", value="other")],
                "different results (statement 1)",
            ),
            (
                lambda run: [*run, Proof(t_ns=9, session="kml", name="rows", subject="s", value="5 of 6", ok=False)],
                "check inside a session failed",
            ),
        ],
    )
    def test_what_forbids_a_conclusion_comes_first(self, change, words: str) -> None:
        verdict = summarise(change(two_sessions())).verdict
        assert words in verdict and "less CPU time" not in verdict and "\n" not in verdict

    def test_one_session_is_compared_with_nothing(self) -> None:
        header = Header(workload=HEADER.workload, sessions=[SessionSpec(name="stock")])
        run = [r for r in two_sessions()[1:] if getattr(r, "session", "stock") == "stock"]
        summary = summarise([header, *run])
        assert "150.00 CPU seconds" in summary.verdict and "nothing beside it" in summary.verdict
        assert summary.saved is None and summary.compared is None

    def test_a_server_is_named_only_where_there_is_one(self) -> None:
        assert "CPU seconds, server and client together" in summarise(two_sessions()).verdict
        alone = [
            msgspec.structs.replace(r, groups={"client": r.groups["server"]}) if isinstance(r, Sample) else r
            for r in two_sessions()
        ]
        verdict = summarise(alone).verdict
        assert "CPU seconds" in verdict and "server" not in verdict

    def test_bounded_by_time_it_is_per_query(self) -> None:
        header = Header(workload=WorkloadSpec(name="oltp", duration_s=60), sessions=HEADER.sessions)
        run = [
            Progress(
                t_ns=r.t_ns, session=r.session, phase=r.phase, queries=r.queries * (2 if r.session == "kml" else 1)
            )
            if isinstance(r, Progress)
            else r
            for r in two_sessions(120)[1:]
        ]
        summary = summarise([header, *run])
        assert summary.per_query and summary.saved is not None
        assert summary.saved.total == pytest.approx(1 - 120 / 100 / 2)
        assert "KML used 40.0 % less CPU time a query than stock Linux" in summary.verdict

    def test_measures_of_single_calls(self) -> None:
        run = [record for record in two_sessions() if not isinstance(record, Progress | Status)]
        run[1:1] = [
            Measure(t_ns=1, session="stock", name="getppid", unit="ns", values={"trap": 400.0}),
            Measure(t_ns=1, session="kml", name="getppid", unit="ns", values={"trap": 410.0, "direct": 100.0}),
            Measure(t_ns=1, session="stock", name="stat", unit="ns", values={"trap": 90.0}),
            Measure(t_ns=1, session="kml", name="stat", unit="ns", values={"direct": 100.0}),
        ]
        verdict = summarise(run).verdict
        assert "getppid took 100 ns by direct call and 400 ns by trap, 4.0 times as fast" in verdict
        assert "between 0.90 and 4.00 times, 1 of them slower" in verdict

    def test_work_comes_before_single_calls(self) -> None:
        run = two_sessions()
        run[1:1] = [
            Measure(t_ns=1, session="stock", name="getppid", unit="ns", values={"trap": 400.0}),
            Measure(t_ns=1, session="kml", name="getppid", unit="ns", values={"direct": 100.0}),
        ]
        assert "less CPU time" in summarise(run).verdict

    def test_a_guest_whose_clock_is_wrong_proves_nothing(self) -> None:
        run = [
            msgspec.structs.replace(r, mono_ns=r.mono_ns * 4) if isinstance(r, Sample) and r.session == "kml" else r
            for r in two_sessions()
        ]
        summary = summarise(run)
        assert summary.sessions["kml"].clock_wrong and not summary.sessions["stock"].clock_wrong
        assert "clock of kml ran 4.00 times as fast" in summary.verdict

    def test_a_clock_that_counts_instructions_is_not_wrong_for_being_slow(self) -> None:
        run = [
            msgspec.structs.replace(r, mono_ns=r.mono_ns // 4) if isinstance(r, Sample) else r for r in two_sessions()
        ]
        assert summarise(run).sessions["stock"].clock_wrong
        header, *rest = run
        assert isinstance(header, Header)
        specs = [msgspec.structs.replace(spec, clock="instructions") for spec in header.sessions]
        by_instructions = summarise([msgspec.structs.replace(header, sessions=specs), *rest])
        assert by_instructions.clock == "instructions" and not by_instructions.sessions["stock"].clock_wrong
        assert contract(by_instructions)["sessions"]["kml"]["clock"] == "instructions"

    def test_a_session_that_came_up_under_kvm_has_the_clock_of_the_wall(self) -> None:
        header, *rest = two_sessions()
        assert isinstance(header, Header)
        specs = [msgspec.structs.replace(spec, clock="instructions") for spec in header.sessions]
        up = [Environment(t_ns=1, session=name, facts={"clock": "wall"}) for name in ("stock", "kml")]
        run = [msgspec.structs.replace(header, sessions=specs), *rest, *up]
        assert summarise(run).clock == "wall"
        assert summarise([run[0], *rest, up[0]]).clock is None, "no second that both of them mean"

    def test_exact_counts_decide_by_themselves(self) -> None:
        run = [
            Sample(t_ns=at, session=name, mono_ns=at, mark=mark, instructions={"0": (1000 * at, kernel * at)})
            for name, kernel in (("stock", 500), ("kml", 200))
            for at, mark in ((1, "start"), (3, "end"))
        ]
        summary = summarise([HEADER, *run, End(t_ns=9, status="done")])
        assert summary.exact
        assert summary.sessions["kml"].duration_s is not None
        assert not {"duration_s", "queries_per_s"} & summary.comparisons["kml"].keys(), "idle time is the host's"
        assert "executed 20.00 % fewer instructions" in summary.verdict and "kernel 60.0 % fewer" in summary.verdict

    def test_any_program_s_cpu_time_is_compared(self) -> None:
        run = [record for record in two_sessions(90) if not isinstance(record, Progress | Status)]
        for session in ("stock", "kml"):
            run.insert(1, Measure(t_ns=1, session=session, name="wall time", unit="s", values={"each": 4.0}))
        summary = summarise(run)
        assert not summary.per_query and "KML used 10.0 % less CPU time" in summary.verdict

    def test_what_the_client_itself_delimits_is_more_exact_than_samples(self) -> None:
        run: list[Record] = []
        for name, kernel in (("stock", 500), ("kml", 400)):
            run.append(Sample(t_ns=1, session=name, mono_ns=1, mark="start", instructions={"0": (7, 7)}))
            for phase in ("insert", "select", "select"):
                counts = {"0": (1000, kernel)}
                run.append(Phase(t_ns=2, session=name, name=phase, event="end", instructions=counts))
            run.append(Sample(t_ns=9, session=name, mono_ns=9, mark="end", instructions={"0": (99_999, 99_999)}))
        summary = summarise([HEADER, *run, End(t_ns=9, status="done")])
        counted = summary.sessions["kml"].instructions
        assert counted is not None and (counted.total, counted.user, counted.system) == (4200, 3000, 1200)
        assert summary.exact and summary.comparisons["kml"]["instructions.system"].saved == pytest.approx(0.2)


def _more(group: GroupCpu, seconds: float) -> GroupCpu:
    return GroupCpu(group.usage_us + round(seconds * 1e6), group.user_us, group.system_us)


class TestBench:
    def test_means_are_over_the_pairs_without_the_warm_up(self) -> None:
        report = contract(summarise(bench(5)))
        assert report["sessions"]["stock"]["cpu_s"]["total"] == pytest.approx(15, rel=1e-3)
        assert report["run"]["pairs"] == 5 and [pair["pair"] for pair in report["pairs"]] == [1, 2, 3, 4, 5]
        assert report["pairs"][0]["sessions"]["kml"]["queries"] == 500
        assert report["saved"]["total"] == pytest.approx(0.03, abs=1e-4)
        low, high = report["intervals"]["total"]
        assert low <= report["saved"]["total"] <= high
        assert report["exact"] is False and report["intervals"].keys() == report["saved"].keys()

    def test_a_difference_beyond_the_noise_is_shown_with_its_interval(self) -> None:
        verdict = summarise(bench(10)).verdict
        assert (
            verdict.startswith("KML used 3.0 % less CPU time") and "95 % interval" in verdict and "10 pairs" in verdict
        )

    def test_a_loss_has_its_interval_the_right_way_round(self) -> None:
        verdict = summarise(bench(10, kml=1.05, noise=0.002)).verdict
        assert "5.0 % more CPU time" in verdict
        low, high = verdict.split("95 % interval ")[1].split(" %")[0].split(" to ")
        assert 0 < float(low) <= float(high)

    def test_no_difference_is_called_so(self) -> None:
        run = bench(6, kml=1.0, noise=0.0)
        jitter = iter([0.3, -0.2, 0.25, -0.3, 0.1, -0.15, 0.2])
        changed = [
            msgspec.structs.replace(r, groups={**r.groups, "server": _more(r.groups["server"], next(jitter))})
            if isinstance(r, Sample) and r.mark == "end" and r.session == "kml"
            else r
            for r in run
        ]
        summary = summarise(changed)
        assert summary.verdict.startswith("No difference in CPU time is shown") and "pairs" in summary.verdict
        assert summary.comparisons["kml"]["cpu_s.total"].shown is False

    def test_every_arm_is_compared_with_stock(self) -> None:
        summary = summarise(bench(4, arms=("stock", "stock+libc", "stock+idt", "kml")))
        assert list(summary.comparisons) == ["stock+libc", "stock+idt", "kml"]
        assert (summary.baseline, summary.compared) == ("stock", "kml")

    def test_a_pair_that_was_cut_off_does_not_count(self) -> None:
        run = bench(4)
        last = max(i for i, r in enumerate(run) if isinstance(r, Sample) and r.mark == "end")
        summary = summarise(run[:last] + run[last + 1 :])
        assert summary.comparisons["kml"]["cpu_s.total"].pairs_needed is not None
        assert len(summary.pairs or []) == 4 and summary.sessions["kml"].cpu_s is not None


class TestRobustness:
    def test_latencies_are_merged_and_not_averaged(self) -> None:
        run: list[Record] = [sample("stock", 1, "start")]
        run += [
            Latency(t_ns=SECOND + i, session="stock", statement=1, hdr=encode_latencies([(100, 99)])) for i in range(2)
        ]
        run += [Latency(t_ns=SECOND + 5, session="stock", statement=2, hdr=encode_latencies([(5000, 2)]))]
        run += [
            Latency(t_ns=SECOND + 6, session="stock", statement=2, hdr=b"not a histogram"),
            sample("stock", 9, "end"),
        ]
        stock = summarise([HEADER, *run]).sessions["stock"]
        assert stock.latency is not None and stock.latency.count == 200
        assert stock.latency.p50_us == pytest.approx(100, rel=0.01) and stock.latency.max_us > 4000
        assert [s.title for s in stock.statements or []] == ["1 row", "statement 2"]

    def test_a_session_that_boots_again_in_the_middle_has_no_interval(self) -> None:
        run = [
            sample("stock", 1, "start", cpu=5),
            sample("stock", 2, cpu=6),
            sample("stock", 3, cpu=0.1, boot_ns=9 * SECOND),
            sample("stock", 4, "end", cpu=0.5, boot_ns=9 * SECOND),
        ]
        assert summarise([HEADER, *run]).sessions["stock"].cpu_s is None

    def test_gaps_are_told(self) -> None:
        summary = summarise([HEADER, *a_run(50), Gap(t_ns=7 * SECOND, lost_bytes=100, reason="damaged bytes")])
        assert summary.run.gaps == [(7.0, 100, "damaged bytes")]

    def test_without_a_header_there_is_no_run(self) -> None:
        with pytest.raises(ValueError, match="header"):
            summarise(a_run(3))

    @settings(max_examples=60)
    @given(run=st.lists(records, max_size=40))
    def test_any_records_make_a_summary(self, run: list[Record]) -> None:
        summary = summarise([HEADER, *run])
        assert summary.verdict and contract(summary)["sessions"].keys() == {"stock", "kml"}


def test_the_article_s_own_savings() -> None:
    assert [round(100 * value, 1) for value in article.SAVED] == [3.3, 1.0, 13.7]


class TestWhatIsShown:
    def test_the_run_is_judged_by_one_figure_and_the_others_are_corrected_for_their_number(self) -> None:
        records = []
        for record in bench(10):
            if isinstance(record, Sample) and record.session == "kml" and record.mark == "end":
                uneven = 1 + len(records) % 3  # ms, in the same proportion in both groups
                groups = {
                    name: GroupCpu(cpu.usage_us + uneven * 1000 * weight, cpu.user_us, cpu.system_us)
                    for (name, cpu), weight in zip(record.groups.items(), (2, 1), strict=True)
                }
                records.append(msgspec.structs.replace(record, groups=groups))
            else:
                records.append(record)
        found = summarise(records).comparisons["kml"]
        assert [key for key, part in found.items() if part.primary] == ["cpu_s.total"]
        assert all(part.pairs_needed is None for part in found.values() if not part.primary)
        server, total = found["server.total"], found["cpu_s.total"]
        assert server.p is not None and total.p is not None
        # The same ratios, so the same p-value before the correction.
        assert server.saved == pytest.approx(total.saved) and server.p > 2 * total.p > 0

    def test_a_control_is_not_called_a_difference(self) -> None:
        records = bench(6, kml=1.0, noise=0.01)
        summary = summarise(as_control(records))
        assert summary.verdict.startswith("No difference in CPU time is shown between stock2 and stock")
        assert "same arm" in summary.verdict
        equal = summarise(as_control(bench(6, kml=1.0, noise=1e-7))).verdict
        assert "saved 0.0 %" in equal and "-0.0" not in equal
        single = summarise(as_control(two_sessions(93)))
        assert "what chance does" in single.verdict and "KML" not in single.verdict

    def test_two_kernels_under_one_arm_are_no_control(self) -> None:
        facts = {"stock": "6.1", "stock2": "7.3"}
        up = [Environment(t_ns=1, session=name, facts={"kernel": kernel}) for name, kernel in facts.items()]
        header, *rest = as_control(two_sessions(93))
        verdict = summarise([header, *up, *(r for r in rest if not isinstance(r, Environment))]).verdict
        assert verdict.startswith("stock2 used") and "what chance does" not in verdict

    def test_nothing_is_shown_within_the_error_of_the_ticks(self) -> None:
        # 0.08 s of system time a run: some twenty ticks, which are uncertain by a third.
        run = summarise(bench(10, kml=0.97, noise=0.0))
        system = run.comparisons["kml"]["server.system"]
        assert system.interval is not None and 0.0 not in (system.interval[0], system.interval[1])
        assert system.within_tick_error and system.shown is False

    def test_two_pairs_say_that_they_are_too_few(self) -> None:
        assert "2 pairs of runs, too few for an interval" in summarise(bench(2)).verdict
        assert "one run each" not in summarise(bench(2)).verdict


class TestTimeThatMeansNothing:
    def test_under_the_wall_clock_of_an_emulator_there_is_no_verdict_on_time(self) -> None:
        run = two_sessions(90)
        run[1] = Environment(t_ns=1, session="stock", facts={"accelerator": "TCG (software emulation)"})
        verdict = summarise(run).verdict
        assert verdict.startswith("No verdict on time for KML and stock Linux")
        assert "less CPU time" not in verdict and "made no trap" in verdict

    def test_by_the_instruction_clock_there_is(self) -> None:
        run = emulated_by_instructions(two_sessions(90))
        verdict = summarise(run).verdict
        assert "KML used 10.0 % less CPU time" in verdict and "1 s = 10⁹ instructions" in verdict
        assert "no more than the 0.3 points" in summarise(emulated_by_instructions(two_sessions(99.8))).verdict

    def test_a_busy_host_is_named_instead_of_a_verdict(self) -> None:
        run: list[Record] = [
            msgspec.structs.replace(
                record, contention=Contention(run_ns=record.mono_ns * 9 // 10, wait_ns=record.mono_ns // 10, load=3.5)
            )
            if isinstance(record, Sample)
            else record
            for record in two_sessions(90)
        ]
        verdict = summarise(run).verdict
        assert "the host was busy (load 3.5)" in verdict and "kml 10 %" in verdict and "less CPU" not in verdict
        assert "less CPU time" in summarise(emulated_by_instructions(run)).verdict, (
            "the instruction clock does not wait"
        )


class TestRingThree:
    def trapped(self, direct: int) -> list[Record]:
        """The KML session with so many of its 100,000 calls direct."""
        nr = NUMBERS["recvfrom"]
        return [
            msgspec.structs.replace(
                r, kml=KmlCounters(trap_nr={nr: 100_000 - direct}, direct_nr={nr: direct} if direct else {})
            )
            if isinstance(r, Sample) and r.session == "kml" and r.mark == "end"
            else msgspec.structs.replace(r, kml=KmlCounters(trap_nr={nr: 0}))
            if isinstance(r, Sample) and r.session == "kml" and r.mark == "start"
            else r
            for r in two_sessions(90)
        ]

    def test_it_is_the_first_thing_said_and_kml_is_not_judged(self) -> None:
        summary = summarise(self.trapped(0))
        assert summary.verdict.startswith("kml ran in ring 3: none of its 100,000 system calls was direct.")
        assert "less CPU time" not in summary.verdict and summary.sessions["kml"].direct_share == 0
        assert summarise(self.trapped(40_000)).verdict.startswith("kml ran mostly in ring 3: only 40.0 % of")

    def by_program(self, **programs: ProgramCalls) -> list[Record]:
        """As above with 90,000 direct calls, and the calls of both ends by program."""
        return [
            msgspec.structs.replace(r, kml=msgspec.structs.replace(r.kml, programs=programs))
            if isinstance(r, Sample) and r.session == "kml" and r.mark == "end" and r.kml
            else r
            for r in self.trapped(90_000)
        ]

    def test_each_program_has_its_share(self) -> None:
        summary = summarise(self.by_program(server=ProgramCalls(60_000, 0), client=ProgramCalls(30_000, 10_000)))
        programs = summary.sessions["kml"].programs
        assert programs is not None and list(programs) == ["server", "client"]
        assert [program.direct_share for program in programs.values()] == [1, 0.75]
        assert summary.sessions["stock"].programs is None
        line = next(line for line in card(summary) if line.kind == "calls")
        assert line.more.startswith("server 100.0 %, client 75.0 %; 10,000 trapped")

    def test_a_program_left_in_ring_3_is_the_first_thing_said(self) -> None:
        run = self.by_program(server=ProgramCalls(90_000, 0), client=ProgramCalls(0, 10_000))
        verdict = summarise(run).verdict
        assert verdict.startswith("client ran mostly in ring 3 in kml: only 0.0 % of its system calls were direct.")
        assert "less CPU time" not in verdict

    def test_what_starts_a_command_is_not_the_command(self) -> None:
        """Of 59 calls to run ``true`` 43 are traps, 42 of them those of the guest's daemon."""
        run = self.by_program(true=ProgramCalls(16, 1))
        few = [
            msgspec.structs.replace(r, kml=msgspec.structs.replace(r.kml, trap_nr={0: 43}, direct_nr={0: 16}))
            if isinstance(r, Sample) and r.session == "kml" and r.mark == "end" and r.kml
            else r
            for r in run
        ]
        assert "ring 3" not in summarise(few).verdict

    def test_a_program_of_few_calls_does_not_decide(self) -> None:
        run = self.by_program(server=ProgramCalls(90_000, 9_000), shell=ProgramCalls(10, 990))
        assert "KML used" in summarise(run).verdict

    def test_most_direct_is_kml(self) -> None:
        summary = summarise(self.trapped(60_000))
        assert "KML used" in summary.verdict and summary.sessions["kml"].direct_share == pytest.approx(0.6)


def as_control(records: list[Record]) -> list[Record]:
    """The same run with two sessions of one arm."""
    renamed = [
        msgspec.structs.replace(record, session="stock2") if getattr(record, "session", "") == "kml" else record
        for record in records
    ]
    header = records[0]
    assert isinstance(header, Header)
    sessions = [SessionSpec(name="stock", arm="stock"), SessionSpec(name="stock2", arm="stock")]
    return [msgspec.structs.replace(header, sessions=sessions), *renamed[1:]]


def emulated_by_instructions(records: list[Record]) -> list[Record]:
    facts = {"accelerator": "TCG (software emulation)", "clock": "instructions"}
    up = [Environment(t_ns=1, session=name, facts=facts) for name in ("stock", "kml")]
    rest = [record for record in records[1:] if not isinstance(record, Environment)]
    return [records[0], *up, *rest]


class TestMeasuresOfABench:
    def test_they_are_means_over_the_pairs_with_an_interval(self) -> None:
        records = []
        for record in bench(3):
            records.append(record)
            if isinstance(record, Sample) and record.mark == "start":
                pair = next(r.pair for r in reversed(records) if isinstance(r, Repeat))
                trap, direct = 400.0 + 10 * pair, 100.0 + pair
                values = {"trap": trap} if record.session == "stock" else {"trap": trap + 20, "direct": direct}
                records.append(
                    Measure(t_ns=record.t_ns, session=record.session, name="getppid", unit="ns", values=values)
                )
        summary = summarise(records)
        assert summary.sessions["stock"].measures["getppid"] == {"unit": "ns", "trap": 420.0}
        assert summary.sessions["kml"].measures["getppid"]["direct"] == 102.0
        (call,) = summary.timed_calls
        assert (call.trap, call.direct) == (420.0, 102.0) and call.ratio == pytest.approx(420 / 102, rel=1e-3)
        assert call.interval is not None and 3.9 < call.interval[0] < call.ratio < call.interval[1] < 4.4

    def test_a_nanosecond_of_the_instruction_clock_is_called_an_instruction(self) -> None:
        run = emulated_by_instructions(two_sessions())
        run[1:1] = [
            Measure(t_ns=1, session="stock", name="getppid", unit="ns", values={"trap": 400.0}),
            Measure(t_ns=1, session="kml", name="getppid", unit="ns", values={"direct": 100.0}),
        ]
        summary = summarise(run)
        assert summary.timed_calls[0].unit == "instructions"
        assert summary.sessions["kml"].measures["getppid"]["unit"] == "instructions"


def test_in_exact_mode_what_is_saved_are_the_counted_instructions() -> None:
    run = [
        Sample(
            t_ns=at,
            session=name,
            mono_ns=at,
            mark=mark,
            groups={"client": GroupCpu(1000 * at, 900 * at, 100 * at)},
            instructions={"0": (1000 * at, kernel * at)},
        )
        for name, kernel in (("stock", 500), ("kml", 200))
        for at, mark in ((1, "start"), (3, "end"))
    ]
    saved = contract(summarise([HEADER, *run, End(t_ns=9, status="done")]))["saved"]
    assert saved == {"total": pytest.approx(0.2), "user": 0.0, "system": pytest.approx(0.6)}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Workloads: what they declare, and how their clients' output becomes records."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hdrh.histogram import HdrHistogram
from scripted_session import ScriptedProcess, ScriptedSession, message, phase

from kmltui import workloads
from kmltui.model import Arm, Latency, Log, Phase, Progress, Proof, Record
from kmltui.sessions.journal import Journal
from kmltui.workloads import UsageError, WorkloadError, differing_results
from kmltui.workloads.client import bucket_value_us, encode_latencies, parse
from kmltui.workloads.declaration import Context, Option, Workload
from kmltui.workloads.wisconsin import fraction_done


async def run_wisconsin(
    lines: Sequence[str | tuple[str, str]],
    loops: int = 1,
    arm: Arm = "stock",
    status: int = 0,
    client: str = "buffered",
) -> tuple[list[Record], ScriptedSession]:
    workload = workloads.get("wisconsin")
    session = ScriptedSession(ScriptedProcess(lines, status), arm)
    records: list[Record] = []
    spec = workload.spec(loops=loops, options={"client": client})
    ctx = Context(session=session, spec=spec, journal=Journal(lambda: 42, records.append))  # type: ignore[arg-type]
    await workload.prepare(ctx)
    await workload.run(ctx)
    return records, session


async def check_wisconsin(lines: Sequence[str | tuple[str, str]]) -> list[Record]:
    workload = workloads.get("wisconsin")
    records: list[Record] = []
    session = ScriptedSession(ScriptedProcess(lines))
    ctx = Context(session=session, spec=workload.spec(), journal=Journal(lambda: 42, records.append))  # type: ignore[arg-type]
    await workload.check(ctx)
    return records


DONE = message('{"type":"done","statements":24}')


class TestDeclarations:
    def test_every_workload_can_be_found_by_its_name_and_says_what_it_is(self) -> None:
        assert "wisconsin" in workloads.names()
        for name in workloads.names():
            workload = workloads.get(name)
            assert workload.name == name
            assert workload.title and workload.description.endswith(".")
            assert all(option.help for option in workload.options)

    def test_an_unknown_workload_is_refused_with_those_that_exist(self) -> None:
        with pytest.raises(UsageError, match=r"no workload 'wisconson'.*wisconsin"):
            workloads.get("wisconson")

    def test_defaults_are_written_out_in_the_specification(self) -> None:
        spec = workloads.get("wisconsin").spec()
        assert spec.loops == 100 and spec.duration_s is None
        assert spec.options == {
            "engine": "MyISAM",
            "net_buffer_length": "16384",
            "client": "article",
            "tables": "fresh",
        }
        assert len(spec.statements) == 24

    def test_a_duration_replaces_the_loops(self) -> None:
        spec = workloads.get("wisconsin").spec(duration_s=20)
        assert spec.loops is None and spec.duration_s == 20

    @pytest.mark.parametrize("loops", [0, -1, 10**12])
    def test_loops_out_of_range_are_refused(self, loops: int) -> None:
        with pytest.raises(UsageError, match="--loops is between 1 and"):
            workloads.get("wisconsin").spec(loops=loops)

    @pytest.mark.parametrize("duration", [0.0, -3.0, float("nan"), float("inf")])
    def test_durations_out_of_range_are_refused(self, duration: float) -> None:
        with pytest.raises(UsageError, match="--duration is more than 0"):
            workloads.get("wisconsin").spec(duration_s=duration)

    def test_loops_and_a_duration_together_are_refused(self) -> None:
        with pytest.raises(UsageError, match="not both"):
            workloads.get("wisconsin").spec(loops=1, duration_s=1)

    def test_options_are_checked_and_brought_to_one_spelling(self) -> None:
        wisconsin = workloads.get("wisconsin")
        assert wisconsin.spec(options={"engine": "innodb"}).options["engine"] == "InnoDB"
        assert wisconsin.spec(options={"net-buffer-length": "1024"}).options["net_buffer_length"] == "1024"
        with pytest.raises(UsageError, match="--engine is one of MyISAM, InnoDB, not 'csv'"):
            wisconsin.spec(options={"engine": "csv"})
        with pytest.raises(UsageError, match="--net-buffer-length is at least 1024, not 5"):
            wisconsin.spec(options={"net_buffer_length": "5"})
        with pytest.raises(UsageError, match="--net-buffer-length is a whole number, not '4k'"):
            wisconsin.spec(options={"net_buffer_length": "4k"})
        with pytest.raises(
            UsageError, match=r"has no option --threads \(it has: --engine, --net-buffer-length, --client, --tables\)"
        ):
            wisconsin.spec(options={"threads": "4"})

    def test_ready_tables_leave_the_loading_out(self) -> None:
        wisconsin = workloads.get("wisconsin")
        assert wisconsin.spec(options={"tables": "ready"}).phases == ["select", "change"]
        assert wisconsin.spec().phases[0] == "create"
        with pytest.raises(UsageError, match="ready tables are MyISAM"):
            wisconsin.spec(options={"tables": "ready", "engine": "innodb"})

    def test_an_option_without_limits_takes_any_text(self) -> None:
        assert Option("note", "", "any").parse("Ünicode; rm -rf /") == "Ünicode; rm -rf /"

    def test_a_workload_that_runs_no_command_refuses_one(self) -> None:
        with pytest.raises(UsageError, match="takes no command: ls -l"):
            workloads.get("wisconsin").spec(command=["ls", "-l"])

    def test_a_workload_that_ends_by_itself_takes_neither_loops_nor_duration(self) -> None:
        class Own(Workload):
            name, title, description, bound = "own", "Own", "Ends.", "itself"

            async def run(self, ctx: Context) -> None: ...

        assert Own().spec().loops is None
        with pytest.raises(UsageError, match="takes no --loops; it ends by itself"):
            Own().spec(loops=3)


class TestOutput:
    async def test_a_phase_begins_with_a_sample_taken_while_the_client_stands_still(self) -> None:
        records, session = await run_wisconsin([*phase("create"), *phase("select"), DONE])
        assert session.marks == ["phase:create", "phase:select"]
        assert [(r.name, r.event) for r in records if isinstance(r, Phase)] == [
            ("create", "begin"),
            ("create", "end"),
            ("select", "begin"),
            ("select", "end"),
        ]

    async def test_the_scripts_are_put_and_the_client_is_told_loops_and_engine(self) -> None:
        _, session = await run_wisconsin([DONE])
        assert set(session.files) == {"/tmp/kmltui/kmltui.lua", "/tmp/kmltui/wisconsin.lua"}
        assert {"--loops=1", "--engine=MyISAM", "/tmp/kmltui/wisconsin.lua"} <= set(session.argv)

    async def test_progress_is_passed_on(self) -> None:
        line = '{"type":"progress","phase":"select","statement":3,"loop":1,"loops":1,"queries":31007,"rows":1101}'
        records, _ = await run_wisconsin([message(line), DONE])
        (progress,) = [r for r in records if isinstance(r, Progress)]
        assert (progress.phase, progress.statement, progress.queries, progress.rows) == ("select", 3, 31007, 1101)
        assert progress.fraction is not None and 0 < progress.fraction < 1

    async def test_other_lines_are_kept_as_the_clients_log(self) -> None:
        records, _ = await run_wisconsin(["sysbench 1.0.20", "", ("stderr", "warning: slow"), DONE])
        assert [(r.text, r.level) for r in records if isinstance(r, Log)] == [
            ("sysbench 1.0.20", "info"),
            ("warning: slow", "error"),
        ]

    async def test_every_select_is_checksummed_after_the_run(self) -> None:
        lines = [
            message(f'{{"type":"checksum","subject":"statement {n}","rows":1,"value":"0824afcadc54ae0d"}}')
            for n in range(1, 11)
        ]
        lines.append(message('{"type":"checksum","subject":"tenk1 after the changes","rows":1,"value":"08"}'))
        records = await check_wisconsin([*lines, DONE])
        proofs = [r for r in records if isinstance(r, Proof)]
        assert [proof.subject for proof in proofs][:10] == [f"statement {n}" for n in range(1, 11)]
        assert (proofs[2].name, proofs[2].value) == ("checksum", "0824afcadc54ae0d (1 rows)")
        with pytest.raises(WorkloadError, match="10 results were checksummed, not 11"):
            await check_wisconsin([*lines[1:], DONE])

    def test_results_that_differ_between_sessions_are_named(self) -> None:
        def proof(session: str, subject: str, value: str) -> Proof:
            return Proof(t_ns=0, session=session, name="checksum", subject=subject, value=value)

        same = [proof("stock", "statement 1", "aa"), proof("kml", "statement 1", "aa")]
        assert differing_results(same) == []
        differ = [*same, proof("stock", "statement 2", "bb"), proof("kml", "statement 2", "cc")]
        assert differing_results(differ) == ["checksum of statement 2: stock bb, kml cc"]

    async def test_the_clients_own_complaint_fails_the_run_and_ends_the_client(self) -> None:
        line = message('{"type":"fail","message":"statement 2: 999 rows, not 1000"}')
        with pytest.raises(WorkloadError, match="statement 2: 999 rows, not 1000"):
            await run_wisconsin([line, DONE])

    async def test_a_client_that_ends_with_an_error_fails_the_run_with_its_last_words(self) -> None:
        with pytest.raises(WorkloadError, match=r"ended with status 1 in session stock: FATAL: no server"):
            await run_wisconsin([("stdout", "FATAL: no server")], status=1)
        with pytest.raises(WorkloadError, match="was ended by signal 9"):
            await run_wisconsin([], status=137)

    async def test_a_client_that_ends_early_fails_the_run(self) -> None:
        with pytest.raises(WorkloadError, match="before its work was done"):
            await run_wisconsin(phase("create"))

    async def test_a_wrong_number_of_statements_fails_the_run(self) -> None:
        with pytest.raises(WorkloadError, match="24 statements were executed, not 34"):
            await run_wisconsin([DONE], loops=2)

    def test_a_message_that_cannot_be_read_is_an_error_and_not_a_log_line(self) -> None:
        assert parse("kmltui-like text") is None
        with pytest.raises(WorkloadError, match="cannot be read"):
            parse('kmltui {"type":"progress"')
        with pytest.raises(WorkloadError, match="cannot be read"):
            parse('kmltui {"type":"unheard-of"}')


class TestRing:
    async def proof(self, arm: Arm, ring0: int) -> Proof:
        line = message(f'{{"type":"ring","subject":"mariadbd","ring0":{ring0},"reads":100}}')
        records, _ = await run_wisconsin([line, DONE], arm=arm)
        (proof,) = [r for r in records if isinstance(r, Proof)]
        return proof

    async def test_in_a_kml_session_most_reads_find_ring_0(self) -> None:
        proof = await self.proof("kml", 98)
        assert (proof.value, proof.ok) == ("0 in 98 of 100 reads", True)

    async def test_a_kml_session_in_ring_3_is_not_proven(self) -> None:
        proof = await self.proof("kml", 0)
        assert (proof.value, proof.ok) == ("3 in 100 of 100 reads", False)

    async def test_in_any_other_session_no_read_may_find_ring_0(self) -> None:
        assert (await self.proof("stock", 0)).ok
        assert not (await self.proof("stock+idt", 1)).ok


class TestArticleClient:
    """A client that reads as MySQL 4.1's did: the header and the body of each packet by a call each."""

    @staticmethod
    def reads(packets: int, reads: int) -> str:
        return message(f'{{"type":"reads","subject":"sysbench","packets":{packets},"reads":{reads}}}')

    async def test_its_library_is_loaded_into_the_client_only_where_it_is_asked_for(self) -> None:
        _, session = await run_wisconsin([self.reads(5, 10), DONE], client="article")
        assert session.env["LD_PRELOAD"].endswith("article_client.so")
        _, session = await run_wisconsin([DONE])
        assert "LD_PRELOAD" not in session.env

    @pytest.mark.parametrize(("packets", "reads", "ok"), [(5, 10, True), (5, 0, False), (5, 11, False), (0, 0, False)])
    async def test_two_calls_for_every_packet_are_proven(self, packets: int, reads: int, ok: bool) -> None:
        records, _ = await run_wisconsin([self.reads(packets, reads), DONE], client="article")
        (proof,) = [r for r in records if isinstance(r, Proof)]
        assert (proof.name, proof.value, proof.ok) == ("reads", f"{reads} for {packets} packets", ok)

    async def test_a_library_that_was_not_loaded_fails_the_run(self) -> None:
        with pytest.raises(WorkloadError, match="did not load"):
            await run_wisconsin([DONE], client="article")


class TestLatency:
    @pytest.mark.parametrize("us", [1, 5, 2047, 2048, 2050, 4095, 4096, 70_001, 12_345_678, 3_500_000_000])
    def test_buckets_are_histogram_buckets(self, us: int) -> None:
        bucket, shift = us, 0
        while bucket >= 2048:
            bucket //= 2
            shift += 1
        value = bucket_value_us(bucket + shift * 1024)
        assert HdrHistogram(1, 3_600_000_000, 3).get_lowest_equivalent_value(us) == value

    def test_counts_survive_the_encoding(self) -> None:
        histogram = HdrHistogram.decode(encode_latencies([(0, 1), (80, 90), (2500, 9)]))
        assert histogram.get_total_count() == 100
        assert histogram.get_value_at_percentile(50) == 80
        assert histogram.get_max_value() >= bucket_value_us(2500)

    async def test_latencies_name_their_statement(self) -> None:
        records, _ = await run_wisconsin([message('{"type":"latency","statement":8,"counts":[[700,3]]}'), DONE])
        (latency,) = [r for r in records if isinstance(r, Latency)]
        assert latency.statement == 8
        assert HdrHistogram.decode(latency.hdr).get_total_count() == 3


class TestFraction:
    def test_bounded_by_a_duration_it_is_that_of_the_time(self) -> None:
        spec = workloads.get("wisconsin").spec(duration_s=10)
        progress = parse(message('{"type":"progress","phase":"select","statement":1,"queries":7,"fraction":0.25}'))
        assert fraction_done(spec, progress) == 0.25  # type: ignore[arg-type]

    def test_the_fraction_grows_through_the_phases_and_ends_at_one(self) -> None:
        spec = workloads.get("wisconsin").spec(loops=10)
        steps = [("create", 0, 0), ("insert", 0, 100), ("insert", 0, 31_000), ("select", 1, 5), ("select", 8, 1)]
        steps += [("select", 10, 10), ("change", 11, 0)]
        fractions = []
        for name, statement, loop in steps:
            text = f'{{"type":"progress","phase":"{name}","statement":{statement},"loop":{loop},"queries":0}}'
            progress = parse(message(text))
            fractions.append(fraction_done(spec, progress))  # type: ignore[arg-type]
        assert fractions == sorted(fractions)  # type: ignore[type-var]
        assert fractions[0] == 0 and fractions[-1] == 1

# SPDX-License-Identifier: GPL-2.0-or-later
"""Counters' texts are read exactly, tolerantly where they may grow, and refused with the line that is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmltui.counters import (
    CounterError,
    parse_cpu_stat,
    parse_kml_counters,
    parse_proc_stat,
    select_status,
    syscalls,
)
from kmltui.model import CpuTicks, GroupCpu, KmlCounters, ProgramCalls

count = st.integers(0, (1 << 63) - 1)
cpu_ids = st.lists(st.integers(0, 4095), min_size=1, max_size=8, unique=True)


class TestProcStat:
    def test_a_real_one(self) -> None:
        text = (
            "cpu  61 3 20 800 5 0 1 0 0 0\n"
            "cpu0 31 1 10 400 2 0 1 0 0 0\n"
            "cpu3 30 2 10 400 3 0 0 0 0 0\n"
            "intr 51234 9 0 0 7\nctxt 98765\nbtime 1795000000\nprocesses 321\nsoftirq 5 1 2 3\n"
        )
        stat = parse_proc_stat(text)
        assert stat.cpus == {0: CpuTicks(31, 1, 10, 400, 2, 0, 1, 0), 3: CpuTicks(30, 2, 10, 400, 3, 0, 0, 0)}
        assert (stat.interrupts, stat.context_switches) == (51234, 98765)

    @given(st.dictionaries(st.integers(0, 4095), st.lists(count, min_size=4, max_size=12), max_size=6))
    def test_any_cpus_and_any_number_of_fields(self, cpus: dict[int, list[int]]) -> None:
        text = "".join(f"cpu{cpu} {' '.join(map(str, values))}\n" for cpu, values in cpus.items())
        assert parse_proc_stat(text).cpus == {cpu: CpuTicks(*values[:8]) for cpu, values in cpus.items()}

    def test_what_is_not_there_is_absent(self) -> None:
        stat = parse_proc_stat("")
        assert stat.cpus == {} and stat.interrupts is None and stat.context_switches is None

    @pytest.mark.parametrize("line", ["cpu0 1 2 x 4", "cpu0 1 2", "cpux 1 2 3 4", "cpu0 1 2 -3 4", "ctxt ²"])
    def test_a_broken_line_is_quoted(self, line: str) -> None:
        with pytest.raises(CounterError, match=f"/proc/stat.*{line}"):
            parse_proc_stat(f"cpu1 1 2 3 4\n{line}\n")


class TestCpuStat:
    @given(count, count, count)
    def test_the_three_times(self, usage: int, user: int, system: int) -> None:
        text = (
            f"usage_usec {usage}\nuser_usec {user}\nsystem_usec {system}\ncore_sched.force_idle_usec 0\nnr_periods 0\n"
        )
        assert parse_cpu_stat(text) == GroupCpu(usage, user, system)

    def test_a_missing_time_is_named(self) -> None:
        with pytest.raises(CounterError, match="user_usec"):
            parse_cpu_stat("usage_usec 1\nsystem_usec 1\n")


class TestKmlCounters:
    def test_sums_by_number_and_by_cpu(self) -> None:
        text = (
            "kml 1 kml\ncpus 0 2\ntrap 0 1 2\ntrap other 3 4\ndirect 44 10 20\n"
            "elevation 5 6\ndemotion 14 1 1\ndemotion 236 2 0\nrewind 1 1\nattached 3\n"
            "program - 0 9\nprogram a\\040b 8 1\nnovelty 9 9 9\n"
        )
        assert parse_kml_counters(text) == KmlCounters(
            trap_nr={0: 3, syscalls.OTHER: 7},
            direct_nr={44: 30},
            trap_cpu={0: 4, 2: 6},
            direct_cpu={0: 10, 2: 20},
            elevations_cpu={0: 5, 2: 6},
            demotions_vector={14: 2, 236: 2},
            rewinds=2,
            attached=3,
            programs={"a b": ProgramCalls(direct=8, trap=1)},
        )

    @given(cpu_ids, st.dictionaries(st.integers(0, 600), st.integers(0, 1 << 50), max_size=9), st.data())
    def test_every_call_is_counted_once_by_number_and_once_by_cpu(
        self, cpus: list[int], totals: dict[int, int], data: st.DataObject
    ) -> None:
        text = f"kml 1 stock\ncpus {' '.join(map(str, cpus))}\n"
        for number, total in totals.items():
            shares = [0] * len(cpus)
            shares[data.draw(st.integers(0, len(cpus) - 1))] = total
            text += f"trap {number} {' '.join(map(str, shares))}\n"
        counters = parse_kml_counters(text)
        assert counters.trap_nr == totals
        assert sum(counters.trap_cpu.values()) == sum(totals.values())
        assert set(counters.trap_cpu) == set(counters.direct_cpu) == set(counters.elevations_cpu) == set(cpus)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "is the module loaded"),
            ("cpus 0\n", "is the module loaded"),
            ("kml 1 stock\n", "cut short"),
            ("kml x stock\ncpus 0\n", "kml x stock"),
            ("kml 1 stock\ntrap 0 1\ncpus 0\n", "trap 0 1"),
            ("kml 1 stock\ncpus 0 1\ntrap 0 1\n", "trap 0 1"),
            ("kml 1 stock\ncpus 0\ntrap -5 1\n", "trap -5 1"),
            ("kml 1 stock\ncpus 0\ntrap 0 99999999999999999999\n", "trap 0 999"),
        ],
    )
    def test_a_broken_text_is_refused(self, text: str, message: str) -> None:
        with pytest.raises(CounterError, match=message):
            parse_kml_counters(text)


@given(st.text(), st.sampled_from([parse_proc_stat, parse_cpu_stat, parse_kml_counters]))
def test_any_text_is_read_or_refused(text: str, parse) -> None:
    for given_text in (text, f"cpu0 {text}", f"usage_usec {text}", f"kml 1 a\ncpus 0 1\ntrap {text}"):
        try:
            parse(given_text)
        except CounterError as error:
            assert len(str(error)) < 500


def test_status_keeps_what_it_knows_and_only_whole_numbers() -> None:
    rows = [
        ("Questions", "1234"),
        ("Bytes_sent", 99),
        ("Queries", "9" * 5000),
        ("Com_select", "NULL"),
        ("Rsa_public_key", "1"),
        ("Threads_running", str(1 << 63)),
    ]
    assert select_status(rows) == {"Questions": 1234, "Bytes_sent": 99}


class TestSystemCalls:
    def test_names_at_both_ends_of_each_run_of_numbers(self) -> None:
        known = {
            0: "read",
            39: "getpid",
            110: "getppid",
            334: "rseq",
            424: "pidfd_send_signal",
            450: "set_mempolicy_home_node",
            462: "mseal",
        }
        assert {number: syscalls.name(number) for number in known} == known
        assert syscalls.name(syscalls.OTHER) == "other"
        assert syscalls.name(400) == "syscall_400" and syscalls.name(9999) == "syscall_9999"

    def test_names_and_numbers_are_each_other_s_inverse(self) -> None:
        assert len(syscalls.NUMBERS) == len(syscalls.NAMES) == 375
        assert all(syscalls.NAMES[number] == name for name, number in syscalls.NUMBERS.items())

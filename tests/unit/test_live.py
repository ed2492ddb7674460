"""The fold over records that knows what a screen shows."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from kmltui.live.history import History
from kmltui.live.latencies import Latencies
from kmltui.live.live import LiveState
from kmltui.live.views import CPU_US, MONO, TRAP, equal_work
from kmltui.model import (
    CpuTicks,
    GroupCpu,
    Header,
    KmlCounters,
    Progress,
    RunKind,
    Sample,
    SessionSpec,
    State,
    WorkloadSpec,
)

S = 1_000_000_000


def header() -> Header:
    return Header(
        workload=WorkloadSpec(name="wisconsin", loops=10),
        sessions=[SessionSpec(name="stock"), SessionSpec(name="kml", arm="kml")],
    )


def sample(t: float, *, session: str = "stock", mono: float | None = None, mark: str = "", n: int = 0) -> Sample:
    return Sample(
        t_ns=int(t * S),
        session=session,
        mono_ns=int((t if mono is None else mono) * S),
        mark=mark,
        cpus={0: CpuTicks(n, 0, n, n * 2)},
        groups={"server": GroupCpu(n * 3, n * 2, n), "client": GroupCpu(n, n, 0)},
        kml=KmlCounters(trap_nr={0: n * 10, 1: n}, direct_nr={0: n} if session == "kml" else {}, trap_cpu={0: n * 11}),
    )


class TestRates:
    def test_they_are_over_the_sessions_own_clock(self) -> None:
        state = LiveState(header())
        state.add(sample(1, mono=10, n=0))
        state.add(sample(3, mono=14, n=100))  # 4 seconds of its own time
        view = state.snapshot().sessions[0]
        assert view.trap_rate == 1100 / 4
        assert [(call.nr, call.trap_rate) for call in view.calls] == [(0, 250.0), (1, 25.0)]

    def test_a_lost_sample_loses_no_count(self) -> None:
        state = LiveState(header())
        for t, n in ((1, 0), (2, 10), (9, 80)):
            state.add(sample(t, n=n))
        assert state.snapshot().sessions[0].samples.last[TRAP] == 880  # type: ignore[index]

    def test_what_a_session_cannot_provide_is_absent(self) -> None:
        state = LiveState(header())
        state.add(Sample(t_ns=S, session="stock", mono_ns=S, cpus={}))
        view = state.snapshot().sessions[0]
        assert (view.trap_rate, view.trap, view.cpu, view.query_rate, view.latency) == (None,) * 5


class TestTheWorkloadsInterval:
    def test_totals_are_those_between_start_and_end(self) -> None:
        state = LiveState(header())
        for t, mark, n in ((1, "", 5), (2, "start", 10), (3, "", 20), (4, "end", 30), (5, "", 90)):
            state.add(sample(t, mark=mark, n=n))
        view = state.snapshot().sessions[0]
        assert view.trap == 20 * 11
        assert view.cpu is not None and view.cpu.total == pytest.approx(20 * 4 / 1e6)
        assert {name: seconds.total for name, seconds in view.groups} == {
            "server": pytest.approx(60 / 1e6),
            "client": pytest.approx(20 / 1e6),
        }

    def test_a_second_boot_adds_up(self) -> None:
        state = LiveState(header())
        for t, mono, mark, n in ((1, 1, "start", 10), (2, 2, "end", 30), (10, 1, "start", 5), (11, 2, "end", 10)):
            state.add(sample(t, mono=mono, mark=mark, n=n))
        view = state.snapshot().sessions[0]
        assert view.trap == (20 + 5) * 11
        points = list(view.samples)
        assert all(a[MONO] <= b[MONO] and a[CPU_US] <= b[CPU_US] for a, b in pairwise(points))


class TestEqualWork:
    def test_cpu_time_is_compared_at_the_same_number_of_queries(self) -> None:
        state = LiveState(header())
        for t in range(1, 11):
            for session, speed in (("stock", 1), ("kml", 2)):
                state.add(sample(t, session=session, mark="start" if t == 1 else "", n=t * 100_000))
                state.add(Progress(t_ns=t * S, session=session, phase="select", queries=(t - 1) * speed * 100))
        pair = state.snapshot().pair
        assert pair is not None
        work = equal_work(*pair)
        assert work is not None and not work.final
        assert work.queries == 900
        assert work.saved("total") == pytest.approx(0.5)

    def test_a_viewer_that_joins_late_sees_the_same_as_one_from_the_beginning(self) -> None:
        whole, late = LiveState(header()), LiveState(header())
        for t in range(1, 11):
            for session, speed in (("stock", 1), ("kml", 2)):
                taken = sample(t, session=session, mark="start" if t == 1 else "", n=t * 100_000)
                done = Progress(t_ns=t * S, session=session, phase="select", queries=(t - 1) * speed * 100)
                for state in (whole, late) if t in (1, 5, 6, 7, 8, 9, 10) else (whole,):
                    state.add(taken)
                    if t > 1 or state is whole:
                        state.add(done)
        seen, expected = (equal_work(*state.snapshot().sessions) for state in (late, whole))
        assert seen is not None and expected is not None
        assert (seen.queries, seen.left, seen.right) == (expected.queries, expected.left, expected.right)

    def test_before_the_first_query_there_is_nothing_to_compare(self) -> None:
        state = LiveState(header())
        state.add(State(t_ns=S, session="kml", state="booting"))
        assert equal_work(*state.snapshot().sessions) is None


class TestBounds:
    def test_memory_does_not_grow_with_the_samples(self) -> None:
        state = LiveState(header())
        for i in range(30_000):
            state.add(sample(i / 2, n=i))
        view = state.snapshot().sessions[0]
        assert len(view.samples) <= 4096
        first, last = view.samples.first, view.samples.last
        assert first is not None and last is not None and (first[0], last[TRAP]) == (0, 29_999 * 11)

    def test_a_copy_goes_its_own_way(self) -> None:
        state = LiveState(header())
        state.add(sample(1, mark="start", n=1))
        state.add(sample(2, n=2))
        before = state.snapshot()
        copy = state.copy()
        copy.add(sample(3, n=50))
        assert state.snapshot().sessions[0].trap == before.sessions[0].trap
        assert copy.snapshot().sessions[0].trap == 49 * 11


class TestLeavingOut:
    """A state of which records were left out between landmarks and the last minute tells what is right, or nothing."""

    def state(self, before: list[Sample], after: list[Sample], kind: RunKind = "run") -> LiveState:
        state = LiveState(Header(workload=WorkloadSpec(name="x"), sessions=[SessionSpec(name="stock")], kind=kind))
        state.extend(before)
        state.leave_out()
        state.extend(after)
        return state

    def test_totals_are_counted_from_the_boundary_before_the_gap(self) -> None:
        later = [sample(9_000 + t, n=5_000 + t) for t in range(4)]
        view = self.state([sample(1, n=5), sample(2, mark="start", n=10)], later).snapshot().sessions[0]
        assert view.trap == (5_003 - 10) * 11
        assert view.cpu is None or view.cpu.total == pytest.approx((5_003 - 10) * 4 / 1e6)
        assert view.trap_rate == 11 and len(view.samples) == 4

    def test_rates_are_never_over_the_gap(self) -> None:
        view = self.state([sample(2, mark="start", n=10)], [sample(9_000, n=5_000)]).snapshot().sessions[0]
        assert (view.trap_rate, view.cpus, view.calls) == (None, (), ())

    def test_rates_have_their_whole_window(self) -> None:
        """Of samples that are far apart the one before the window counts; it may be among those left out."""
        before = [sample(2, mark="start", n=10)]
        view = self.state(before, [sample(9_000 + t, n=5_000 + t) for t in (0, 1)]).snapshot().sessions[0]
        assert (view.trap_rate, view.cpus, view.calls) == (None, (), ())
        view = self.state(before, [sample(9_000 + t, n=5_000 + t) for t in (0, 1, 2)]).snapshot().sessions[0]
        assert view.trap_rate == 11

    @pytest.mark.parametrize("kind", ["run", "monitor"])
    def test_without_a_sample_after_the_gap_there_is_no_total(self, kind: str) -> None:
        view = self.state([sample(1, n=5), sample(2, mark="start", n=10)], [], kind).snapshot().sessions[0]
        assert (view.trap, view.cpu, view.groups, view.calls, view.last_sample_ns) == (None, None, (), (), None)
        assert view.has_calls, "it has a module that counts them all the same"

    def test_what_is_watched_needs_its_first_sample(self) -> None:
        later = [sample(9_000 + t, n=5_000 + t) for t in range(4)]
        known = self.state([sample(1, n=5)], later, "monitor").snapshot().sessions[0]
        assert known.trap == (5_003 - 5) * 11 and known.groups
        unknown = self.state([], later, "monitor").snapshot().sessions[0]
        assert (unknown.trap, unknown.cpu, unknown.groups, unknown.begin) == (None, None, (), None)
        assert unknown.trap_rate == 11

    def test_a_boot_in_the_gap_ends_what_can_be_told(self) -> None:
        later = [sample(9_000 + t, mono=t, n=50 + t) for t in range(4)]
        view = self.state([sample(2, mark="start", n=10)], later).snapshot().sessions[0]
        assert (view.trap, view.cpu, view.groups) == (None, None, ())
        assert view.trap_rate == 11

    def test_intervals_that_have_ended_are_known(self) -> None:
        before = [sample(2, mark="start", n=10), sample(50, mark="end", n=60)]
        view = self.state(before, [sample(9_000 + t, n=5_000 + t) for t in range(4)]).snapshot().sessions[0]
        assert view.trap == 50 * 11
        assert len(view.work) == 0


class TestHistory:
    @pytest.mark.parametrize("number", [int, float])
    def test_a_copy_of_a_long_one_is_small_and_lacks_no_total(self, number: type[float]) -> None:
        history = History(4096)
        for i in range(10_000):
            history.append((number(i), number(i * 3)))
        copy, whole = history.copy(), history.freeze()
        assert len(copy) <= 1024
        thin = copy.freeze()
        assert (thin.first, thin.last) == (whole.first, whole.last)
        assert thin.since(9_500).first == whole.since(9_500).first
        assert thin.at(5_000) == pytest.approx(whole.at(5_000))
        again = copy.copy()
        assert list(again.freeze()) == list(thin), "a copy of a copy loses nothing more"
        again.append((number(10_000), number(30_000)))
        assert (len(again), len(copy)) == (len(thin) + 1, len(thin))

    @given(st.lists(st.integers(0, 1000), min_size=2, max_size=400), st.integers(8, 64))
    def test_thinning_keeps_the_totals(self, steps: list[int], limit: int) -> None:
        history = History(limit)
        total = 0
        for t, step in enumerate(steps):
            total += step
            history.append((float(t), float(total)))
        series = history.freeze()
        assert len(series) <= limit
        [rate] = series.rates([0.0, len(steps) - 1.0], (1,), 0)
        assert rate is not None and rate[0] * (len(steps) - 1) == pytest.approx(total - steps[0])

    def test_what_was_not_recorded_is_none(self) -> None:
        history = History()
        for t in (10, 20, 30):
            history.append((t, t * 2))
        assert history.freeze().rates([0, 10, 20, 30, 40], (1,), 0) == [None, (2.0,), (2.0,), None]


class TestLatencies:
    def test_merged_histograms_give_the_percentiles_of_all(self) -> None:
        dice = random.Random(1)
        together = HdrHistogram(1, 60_000_000, 3)
        merged = Latencies()
        for _ in range(5):
            interval = HdrHistogram(1, 60_000_000, 3)
            for _ in range(800):
                interval.record_value(int(dice.lognormvariate(6, 1.5)) + 1)
            together.add(interval)
            merged.add(interval.encode())
        wanted = (50, 95, 99, 99.9, 100)
        assert merged.percentiles(wanted) == tuple(together.get_percentile_to_value_dict(list(wanted)).values())
        assert merged.count == 4000

    def test_a_copy_has_the_same_and_goes_its_own_way(self) -> None:
        interval = HdrHistogram(1, 60_000_000, 3)
        for latency in (3, 3, 700, 90_000):
            interval.record_value(latency)
        first = Latencies()
        first.add(interval.encode())
        second = first.copy().copy()
        assert second.percentiles((50, 100)) == first.percentiles((50, 100))
        assert (second.count, second.largest) == (first.count, first.largest)
        second.merge(first)
        second.merge(second)
        assert (first.count, second.count) == (4, 16)

    def test_more_latencies_than_63_bits_hold_are_refused(self) -> None:
        interval = HdrHistogram(1, 60_000_000, 3)
        interval.record_value(3, 1 << 62)
        latencies = Latencies()
        latencies.add(interval.encode())
        with pytest.raises(ValueError, match="63 bits"):
            latencies.add(interval.encode())
        assert latencies.copy().count == 1 << 62

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_histogram_or_an_error(self, data: bytes) -> None:
        try:
            Latencies().add(data)
        except ValueError:
            return


def test_records_of_sessions_that_the_header_does_not_name_are_left_out() -> None:
    state = LiveState(header())
    state.add(sample(1, session="nobody", n=5))
    assert all(view.last_sample_ns is None for view in state.snapshot().sessions)

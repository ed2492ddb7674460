# SPDX-License-Identifier: GPL-2.0-or-later
"""The fold over records that knows what a screen shows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kmltui.live.history import POINTS, History
from kmltui.live.latencies import Latencies
from kmltui.live.store import Store
from kmltui.live.views import CPU_US, MONO, TRAP, EqualWork, SessionView, Snapshot, equal_work
from kmltui.model import (
    CpuTicks,
    Digest,
    GroupCpu,
    Header,
    Inside,
    KmlCounters,
    Latency,
    Log,
    Mark,
    Progress,
    Record,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.recording.landmarks import is_landmark

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
        state = Store(header())
        state.add(sample(1, mono=10, n=0))
        state.add(sample(3, mono=14, n=100))  # 4 seconds of its own time
        view = state.at().sessions[0]
        assert view.trap_rate == 1100 / 4
        assert [(call.nr, call.trap_rate) for call in view.calls] == [(0, 250.0), (1, 25.0)]

    def test_a_lost_sample_loses_no_count(self) -> None:
        state = Store(header())
        for t, n in ((1, 0), (2, 10), (9, 80)):
            state.add(sample(t, n=n))
        assert state.at().sessions[0].samples.last[TRAP] == 880  # type: ignore[index]

    def test_what_a_session_cannot_provide_is_absent(self) -> None:
        state = Store(header())
        state.add(Sample(t_ns=S, session="stock", mono_ns=S, cpus={}))
        view = state.at().sessions[0]
        assert (view.trap_rate, view.trap, view.cpu, view.query_rate, view.latency) == (None,) * 5


class TestTheWorkloadsInterval:
    def test_totals_are_those_between_start_and_end(self) -> None:
        state = Store(header())
        for t, mark, n in ((1, "", 5), (2, "start", 10), (3, "", 20), (4, "end", 30), (5, "", 90)):
            state.add(sample(t, mark=mark, n=n))
        view = state.at().sessions[0]
        assert view.trap == 20 * 11
        assert view.cpu is not None and view.cpu.total == pytest.approx(20 * 4 / 1e6)
        assert {name: seconds.total for name, seconds in view.groups} == {
            "server": pytest.approx(60 / 1e6),
            "client": pytest.approx(20 / 1e6),
        }

    def test_a_second_boot_adds_up(self) -> None:
        state = Store(header())
        for t, mono, mark, n in ((1, 1, "start", 10), (2, 2, "end", 30), (10, 1, "start", 5), (11, 2, "end", 10)):
            state.add(sample(t, mono=mono, mark=mark, n=n))
        view = state.at().sessions[0]
        assert view.trap == (20 + 5) * 11
        points = list(view.samples)
        assert all(a[MONO] <= b[MONO] and a[CPU_US] <= b[CPU_US] for a, b in pairwise(points))


class TestEqualWork:
    def test_cpu_time_is_compared_at_the_same_number_of_queries(self) -> None:
        work = self.after(100)
        assert not work.final
        assert work.queries == 9900
        assert work.saved("total") == pytest.approx(0.5)

    def after(self, seconds: int, unsampled: int = 0) -> EqualWork:
        """In the middle of a run in which KML does twice as much a second, with a sample a second; the last of stock's
        may be missing."""
        state = Store(header())
        for t in range(1, seconds + 1):
            for session, speed in (("stock", 1), ("kml", 2)):
                if session == "kml" or t <= seconds - unsampled:
                    state.add(sample(t, session=session, mark="start" if t == 1 else "", n=t * 100_000))
                state.add(Progress(t_ns=t * S, session=session, phase="select", queries=(t - 1) * speed * 100))
        work = equal_work(*state.at().sessions)
        assert work is not None
        return work

    def test_a_session_that_was_not_sampled_lately_is_compared_where_it_was(self) -> None:
        work = self.after(100, unsampled=20)
        assert work.queries == 7900
        assert work.saved("total") == pytest.approx(0.5)

    def test_what_is_saved_is_not_told_before_it_is_known_well_enough(self) -> None:
        work = self.after(10)
        assert work.saved("total") is None and work.left.total > work.right.total > 0

    def test_a_viewer_that_joins_late_sees_the_same_as_one_from_the_beginning(self) -> None:
        whole, late = Store(header()), Store(header())
        for t in range(1, 11):
            for session, speed in (("stock", 1), ("kml", 2)):
                taken = sample(t, session=session, mark="start" if t == 1 else "", n=t * 100_000)
                done = Progress(t_ns=t * S, session=session, phase="select", queries=(t - 1) * speed * 100)
                for state in (whole, late) if t in (1, 5, 6, 7, 8, 9, 10) else (whole,):
                    state.add(taken)
                    if t > 1 or state is whole:
                        state.add(done)
        seen, expected = (equal_work(*state.at().sessions) for state in (late, whole))
        assert seen is not None and expected is not None
        assert (seen.queries, seen.left, seen.right) == (expected.queries, expected.left, expected.right)

    def test_before_the_first_query_there_is_nothing_to_compare(self) -> None:
        state = Store(header())
        state.add(State(t_ns=S, session="kml", state="booting"))
        assert equal_work(*state.at().sessions) is None


class TestBounds:
    def test_memory_does_not_grow_with_the_samples(self) -> None:
        store = Store(header())
        taken = sample(0)
        for i in range(150_000):
            store.add(replace(taken, t_ns=i * S, mono_ns=i * S, interrupts=i))
        view = store.at().sessions[0]
        assert len(view.samples) <= POINTS
        first, last = view.samples.first, view.samples.last
        assert first is not None and last is not None and (first[0], last[0]) == (0, 149_999 * S)


class Written:
    """A recording in memory."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self.duration_ns = max((record.t_ns for record in records if not isinstance(record, Header)), default=0)

    def records(self, start_ns: int = 0, end_ns: int | None = None, only: Any = None) -> Iterator[Record]:
        for record in self._records:
            wanted = only is None or isinstance(record, only)
            if isinstance(record, Header):
                continue
            if wanted and start_ns <= record.t_ns and (end_ns is None or record.t_ns < end_ns):
                yield record

    def landmarks(self) -> list[Record]:
        return [record for record in self._records if not isinstance(record, Header) and is_landmark(record)]


class TestAheadOfReading:
    """At a time that reading has not come to, a state tells what is right, or nothing."""

    def view(self, read: list[Record], unread: list[Record], t: float = 9_003, kind: str = "run") -> SessionView:
        """The session at ``t`` seconds, of which only ``read`` was added to the store."""
        watched = Header(workload=WorkloadSpec(name="x"), sessions=[SessionSpec(name="stock")], kind=kind)
        end = Log(t_ns=20_000 * S, session="stock", source="server", text="the recording goes on")
        store = Store(watched, Written([*read, *unread, end]))
        store.extend(read)
        return store.at(int(t * S)).sessions[0]

    def test_totals_are_counted_from_the_boundary_however_far_back(self) -> None:
        later = [sample(9_000 + t, n=5_000 + t) for t in range(4)]
        started = sample(2, mark="start", n=10)
        for read, unread in (([sample(1, n=5), started], later), ([], [sample(1, n=5), started, *later])):
            view = self.view([*read], [*unread])
            assert view.trap == (5_003 - 10) * 11
            assert view.cpu is not None and view.cpu.total == pytest.approx((5_003 - 10) * 4 / 1e6)
            assert view.trap_rate == 11 and len(view.samples) == 4

    def test_rates_are_never_over_what_was_not_read(self) -> None:
        view = self.view([sample(2, mark="start", n=10)], [sample(9_000, n=5_000)])
        assert (view.trap_rate, view.cpus, view.calls) == (None, (), ())

    def test_rates_have_their_whole_window(self) -> None:
        """Of samples that are far apart the one before the window counts; it may be among those that were not read."""
        for count, rate in ((2, None), (3, 11)):
            later = [sample(9_000 + t, n=5_000 + t) for t in range(count)]
            view = self.view([sample(2, mark="start", n=10)], [*later])
            assert view.trap_rate == rate
            assert bool(view.cpus) is bool(view.calls) is (rate is not None)

    @pytest.mark.parametrize("kind", ["run", "monitor"])
    def test_without_a_sample_near_there_is_no_total(self, kind: str) -> None:
        view = self.view([sample(1, n=5), sample(2, mark="start", n=10)], [sample(400, n=20)], kind=kind)
        assert (view.trap, view.cpu, view.groups, view.calls, view.last_sample_ns) == (None, None, (), (), None)
        assert view.has_calls, "it has a module that counts them all the same"

    def test_what_is_watched_needs_its_first_sample(self) -> None:
        later = [sample(9_000 + t, n=5_000 + t) for t in range(4)]
        known = self.view([sample(1, n=5)], [*later], kind="monitor")
        assert known.trap == (5_003 - 5) * 11 and known.groups
        unknown = self.view([], [sample(1, n=5), *later], kind="monitor")
        assert (unknown.trap, unknown.cpu, unknown.groups, unknown.begin) == (None, None, (), None)
        assert unknown.trap_rate == 11

    def test_a_boot_on_the_way_ends_what_can_be_told(self) -> None:
        later = [sample(9_000 + t, mono=t, n=50 + t) for t in range(4)]
        view = self.view([sample(2, mark="start", n=10)], [*later])
        assert (view.trap, view.cpu, view.groups) == (None, None, ())
        assert view.trap_rate == 11

    def test_intervals_that_have_ended_are_known(self) -> None:
        ended = [sample(2, mark="start", n=10), sample(50, mark="end", n=60)]
        view = self.view([], [*ended, *(sample(9_000 + t, n=5_000 + t) for t in range(4))])
        assert view.trap == 50 * 11
        assert len(view.work) == 0

    def test_what_happens_is_told_once_whoever_tells_it_first(self) -> None:
        marks: list[Record] = [Mark(t_ns=t * S, note="here") for t in (10, 10, 5_000, 19_000)]
        records = [*marks[:2], sample(11), *marks[2:3], sample(9_000), *marks[3:]]
        store = Store(header(), Written(records))
        store.extend(records[:2])
        assert [mark.t_ns // S for mark in store.at(9_000 * S).marks] == [10, 10, 5_000]
        assert [landmark.t_ns // S for landmark in store.landmarks] == [10, 10, 5_000, 19_000]
        store.extend(records[2:])
        assert [mark.t_ns // S for mark in store.at().marks] == [10, 10, 5_000, 19_000]


class TestGoingBack:
    """The state at a time that was read is what it was when that was the newest."""

    def test_records_far_apart_are_found_again(self) -> None:
        """Counted exactly, a session is sampled at the ends of phases alone; another may have ended long ago."""
        records: list[Record] = []
        for number, t in enumerate((1, 700, 2_900, 2_901)):
            records.append(sample(t, mark="start" if number == 0 else "", n=number * 100))
            records.append(Progress(t_ns=t * S, session="stock", phase="select", queries=number))
            records.append(Status(t_ns=t * S, session="stock", counters={"Queries": number * 50}))
        records += [sample(t, session="kml", n=t) for t in range(1, 4_000, 50)]
        records.sort(key=lambda record: 0 if isinstance(record, Header) else record.t_ns)
        store = Store(header(), Written(records))
        store.extend(records)
        for t in (1, 2, 650, 700, 2_000, 2_900, 2_950, 3_900):
            then = Store(header())
            then.extend(record for record in records if not isinstance(record, Header) and record.t_ns <= t * S)
            assert essence(store.at(t * S)) == essence(then.at(t * S)), t

    def test_latencies_are_those_up_to_then(self) -> None:
        dice = random.Random(4)
        records: list[Record] = []
        for t in range(1, 900):
            interval = HdrHistogram(1, 60_000_000, 3)
            for _ in range(5):
                interval.record_value(int(dice.lognormvariate(6, 1.5)) + 1)
            statement = 1 + t // 300
            records.append(Latency(t_ns=t * S, session="stock", statement=statement, hdr=interval.encode()))
        store = Store(header(), Written(records))
        store.extend(records)
        for t in (0, 1, 5, 6, 299, 300, 650, 898, 899):
            then = Store(header())
            then.extend(records[:t])
            seen, expected = store.at(t * S).sessions[0], then.at(t * S).sessions[0]
            assert (seen.latency, seen.statements) == (expected.latency, expected.statements), t

    def test_a_server_that_had_gone_has_no_figures_there(self) -> None:
        session = SessionSpec(name="local", kind="local")
        watched = Header(workload=WorkloadSpec(name="any"), sessions=[session], kind="monitor")
        counted = [Status(t_ns=t * S, session="local", counters={"Queries": t}) for t in (1, 2, 3)]
        gone = State(t_ns=4 * S, session="local", state="running", detail="the server does not answer")
        records = [*counted, gone, Log(t_ns=900 * S, session="local", source="server", text="nothing")]
        store = Store(watched, Written(records))
        store.extend(records)
        assert dict(store.at(3 * S).sessions[0].server) == {"Queries": 3}
        assert store.at(500 * S).sessions[0].server == ()

    @pytest.mark.parametrize("ended", ["done", "stopped", "failed"])
    def test_the_last_figures_of_a_watched_server_stay_when_the_run_is_over(self, ended: Any) -> None:
        session = SessionSpec(name="local", kind="local")
        watched = Header(workload=WorkloadSpec(name="any"), sessions=[session], kind="monitor")
        digest = Digest("a", "shop", "SELECT ?", 10, 1000, 10, 10, 0)
        records: list[Record] = [
            Status(t_ns=2 * S, session="local", counters={"Queries": 2}),
            Inside(t_ns=3 * S, session="local", digests=[digest]),
            State(t_ns=4 * S, session="local", state=ended, detail="by a viewer"),
            Log(t_ns=900 * S, session="local", source="server", text="nothing"),
        ]
        store = Store(watched, Written(records))
        store.extend(records)
        for t in (4, 500, 900):
            seen = store.at(t * S).sessions[0]
            assert dict(seen.server) == {"Queries": 2} and [each.text for each in seen.digests] == ["SELECT ?"], t


def essence(snapshot: Snapshot) -> list[object]:
    """What a snapshot tells, with the series as lists."""
    plain = [{name: getattr(view, name) for name in view.__struct_fields__} for view in snapshot.sessions]
    for view in plain:
        view["samples"], view["work"] = list(view["samples"]), list(view["work"])
        view["cpu_history"] = [(cpu, list(series)) for cpu, series in view["cpu_history"]]
    return list(plain)


class TestHistory:
    @given(st.lists(st.integers(0, 1000), min_size=2, max_size=400), st.integers(8, 64))
    def test_thinning_keeps_the_totals(self, steps: list[int], limit: int) -> None:
        history = History(limit)
        total = 0
        for t, step in enumerate(steps):
            total += step
            history.append((float(t), float(total)))
        series = history.series()
        assert len(series) <= limit
        [rate] = series.rates([0.0, len(steps) - 1.0], (1,), 0)
        assert rate is not None and rate[0] * (len(steps) - 1) == pytest.approx(total - steps[0])

    def test_what_was_not_recorded_is_none(self) -> None:
        history = History()
        for t in (10, 20, 30):
            history.append((t, t * 2))
        assert history.series().rates([0, 10, 20, 30, 40], (1,), 0) == [None, (2.0,), (2.0,), None]


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
    state = Store(header())
    state.add(sample(1, session="nobody", n=5))
    assert all(view.last_sample_ns is None for view in state.at().sessions)

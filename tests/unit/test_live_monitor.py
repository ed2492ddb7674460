# SPDX-License-Identifier: GPL-2.0-or-later
"""What the screen knows of a server that is only watched."""

from kmltui.live.store import Store
from kmltui.model import GroupCpu, Header, Sample, SessionSpec, State, Status, WorkloadSpec

SECOND = 1_000_000_000


def state(kind="monitor"):
    session = SessionSpec(name="local", kind="local")
    return Store(Header(workload=WorkloadSpec(name="any"), sessions=[session], kind=kind))


def status(second, queries, own=0, **counters):
    return Status(
        t_ns=second * SECOND, session="local", counters={"Queries": queries, **counters}, own={"Queries": own}
    )


def sample(second, io=None):
    return Sample(t_ns=second * SECOND, session="local", mono_ns=second * SECOND, io_calls=io)


def test_the_queries_of_others_are_the_work():
    live = state()
    live.extend([status(1, 100, 1), status(2, 151, 2, Threads_connected=9), status(3, 202, 3, Threads_connected=2)])
    view = live.at().sessions[0]
    assert view.query_rate == 50, "connections that end are not a restart"
    assert [point[1] for point in view.work] == [99, 149, 199]
    assert dict(view.server)["Threads_connected"] == 2


def test_a_restart_of_the_server_is_no_step_back():
    live = state()
    live.extend([status(1, 100, Uptime=50), status(2, 150, Uptime=51)])
    live.extend([status(3, 10, Uptime=1), status(4, 30, Uptime=2)])
    view = live.at().sessions[0]
    assert [point[1] for point in view.work] == [100, 150, 160, 180]
    assert view.query_rate == 20


def test_a_server_that_is_gone_has_no_figures_but_the_reason():
    live = state()
    live.extend([status(1, 100), status(2, 150)])
    live.add(State(t_ns=3 * SECOND, session="local", state="running", detail="the server does not answer"))
    view = live.at().sessions[0]
    assert (view.query_rate, view.server) == (None, ())
    assert view.state.detail == "the server does not answer"
    live.extend([status(9, 10), status(10, 15)])
    assert live.at().sessions[0].query_rate == 5


def test_a_workload_of_our_own_is_counted_by_its_client_alone():
    live = state("run")
    live.extend([status(1, 100), status(2, 150)])
    assert len(live.at().sessions[0].work) == 0


def test_reads_and_writes_are_all_that_is_known_without_a_counter():
    live = state()
    live.extend([sample(1, {"server": 5}), sample(2, {"server": 25, "client": 7})])
    view = live.at().sessions[0]
    assert not view.has_calls
    assert view.io_rate == 20
    live.add(sample(3))
    assert live.at().sessions[0].io_rate is None


def test_a_local_session_that_is_to_run_a_workload_shows_no_totals_before_it_begins():
    live = state(kind="run")
    live.extend([Sample(t_ns=t, session="local", mono_ns=t, groups={"server": GroupCpu(t, t, 0)}) for t in (1, 2)])
    assert live.at().sessions[0].groups == ()
    watched = state()
    watched.extend([Sample(t_ns=t, session="local", mono_ns=t, groups={"server": GroupCpu(t, t, 0)}) for t in (1, 2)])
    assert watched.at().sessions[0].groups != ()

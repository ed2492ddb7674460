# SPDX-License-Identifier: GPL-2.0-or-later
"""Watching without a workload: the run's life, and a server that comes and goes."""

import asyncio
import os
import time
from itertools import pairwise

import pymysql
import pytest

from kmltui.model import Environment, Log, Sample, State, Status
from kmltui.recording import Reader
from kmltui.runner import follow, monitor
from kmltui.runner.activity import activity_for
from kmltui.runner.launch import decode, encode
from kmltui.runner.run import Run
from kmltui.sessions.mysql import Address, Login, Peer


class Server:
    """Stands for a login whose server is in this test's hands."""

    login = Login(Address("app", "db.test"), b"geheim")
    where = login.where
    explain = login.explain
    open = True
    server_version = "5.5.5-greeting"

    def __init__(self):
        self.down = False
        self.denied = False
        self.mute = False
        self.questions = 100
        self.began_s = time.monotonic() - 1000
        self.logins = 0
        self.asked = set()
        self.effort_s = self.way_s = 0.0

    def connect(self):
        self.logins += 1
        if self.denied:
            raise self.explain(pymysql.OperationalError(1045, "Access denied for user 'app'"))
        if self.down:
            raise self.explain(pymysql.OperationalError(2003, "Connection refused"))
        self.questions += 1
        return self

    def ask(self, statement, columns):
        if self.down:
            raise pymysql.OperationalError(2013, "Lost connection to MySQL server during query")
        self.questions += 1
        self.asked.add(statement)
        time.sleep(self.way_s)
        if "STATUS" in statement:
            time.sleep(self.effort_s)
        if "VERSION" in statement:
            if self.mute:
                raise pymysql.ProgrammingError(1064, "You have an error in your SQL syntax")
            return [("11.4-test", "a server for tests")]
        return [
            ("Questions", str(self.questions)),
            ("Uptime", str(int(time.monotonic() - self.began_s))),
            ("Variable_text", "x"),
        ]

    def table(self, statement):
        self.questions += 1
        return [], []

    def close(self):
        pass


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    monkeypatch.setattr(follow, "PERIOD_S", 0.02)
    monkeypatch.setattr(follow, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(follow, "find_peer", lambda link: Peer(local=True))

    def make(login=None, duration_s=60.0):
        plan = monitor.plan(
            login, name="m1", duration_s=duration_s, sample_period_ns=50_000_000, out=tmp_path / "m1.kmlrec"
        )
        records = []
        return Run(plan, activity_for(plan), [records.append]), records

    return make


async def until(condition):
    async with asyncio.timeout(60):  # several monitors that begin to count at once wait for each other in the kernel
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def of(records, kind):
    return [record for record in records if isinstance(record, kind)]


async def test_without_a_server_the_host_alone_is_watched_until_the_time_is_over(world):
    run, records = world(duration_s=0.3)
    outcome = await run.execute()
    assert outcome.status == "done"
    marks = [sample.mark for sample in of(records, Sample) if sample.mark]
    assert marks == ["start", "end"]
    assert of(records, Sample)[0].cpus
    assert not of(records, Status)
    with Reader.open(run.path) as reader:
        assert reader.header.kind == "monitor"
        assert [spec.kind for spec in reader.header.sessions] == ["local"]


async def test_stopping_is_an_end_in_order(world):
    run, records = world()
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Sample))
    run.request_stop()
    assert (await task).status == "stopped"
    assert records[-1].status == "stopped"


async def test_the_watchers_own_queries_are_told_apart(world):
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: len(of(records, Status)) >= 3)
    run.request_stop()
    await task
    statuses = of(records, Status)
    for status in statuses:
        assert status.counters["Questions"] - status.own["Questions"] == 100
    facts = of(records, Environment)[-1].facts
    assert facts["mariadb"] == "11.4-test (a server for tests)"
    assert facts["mysql"] == "mysql://app@db.test"
    assert "geheim" not in "".join(map(repr, records))


async def test_a_server_that_goes_and_comes_back_is_a_gap_and_said_once(world):
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    server.down = True
    await until(lambda: server.logins >= 3)
    gone = len(of(records, Status))
    lost = [log for log in of(records, Log) if "trying again" in log.text]
    assert len(lost) == 1
    assert of(records, State)[-1].detail == "the server does not answer; trying again"
    server.down = False
    await until(lambda: len(of(records, Status)) > gone)
    assert [log.text for log in of(records, Log)][-1].startswith("the server is back")
    assert of(records, State)[-1].detail == ""
    run.request_stop()
    assert (await task).status == "stopped"


async def test_a_server_that_was_started_again_has_a_life_more_and_it_is_said(world):
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    server.down = True
    await until(lambda: server.logins >= 2)
    gone = len(of(records, Status))
    server.down, server.began_s, server.questions = False, time.monotonic() - 1, 5000
    await until(lambda: len(of(records, Status)) > gone + 1)
    server.began_s = time.monotonic()  # its clock is set while the connection stays
    await until(lambda: len(of(records, Status)) > gone + 3)
    run.request_stop()
    await task
    assert [status.life for status in of(records, Status)] == [1] * gone + [2] * (len(of(records, Status)) - gone)
    assert any("was restarted" in log.text for log in of(records, Log))


async def test_a_server_on_another_machine_does_not_show_this_ones_cpus(world, monkeypatch):
    monkeypatch.setattr(follow, "find_peer", lambda link: Peer(local=False))
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    await until(lambda: not of(records, Sample)[-1].cpus)
    run.request_stop()
    await task
    assert "another machine" in of(records, Environment)[-1].facts["server"]
    assert all(sample.kml is None for sample in of(records, Sample))  # no process to count calls of: that is not 0


async def test_what_is_no_server_is_named_and_not_counted_as_one(world, monkeypatch):
    monkeypatch.setattr(follow, "find_peer", lambda link: Peer(local=True, pid=os.getpid(), program="ssh"))
    run, records = world(Server())
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    await until(lambda: len(of(records, Sample)) > 2)
    run.request_stop()
    await task
    fact = of(records, Environment)[-1].facts["server"]
    assert fact.startswith(f"reached through ssh (process {os.getpid()}), which is no MySQL or MariaDB server")
    assert not any(sample.groups or sample.kml for sample in of(records, Sample))


async def test_calls_are_counted_from_when_the_servers_process_is_found(world, monkeypatch):
    found = [Peer(local=True)]
    monkeypatch.setattr(follow, "find_peer", lambda link: found[0])
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    assert "calls" not in of(records, Environment)[-1].facts
    server.down = True
    await until(lambda: server.logins >= 2)
    found[0] = Peer(local=True, pid=os.getpid(), program="mariadbd")
    server.down = False
    await until(lambda: of(records, Sample)[-1].groups)
    await until(lambda: "calls" in of(records, Environment)[-1].facts)
    run.request_stop()
    await task


async def test_only_what_is_kept_is_asked_for(world):
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    run.request_stop()
    await task
    (statement,) = (each for each in server.asked if "STATUS" in each)
    assert "'Questions'" in statement and "'Uptime'" in statement and "Ssl_" not in statement


async def test_a_server_that_counts_long_is_asked_less_often(world, monkeypatch):
    monkeypatch.setattr(follow, "SHARE", 0.5)
    server = Server()
    server.effort_s = 0.3  # much longer than a busy machine may hold up an answer
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: len(of(records, Status)) >= 6)
    run.request_stop()
    await task
    times_s = [status.t_ns / 1e9 for status in of(records, Status)][2:]  # by then it is known
    assert all(after - before >= 0.4 for before, after in pairwise(times_s))


async def test_one_answer_that_was_held_up_does_not_keep_the_next_waiting(world, monkeypatch):
    monkeypatch.setattr(follow, "SHARE", 0.005)  # a hundred seconds for half a one
    server = Server()
    server.effort_s = 0.5
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    server.effort_s = 0.0
    await until(lambda: len(of(records, Status)) >= 3)
    run.request_stop()
    await task


async def test_a_server_that_is_far_away_is_asked_as_often(world, monkeypatch):
    monkeypatch.setattr(follow, "SHARE", 0.05)
    server = Server()
    server.way_s = 0.5
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: len(of(records, Status)) >= 4)  # half a second of the server's work would be 10 s, each time
    run.request_stop()
    await task


async def test_a_server_that_does_not_tell_its_version_is_known_by_its_greeting(world):
    server = Server()
    server.mute = True
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))
    run.request_stop()
    await task
    assert of(records, Environment)[-1].facts["mariadb"] == "5.5.5-greeting"


async def test_a_refused_login_does_not_end_what_is_watched_already(world):
    server = Server()
    run, records = world(server)
    task = asyncio.create_task(run.execute())
    await until(lambda: of(records, Status))

    server.down = server.denied = True
    await until(lambda: server.logins >= 3)
    assert not task.done()
    run.request_stop()
    await task


def test_a_plan_with_a_login_survives_the_way_to_the_runner(tmp_path):
    login = Login(Address("app", "h", 3307), bytes(range(256)))
    plan = monitor.plan(login, name="m", duration_s=5, sample_period_ns=10, out=tmp_path / "o.kmlrec", title="t")
    assert decode(encode(plan)) == plan

# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions on the host with the image's own MariaDB: private servers, whole runs, and watching one from outside."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from kmltui.counters.syscalls import NUMBERS
from kmltui.model import End, Environment, Log, Proof, Sample, SessionSpec, State, Status, WorkloadSpec
from kmltui.recording import Reader
from kmltui.runner import monitor
from kmltui.runner.activity import activity_for
from kmltui.runner.plan import Plan
from kmltui.runner.run import Run
from kmltui.runner.server import Server
from kmltui.sessions.journal import Journal
from kmltui.sessions.local import LocalSession
from kmltui.sessions.mysql import Address, Login, MysqlError
from kmltui.sessions.protocol import Command, SessionError

PASSWORD = "never to be seen #1"
LIMIT_S = 60


@pytest_asyncio.fixture(loop_scope="session")
async def here(image):
    """A local session and the records it has emitted."""
    records = []
    session = LocalSession(SessionSpec(name="local", kind="local", image=image.name), 100_000_000)
    try:
        await session.start(Journal.begin(records.append))
        yield session, records
    finally:
        await session.stop()


def of(records, kind):
    return [record for record in records if isinstance(record, kind)]


async def until(condition):
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def run_to_end(session, *argv):
    process = await session.spawn(Command(argv))
    lines = [line async for line in process.lines()]
    return await process.wait(), lines


async def sampled(session, records, mark):
    await session.sample(mark)
    return next(sample for sample in reversed(of(records, Sample)) if sample.mark == mark)


async def test_programs_of_the_image_see_a_root_directory_of_their_own(here):
    session, _ = here
    await session.put("/tmp/given", b"from outside\n", 0o600)
    status, lines = await run_to_end(session, "/bin/sh", "-c", "id -u; cat /tmp/given; echo wrong >&2; exit 7")
    assert status == 7
    assert sorted(lines) == [("stderr", "wrong"), ("stdout", "0"), ("stdout", "from outside")]
    assert await session.get("/tmp/given") == b"from outside\n"
    with pytest.raises(FileNotFoundError):
        await session.get("/tmp/other")
    with pytest.raises(PermissionError):
        await session.put("/usr/bin/sh", b"")


async def test_a_program_that_is_not_there_is_a_clear_error(here):
    session, _ = here
    with pytest.raises(SessionError, match=r"cannot start /usr/bin/nonesuch: .*No such file"):
        await session.spawn(Command(["/usr/bin/nonesuch"]))


async def test_a_program_ended_by_a_signal_has_the_shells_status(here):
    session, _ = here
    process = await session.spawn(Command(["/bin/sleep", "1000"]))
    await process.kill(15)
    assert await process.wait() == 143
    await process.kill(15)


async def test_a_program_is_counted_from_its_first_call_to_its_last(here):
    session, records = here
    before = await sampled(session, records, "before")
    status, _ = await run_to_end(session, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000")
    assert status == 0
    after = await sampled(session, records, "after")
    assert after.groups["client"].usage_us > 0
    assert after.io_calls["client"] >= 40_000
    if after.kml is None:
        assert "root" in of(records, Environment)[0].facts["calls"]
        return
    write = NUMBERS["write"]
    assert 20_000 <= after.kml.trap_nr[write] - before.kml.trap_nr.get(write, 0) < 20_010
    assert not after.kml.direct_nr


async def test_nothing_is_left_of_a_session_whatever_runs_in_it(image):
    session = LocalSession(SessionSpec(name="local", kind="local", image=image.name))
    await session.start(Journal.begin(lambda record: None))
    process = await session.spawn(Command(["/bin/sh", "-c", "sleep 1000 & echo $!; wait"]))
    _, text = await anext(process.lines())
    child = int(text)
    private = Path(session.mysql_address()).parents[2]
    assert private.is_dir()
    await session.stop()
    await session.stop()
    assert not private.exists()
    await until(lambda: not psutil.pid_exists(process.pid) and not psutil.pid_exists(child))


async def test_a_program_dies_with_the_process_that_started_it(image, tmp_path, monkeypatch):
    """Even when that is killed and can clean up nothing."""
    script = (
        "import asyncio, sys, time\n"
        "from kmltui.model import SessionSpec\n"
        "from kmltui.sessions.journal import Journal\n"
        "from kmltui.sessions.local import LocalSession\n"
        "from kmltui.sessions.protocol import Command\n"
        "async def main():\n"
        f"    session = LocalSession(SessionSpec(name='l', kind='local', image={image.name!r}))\n"
        "    await session.start(Journal.begin(lambda record: None))\n"
        "    process = await session.spawn(Command(['/bin/sleep', '1000']))\n"
        "    print(process.pid, flush=True)\n"
        "    await process.wait()\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as runner:  # noqa: ASYNC220
        pid = int(await asyncio.to_thread(runner.stdout.readline))
        assert psutil.pid_exists(pid)
        runner.kill()
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    left = list(tmp_path.iterdir())
    assert left, "it could clean up nothing"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    session = LocalSession(SessionSpec(name="next", kind="local", image=image.name))
    await session.start(Journal.begin(lambda record: None))
    await session.put("/tmp/x", b"")
    assert not any(path in left for path in tmp_path.iterdir()), "the next session sweeps up"
    await session.stop()
    assert list(tmp_path.iterdir()) == []


async def test_a_private_server_listens_on_its_socket_alone(here):
    session, records = here
    server = Server(session, Journal.begin(records.append))
    await server.start()
    try:
        await server.poll_status()
        assert of(records, Status)[-1].counters["Threads_connected"] >= 1
        listening = [c for c in psutil.Process(server.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        assert listening == []
        sample = await sampled(session, records, "up")
        assert sample.groups["server"].usage_us > 0
    finally:
        await server.stop()


async def test_the_same_workload_gives_the_same_results_in_two_local_sessions(image, tmp_path):
    names = ("local", "local-2")
    plan = Plan(
        workload=_wisconsin(),
        sessions=[SessionSpec(name=name, kind="local", image=image.name) for name in names],
        name="two",
        out=tmp_path / "two.kmlrec",
    )
    outcome = await Run(plan, activity_for(plan)).execute()
    assert (outcome.status, outcome.reason) == ("done", "")
    with Reader.open(outcome.recording) as reader:
        records = list(reader.records())
    checksums = [proof for proof in of(records, Proof) if proof.name == "checksum"]
    sums = {name: {proof.subject: proof.value for proof in checksums if proof.session == name} for name in names}
    assert sums["local"]
    assert sums["local"] == sums["local-2"]
    rings = {proof.value for proof in of(records, Proof) if proof.name == "ring"}
    assert all(value.startswith("3 ") for value in rings)
    for name in names:
        end = next(s for s in of(records, Sample) if s.session == name and s.mark == "end")
        assert {"server", "client"} <= end.groups.keys()


def _wisconsin() -> WorkloadSpec:
    from kmltui import workloads

    return workloads.get("wisconsin").spec(loops=1)


class Existing:
    """A MariaDB server that is there already, as far as the monitor knows."""

    def __init__(self, session):
        self.session = session
        self.process = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    @property
    def socket(self):
        return self.session.mysql_address()

    async def start(self):
        sql = f"CREATE OR REPLACE USER app@'%' IDENTIFIED BY '{PASSWORD}';\n"
        await self.session.put("/tmp/init.sql", sql.encode(), 0o600)
        argv = ["/usr/sbin/mariadbd", "--no-defaults", "--user=root", "--datadir=/var/lib/mysql",
                "--bind-address=127.0.0.1", f"--port={self.port}", "--socket=/run/mysqld/mysqld.sock",
                "--init-file=/tmp/init.sql", "--innodb-use-native-aio=0", "--innodb-log-file-size=16M",
                "--innodb-flush-method=fsync", "--skip-log-bin"]  # fmt: skip
        self.process = await self.session.spawn(Command(argv, group="other"))
        self.reader = asyncio.create_task(self._read())
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    (await asyncio.to_thread(self.login().connect)).close()
                    return
                except MysqlError:
                    await asyncio.sleep(0.1)

    async def _read(self):
        async for _ in self.process.lines():
            pass

    async def stop(self):
        await self.process.kill(15)
        await self.process.wait()

    def login(self, **address):
        return Login(Address("app", **(address or {"socket": self.socket})), PASSWORD.encode())


@pytest_asyncio.fixture(loop_scope="session")
async def existing(here, tmp_path):
    server = Existing(here[0])
    await server.start()
    yield server
    await server.stop()


def watching(login, path):
    plan = monitor.plan(login, name=path.stem, duration_s=300, sample_period_ns=200_000_000, out=path)
    records = []
    run = Run(plan, activity_for(plan), [records.append])
    return run, records, asyncio.create_task(run.execute())


@pytest.mark.parametrize("way", ["socket", "port"])
async def test_an_existing_server_is_watched_by_its_process_and_its_counters(existing, tmp_path, way):
    login = existing.login() if way == "socket" else existing.login(host="127.0.0.1", port=existing.port)
    run, records, task = watching(login, tmp_path / "m.kmlrec")
    await until(lambda: len(of(records, Status)) >= 3)
    await until(lambda: of(records, Sample)[-1].groups.get("server"))
    run.request_stop()
    assert (await task).status == "stopped"
    facts = of(records, Environment)[-1].facts
    assert "MariaDB" in facts["mariadb"]
    assert facts["server"] == f"mariadbd, process {existing.process.pid}"
    first, *_, last = of(records, Status)
    own = last.own["Questions"] - first.own["Questions"]
    assert last.counters["Questions"] - first.counters["Questions"] == own, "nobody else asks this server anything"


async def test_a_restarted_server_is_found_again(existing, tmp_path):
    run, records, task = watching(existing.login(), tmp_path / "m.kmlrec")
    await until(lambda: of(records, Status))
    first = existing.process.pid
    await existing.stop()
    await until(lambda: any("trying again" in log.text for log in of(records, Log)))
    assert of(records, State)[-1].detail.startswith("the server does not answer")
    await existing.start()
    await until(lambda: any("is back" in log.text for log in of(records, Log)))
    known = len(of(records, Status))
    await until(lambda: len(of(records, Status)) > known)
    assert not task.done()
    run.request_stop()
    await task
    assert existing.process.pid != first
    assert of(records, Environment)[-1].facts["server"] == f"mariadbd, process {existing.process.pid}"
    usage = [sample.groups["server"].usage_us for sample in of(records, Sample) if "server" in sample.groups]
    assert usage == sorted(usage), "a restart loses no CPU time"


def kmltui(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "kmltui", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        text=True,
    )


@pytest.mark.parametrize("way", ["environment", "file", "option file"])
async def test_a_password_is_nowhere_to_be_seen(existing, tmp_path, way):
    secret = tmp_path / "secret"
    address = f"mysql://app@{existing.socket}"
    arguments, environment = ["--mysql", address], {"HOME": str(tmp_path)}
    match way:
        case "environment":
            environment["MYSQL_PWD"] = PASSWORD
        case "file":
            secret.write_text(PASSWORD + "\n")
            arguments += ["--mysql-password-file", str(secret)]
        case _:
            secret.write_text(f'[client]\nuser=app\npassword="{PASSWORD}"\nsocket={existing.socket}\n')
            arguments = ["--mysql", "mysql://", "--mysql-defaults-file", str(secret)]
    out = tmp_path / "m.kmlrec"
    with kmltui("monitor", "--detach", "--duration", "100s", "--out", str(out), *arguments, **environment) as process:
        output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, output
    name = output.split()[0]
    lines = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert any("kmltui.runner" in line for line in lines)
    assert not any(PASSWORD in line for line in lines)
    with Reader.open(out) as reader:
        records = reader.poll()

        def seen(kind):
            records.extend(reader.poll())
            return of(records, kind)

        await until(lambda: seen(Status))
        with kmltui("stop", name, **environment) as process:
            await asyncio.to_thread(process.communicate)
        await until(lambda: seen(End))
    secret.unlink(missing_ok=True)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    with Reader.open(out) as reader:
        assert PASSWORD not in "".join(map(repr, reader.records())) + repr(reader.header)


@pytest.mark.parametrize(
    ("password", "address", "words"),
    [
        ("wrong", "mysql://app@127.0.0.1:{port}", "refused the login with a password"),
        ("", "mysql://app@127.0.0.1:{port}", "refused the login without a password"),
        ("", "mysql:///nonexistent/socket", "cannot be reached"),
    ],
)
async def test_a_server_that_cannot_be_used_is_said_at_once(existing, tmp_path, password, address, words):
    address = address.format(port=existing.port)
    with kmltui("monitor", "--mysql", address, HOME=str(tmp_path), MYSQL_PWD=password) as process:
        output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert words in output
    assert "Traceback" not in output


async def test_a_program_is_found_by_its_name(here):
    session, _ = here
    assert await run_to_end(session, "echo", "found") == (0, [("stdout", "found")])
    with pytest.raises(SessionError, match="no-such-program"):
        await session.spawn(Command(["no-such-program"]))

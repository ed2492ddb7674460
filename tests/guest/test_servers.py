# SPDX-License-Identifier: GPL-2.0-or-later
"""What a monitor learns of MariaDB 10.11 and 11.8 and of MySQL 9, unpacked from Debian's packages and run on this host.

By hand, since packages of three releases are downloaded: ``pytest -m by_hand tests/guest/test_servers.py``.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmltui.build.apt import Apt
from kmltui.build.sources import host_mirror, read_sources
from kmltui.build.tree import unpack
from kmltui.images.progress import Work, silent
from kmltui.sessions.explain import explain
from kmltui.sessions.inside import Look
from kmltui.sessions.link import Link
from kmltui.sessions.mysql import Address, Login

pytestmark = pytest.mark.by_hand

SERVERS = {
    "MariaDB 10.11": ("bookworm", "mariadb-server-core", "mariadbd"),
    "MariaDB 11.8": ("trixie", "mariadb-server-core", "mariadbd"),
    "MySQL 9": ("sid", "mysql-server-core", "mysqld"),
}
LIMIT_S = 120


def unpacked(root: Path, suite: str, package: str) -> Path:
    """The package and all that it depends on, as a tree of files."""
    apt = Apt(root / "apt", suite, host_mirror(read_sources()))
    apt.update()
    packages = apt.resolve([package])
    with Work(silent, {}).step("fetching") as step:
        apt.fetch(packages, root / "debs", step)
    for each in packages:
        unpack(root / "debs" / each.file_name, root / "tree")
    return root / "tree"


def runnable(tree: Path, program: str) -> list[str]:
    """The start of a command line: the program by its own dynamic linker and libraries, with its own files."""
    linker = next(tree.glob("**/ld-linux-x86-64.so.2"))
    libraries = {str(path.parent) for path in tree.glob("usr/lib/x86_64-linux-gnu/**/*.so*")}
    libraries |= {str(path.parent) for path in tree.glob("lib/x86_64-linux-gnu/*.so*")}
    return [str(linker), "--library-path", ":".join(sorted(libraries)), str(tree / "usr/sbin" / program)]


def shared(tree: Path) -> Path:
    """The directory with the server's messages and scripts, which the releases name differently."""
    return next(path for name in ("mariadb", "mysql") if (path := tree / "usr/share" / name).exists())


def initialised(command: list[str], tree: Path, data: Path) -> None:
    """Make a data directory in which root has no password."""
    if command[-1].endswith("mysqld"):
        subprocess.run(
            [*command, "--no-defaults", "--initialize-insecure", "--user=root", f"--datadir={data}"],
            check=True,
            capture_output=True,
        )
        return
    scripts = shared(tree)
    names = ("system_tables", "performance_tables", "system_tables_data")
    found = [
        next(path for prefix in ("mariadb", "mysql") if (path := scripts / f"{prefix}_{name}.sql").exists())
        for name in names
    ]
    # The last one makes root's account from what the script of the package would have set.
    settings = "create database mysql;\nuse mysql;\nSET @auth_root_socket=NULL, @skip_auth_anonymous='';\n"
    sql = settings + "\n".join(path.read_text() for path in found)
    data.mkdir()
    subprocess.run(
        [*command, "--no-defaults", "--bootstrap", "--user=root", f"--datadir={data}", f"--lc-messages-dir={scripts}"],
        input=sql,
        text=True,
        check=True,
        capture_output=True,
    )


SETUP = (
    "CREATE DATABASE shop",
    "CREATE TABLE shop.orders (id INT PRIMARY KEY, name VARCHAR(40))",
    "INSERT INTO shop.orders VALUES (1, 'secret'), (2, 'b')",
    "CREATE USER reader@localhost",
    "GRANT SELECT, PROCESS ON *.* TO reader@localhost",
    "CREATE USER blind@localhost",
    "SELECT * FROM shop.orders WHERE name = 'secret'",
)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a server, in which a statement with a literal has been executed."""
    suite, package, program = SERVERS[request.param]
    root = tmp_path_factory.mktemp(suite)
    tree = unpacked(root, suite, package)
    command, data = runnable(tree, program), root / "data"
    initialised(command, tree, data)
    socket = Path(f"/tmp/kmltui-{root.stat().st_ino}.sock")  # pytest's own paths are too long for one
    options = ["--no-defaults", "--user=root", f"--datadir={data}", f"--tmpdir={root}", f"--socket={socket}"]
    options += ["--skip-networking", "--performance-schema=ON", f"--pid-file={root}/pid"]
    options += [f"--lc-messages-dir={shared(tree)}", "--innodb-use-native-aio=0"]
    if program == "mariadbd":
        consumers = ("current", "history-long")
        options += [f"--performance-schema-consumer-events-statements-{name}=ON" for name in consumers]
    else:
        options += ["--mysqlx=OFF", "--secure-file-priv="]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not socket.exists():
            assert process.poll() is None and time.monotonic() < deadline, (root / "log").read_text()
            time.sleep(0.2)
        link = login(socket, "root").connect()
        for statement in SETUP:
            link.query(statement)
        link.close()
        yield socket
    finally:
        process.terminate()
        process.wait(60)


def login(socket: Path, user: str) -> Login:
    return Login(Address(user, socket=str(socket)), b"")


def looked(socket: Path, user: str) -> tuple[Look, Link]:
    link = login(socket, user).connect()
    return Look(link, user), link


def test_statements_are_seen_and_no_literal(server: Path) -> None:
    look, link = looked(server, "reader")
    seen = look.look(1, "local")
    link.close()
    (digest,) = [each for each in seen.digests if each.text.startswith("SELECT") and "orders" in each.text]
    assert digest.calls == 1 and "secret" not in digest.text and "?" in digest.text
    assert set(look.absent) == {"replication"} and "REPLICATION CLIENT" in look.absent["replication"]


def test_a_server_that_is_no_replica_is_said_to_be_none(server: Path) -> None:
    look, link = looked(server, "root")
    look.look(1, "local")
    link.close()
    assert look.absent == {"replication": "this server is not a replica"}


def test_a_statement_is_planned(server: Path) -> None:
    look, link = looked(server, "reader")
    digests = look.look(1, "local").digests
    link.close()
    (digest,) = [each for each in digests if each.text.startswith("SELECT") and "orders" in each.text]
    plan = explain(login(server, "reader"), digest.digest, digest.schema)
    assert "orders" in str(plan.rows) and "secret" not in str(plan)


def test_an_account_that_may_see_nothing_is_told_what_to_grant(server: Path) -> None:
    look, link = looked(server, "blind")
    look.look(1, "local")
    link.close()
    assert "GRANT SELECT ON performance_schema.*" in look.absent["digests"]
    assert "GRANT PROCESS" in look.absent["threads"]

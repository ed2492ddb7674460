# SPDX-License-Identifier: GPL-2.0-or-later
"""EXPLAIN on request: what is sent to the server, what is refused, and what is never shown."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from kmltui.sessions.explain import Explanation, NoExplanation, explain
from kmltui.sessions.inside import Look
from kmltui.sessions.mysql import Address, Login

DIGEST = "0123456789abcdef" * 2
PLAN = (["id", "type", "rows"], [("1", "ALL", "200")])
Answer = tuple[list[str], list[tuple[str, ...]]]


class Server:
    """Answers by a word that a statement has in common with a known one."""

    def __init__(self, sample: str, version: str = "10.11.19-MariaDB", **answers: Answer | Exception) -> None:
        self.server_version = version
        self.asked: list[str] = []
        self.schema = ""
        self.answers: dict[str, Answer | Exception] = {
            "EXPLAIN": PLAN,
            "QUERY_SAMPLE_TEXT": pymysql.OperationalError(1054, "Unknown column 'QUERY_SAMPLE_TEXT'"),
            "SQL_TEXT": (["SQL_TEXT"], [(sample,)] if sample else []),
        } | answers

    def connect(self) -> Server:
        return self

    @property
    def address(self) -> Address:
        return Address("watcher")

    def close(self) -> None:
        pass

    def select_db(self, schema: str) -> None:
        self.schema = schema

    def table(self, statement: str, limit_s: float = 1.0) -> Answer:
        self.asked.append(statement)
        for words, answer in self.answers.items():
            if words in statement:
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return [], []


def asked_of(server: Server) -> Explanation:
    return explain(server, DIGEST, "shop")  # type: ignore[arg-type]


def test_a_recent_statement_of_that_kind_is_explained_where_nothing_can_be_written() -> None:
    server = Server("SELECT * FROM orders WHERE name = 'x'")
    assert asked_of(server) == Explanation(["id", "type", "rows"], [["1", "ALL", "200"]])
    assert server.schema == "shop"
    limit, *_, begin, last = server.asked
    assert limit == "SET SESSION max_statement_time=2"
    assert begin == "START TRANSACTION READ ONLY"
    assert last == "EXPLAIN FORMAT=TRADITIONAL SELECT * FROM orders WHERE name = 'x'"


def test_mysql_keeps_a_sample_with_the_digest_and_has_its_own_time_limit() -> None:
    server = Server("", "9.7.4", QUERY_SAMPLE_TEXT=(["QUERY_SAMPLE_TEXT"], [("/* app */ (select 1)",)]))
    assert asked_of(server).rows
    assert server.asked[0] == "SET SESSION max_execution_time=2000"
    assert not any("SQL_TEXT" in statement for statement in server.asked)


@pytest.mark.parametrize(
    "sample",
    [
        "UPDATE orders SET name = 'x'",
        "DELETE FROM orders",
        "CALL p()",
        "WITH a AS (SELECT 1) DELETE FROM orders",
        "ANALYZE SELECT 1",
        "EXPLAIN SELECT 1",
        "/*! DELETE FROM orders */",
        "SELECT * FROM orders INTO OUTFILE '/tmp/x'",
        "SELECT id /*! INTO @v */ FROM orders",
        "SELECT * FROM orders WHERE name IN ('a', ...",
    ],
)
def test_nothing_but_a_whole_select_is_explained(sample: str) -> None:
    server = Server(sample)
    with pytest.raises(NoExplanation):
        asked_of(server)
    assert not any("EXPLAIN" in statement for statement in server.asked)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"SQL_TEXT": ([], [])}, "setup_consumers"),
        ({"SQL_TEXT": pymysql.OperationalError(1142, "SELECT command denied")}, "GRANT SELECT"),
        ({"EXPLAIN": pymysql.OperationalError(1142, "denied to 'w' for 'secret'")}, "GRANT SELECT"),
        ({"EXPLAIN": pymysql.OperationalError(1792, "in a READ ONLY transaction")}, "a function that writes"),
        ({"EXPLAIN": pymysql.OperationalError(1969, "max_statement_time exceeded")}, "within 2 s"),
        ({"EXPLAIN": pymysql.ProgrammingError(1064, "near 'secret'")}, "error 1064"),
        ({"EXPLAIN": IndexError("secret")}, "makes no sense"),
    ],
)
def test_where_there_is_no_plan_it_is_said_why_without_the_statements_values(answers: Any, words: str) -> None:
    with pytest.raises(NoExplanation, match=words) as caught:
        asked_of(Server("SELECT 'secret'", **answers))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("digest", ["", "x' OR '1", DIGEST[:-1], DIGEST.upper(), f"{DIGEST}\n"])
def test_only_a_digest_is_looked_up(digest: str) -> None:
    server = Server("SELECT 1")
    with pytest.raises(NoExplanation):
        explain(server, digest, "shop")  # type: ignore[arg-type]
    assert server.asked == []


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a MariaDB server of this machine's own, with a table and a function that writes."""
    programs = [shutil.which(name) for name in ("mariadbd", "mariadb-install-db", "mariadb")]
    if not all(programs):
        pytest.skip("needs MariaDB's server and client (mariadb-server-core, mariadb-client-core)")
    server, install, client = (str(program) for program in programs)
    directory = tmp_path_factory.mktemp("mariadb")
    where = ["--no-defaults", f"--datadir={directory}/data", f"--tmpdir={directory}"]
    made = [install, *where, "--auth-root-authentication-method=normal"]
    subprocess.run(made, check=True, capture_output=True)
    socket = Path(f"/tmp/kmltui-{directory.stat().st_ino}.sock")  # pytest's own paths are too long for one
    argv = [server, *where, "--user=root", f"--socket={socket}", "--skip-networking", "--performance-schema=ON"]
    argv += ["--performance-schema-consumer-events-statements-history-long=ON", "--innodb-use-native-aio=0"]
    argv += ["--performance-schema-consumer-events-statements-current=ON"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        setup = [client, "--no-defaults", "-uroot", f"-S{socket}", "--default-character-set=utf8mb4"]
        while subprocess.run(setup, input=SETUP.encode(), capture_output=True, check=False).returncode:
            assert process.poll() is None and time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.2)
        yield socket
    finally:
        process.terminate()
        process.wait(30)


SETUP = """
CREATE OR REPLACE DATABASE shop; USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, name VARCHAR(40) CHARACTER SET utf8mb4);
CREATE TABLE log (t INT);
DELIMITER //
CREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO log VALUES (1); RETURN 1; END//
DELIMITER ;
INSERT INTO orders VALUES (1, 'a'), (2, 'b');
CREATE OR REPLACE USER reader@localhost; GRANT SELECT, EXECUTE, PROCESS ON *.* TO reader@localhost;
CREATE OR REPLACE USER blind@localhost; GRANT SELECT ON performance_schema.* TO blind@localhost;
SELECT * FROM orders WHERE name = 'häßlich';
SELECT name FROM orders WHERE id = f();
"""


@pytest.mark.slow
class TestARealServer:
    def explained(self, socket: Path, user: str, words: str) -> Explanation:
        login = Login(Address(user, socket=str(socket)), b"")
        link = login.connect()
        try:
            digests = Look(link, user).look(1, "local").digests
        finally:
            link.close()
        (found,) = (each for each in digests if words in each.text and each.text.startswith("SELECT"))
        return explain(login, found.digest, found.schema)

    def test_it_plans_what_others_have_asked(self, mariadb: Path) -> None:
        plan = self.explained(mariadb, "reader", "NAME = ?")
        row = dict(zip(plan.columns, plan.rows[0], strict=True))
        assert row["table"] == "orders" and row["type"] == "ALL"
        assert "lich" not in str(plan)

    def test_a_function_that_planning_would_call_writes_nothing(self, mariadb: Path) -> None:
        """MariaDB calls it to plan the statement."""
        with pytest.raises(NoExplanation, match="a function that writes"):
            self.explained(mariadb, "reader", "`f`")

    def test_an_account_that_may_not_read_the_table_is_told_so(self, mariadb: Path) -> None:
        with pytest.raises(NoExplanation, match="GRANT SELECT"):
            self.explained(mariadb, "blind", "NAME = ?")

    def test_without_a_server_it_is_said(self) -> None:
        with pytest.raises(NoExplanation, match="cannot be reached"):
            explain(Login(Address("reader", socket="/nowhere.sock"), b""), DIGEST, "")

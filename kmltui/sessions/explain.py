# SPDX-License-Identifier: GPL-2.0-or-later
"""EXPLAIN of a kind of statement of a watched server, on request: its plan is shown and never recorded.

The statement is a recent one of that kind, as the performance schema keeps it, with its values. It stays in this
module: it is sent back to the server it came from, and the server's plan has none of them. Only SELECT is explained, in
a transaction that can write nothing, within a time limit, with the account that watches.
"""

from __future__ import annotations

import re
from contextlib import closing
from typing import NoReturn

import msgspec
import pymysql

from kmltui.sessions.link import Link
from kmltui.sessions.mysql import Login, MysqlError

LIMIT_S = 2
"""Of the server's time. Planning may execute parts of a statement, such as a subquery that gives a constant."""

MAX_ROWS = 40
MAX_CELL = 120

_DIGEST = re.compile(r"[0-9a-f]{32,64}\Z")
_SELECT = re.compile(r"\s*(?:/\*(?!!).*?\*/\s*)*\(*\s*select\b", re.IGNORECASE | re.DOTALL)
_INTO = re.compile(r"\binto\b", re.IGNORECASE)
_CUT_OFF = "..."
"""How the performance schema ends a text that is longer than it keeps."""

_DENIED = {1044, 1142, 1143, 1227, 1345, 1370}
_UNKNOWN = {1049, 1054, 1109, 1146}
_TIMES_OUT = {1969, 3024}
_WOULD_WRITE = {1792}


class Explanation(msgspec.Struct, frozen=True):
    """The server's plan as a table of text."""

    columns: list[str]
    rows: list[list[str]]


class NoExplanation(Exception):
    """There is no plan; the message says why, and what would change that. It holds no value of a statement."""


def explain(login: Login, digest: str, schema: str) -> Explanation:
    """Ask the server for the plan of a statement of this kind. Blocks for some seconds at most.

    ``digest`` and ``schema`` are those of a :class:`~kmltui.model.Digest`.

    Raises NoExplanation: there is none.
    """
    if not _DIGEST.match(digest):
        raise NoExplanation("this is not a digest of a statement")
    try:
        link = login.connect()
    except MysqlError as error:
        raise NoExplanation(str(error)) from None
    account = login.address.user or "this account"
    with closing(link):
        try:
            return _explained(link, digest, schema, account)
        except NoExplanation:
            raise
        except pymysql.MySQLError as error:
            _refused(error, account)
        except Exception as error:  # an unchecked reply; its text may hold a part of the statement
            raise NoExplanation(f"the server's answer makes no sense ({type(error).__name__})") from None


def _explained(link: Link, digest: str, schema: str, account: str) -> Explanation:
    mariadb = "mariadb" in link.server_version.lower()
    _limited(link, mariadb=mariadb)
    statement = _sample(link, digest, schema, account)
    if not _SELECT.match(statement):
        raise NoExplanation("only SELECT is explained")
    if _INTO.search(statement):
        raise NoExplanation("a SELECT … INTO is not explained, because it writes")
    if statement.endswith(_CUT_OFF):
        raise NoExplanation(
            "the server keeps only the beginning of statements as long as this one: raise "
            "performance_schema_max_sql_text_length"
        )
    if schema:
        link.select_db(schema)
    link.table("START TRANSACTION READ ONLY")
    # The traditional table: a tree, which MySQL 9 prints unless told otherwise, holds the statement's values. One
    # statement alone: the connection does not take several at a time.
    columns, rows = link.table(f"EXPLAIN FORMAT=TRADITIONAL {statement}", LIMIT_S + 1.0)
    return Explanation(columns, [[cell[:MAX_CELL] for cell in row] for row in rows[:MAX_ROWS]])


def _limited(link: Link, *, mariadb: bool) -> None:
    link.table(
        f"SET SESSION max_statement_time={LIMIT_S}" if mariadb else f"SET SESSION max_execution_time={LIMIT_S}000"
    )


def _sample(link: Link, digest: str, schema: str, account: str) -> str:
    """A recent statement of that kind, with its values."""
    where = f"DIGEST = '{digest}'"
    same_schema = f"SCHEMA_NAME {'= ' + _hexadecimal(schema) if schema else 'IS NULL'}"
    for ask in (
        f"SELECT QUERY_SAMPLE_TEXT FROM performance_schema.events_statements_summary_by_digest "
        f"WHERE {where} AND {same_schema} AND QUERY_SAMPLE_TEXT IS NOT NULL LIMIT 1",
        f"SELECT SQL_TEXT FROM performance_schema.events_statements_history_long "
        f"WHERE {where} AND SQL_TEXT IS NOT NULL ORDER BY TIMER_START DESC LIMIT 1",
        f"SELECT SQL_TEXT FROM performance_schema.events_statements_history "
        f"WHERE {where} AND SQL_TEXT IS NOT NULL ORDER BY TIMER_START DESC LIMIT 1",
    ):
        try:
            _, rows = link.table(ask)
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in _UNKNOWN:  # MariaDB keeps no sample with the digest
                continue
            _refused(error, account)
        if rows and rows[0][0]:
            return rows[0][0]
    raise NoExplanation(
        "the server has kept no statement of this kind: UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' "
        "WHERE NAME LIKE 'events_statements_%' makes it keep them"
    )


def _hexadecimal(text: str) -> str:
    return f"CONVERT(X'{text.encode().hex()}' USING utf8)"


def _refused(error: pymysql.MySQLError, account: str) -> NoReturn:
    """Say why in words of our own: the server's message may quote the statement."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if code in _DENIED:
        raise NoExplanation(
            f"{account} may not read what the statement reads, or performance_schema: GRANT SELECT on them"
        ) from None
    if code in _TIMES_OUT:
        raise NoExplanation(f"the server did not finish its plan within {LIMIT_S} s") from None
    if code in _WOULD_WRITE:
        raise NoExplanation("planning this statement would call a function that writes") from None
    if code in _UNKNOWN:
        raise NoExplanation("what the statement reads is no longer there") from None
    raise NoExplanation(f"the server refused (error {code})") from None

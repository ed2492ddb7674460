# SPDX-License-Identifier: GPL-2.0-or-later
"""``kmltui monitor``: the screen for this machine and for a server that is already running."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kmltui.cli import common, planning, screen, starting
from kmltui.cli.common import RUN_FAILED, fail
from kmltui.cli.options import RECORDING, WATCHING, Json, RecordingOptions, WatchingOptions

if TYPE_CHECKING:
    from kmltui.runner.plan import Plan
    from kmltui.sessions.mysql import Login

SAMPLE_RATE = 1.0
"""Samples per second, unless the user asks for another rate."""


def monitor(
    *,
    mysql: str | None = None,
    mysql_password_file: Path | None = None,
    mysql_defaults_file: Path | None = None,
    duration: Annotated[str, Parameter(alias="-t")] = "24h",
    recording: RecordingOptions = RECORDING,
    watching: WatchingOptions = WATCHING,
    as_json: Json = False,
) -> int:
    """Watch this machine, and a MySQL or MariaDB server that is already running: no guest, and for the basics no root.

    Shows CPU time of each CPU and of the server, its queries, and its system calls by name: exact as root; otherwise
    the environment page says what is missing. Nothing is changed on the machine. Everything shown is recorded, as in
    every run; without ``--out``, ``--detach`` or ``--headless`` the recording is deleted when you leave the screen.

    The password is never an argument. It is taken from the first of these that has one: ``--mysql-password-file``, the
    environment variable MYSQL_PWD, the option file, a prompt if the server asks for a password.

    Parameters
    ----------
    mysql:
        The server: mysql://USER@HOST:PORT, mysql:///PATH/TO/SOCKET, or mysql:// for the one running here; without a
        password. Default: only this machine.
    mysql_password_file:
        A file whose first line is the password.
    mysql_defaults_file:
        An option file as the mysql client reads it, with a [client] group (default: ~/.my.cnf if it exists).
    duration:
        When to stop, e.g. after 90s, 30m or 24h; this bounds the size of the recording.
    as_json:
        No screen; print as JSON, as ``kmltui ls --json`` does, what was recorded: at the end, or at once with --detach.
    """
    from kmltui.runner.plan import Monitor

    login = _login(mysql, mysql_password_file, mysql_defaults_file)
    plan = _plan(login, duration, recording)
    if login is not None:
        plan = dataclasses.replace(plan, how=Monitor(_checked(login, ask=not watching.headless)))
    watch = screen.watch_passing_run if recording.out is None else screen.watch_run
    return starting.start(plan, watching, watch, as_json=as_json)


def _plan(login: Login | None, duration: str, recording: RecordingOptions) -> Plan:
    from kmltui.model import MONITOR
    from kmltui.runner import monitor as runner
    from kmltui.runner import registry

    period_ns = planning.sample_period_ns(recording, SAMPLE_RATE)
    planning.check_recording(recording)
    length = common.seconds(duration, "--duration")
    if not 0 < length <= runner.MAX_DURATION_S:
        fail(f"--duration {duration}: must be more than 0 and at most 7 days, since the recording grows all the time")
    return runner.plan(
        login,
        name=recording.name or registry.new_name(MONITOR),
        duration_s=length,
        sample_period_ns=period_ns,
        out=recording.out,
        title=recording.title,
    )


def _login(dsn: str | None, password_file: Path | None, option_file: Path | None) -> Login | None:
    from kmltui.sessions.mysql import DsnError, MysqlError, find_login, parse_dsn

    if dsn is None:
        if password_file is not None or option_file is not None:
            fail("a password or an option file needs --mysql; 'mysql://' takes everything from the option file")
        return None
    try:
        return find_login(parse_dsn(dsn), password_file, option_file)
    except DsnError as error:
        fail(f"--mysql {error}")
    except MysqlError as error:
        fail(str(error))


def _checked(login: Login, *, ask: bool) -> Login:
    """Return a login that works. It is tried before anything is started, so that a typo is reported at once."""
    from dataclasses import replace

    from kmltui.sessions.mysql import MysqlError, ask_password

    try:
        try:
            login.connect().close()
        except MysqlError as error:
            if not (error.denied and ask and not login.password and sys.stdin.isatty()):
                raise
            login = replace(login, password=ask_password(login.address))
            login.connect().close()
    except MysqlError as error:
        fail(str(error), RUN_FAILED)
    return login

"""``kmltui monitor``: the screen on this machine and on a server that is there already."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from kmltui.cli import common, screen, starting
from kmltui.cli.common import RUN_FAILED, fail

if TYPE_CHECKING:
    from kmltui.runner.plan import Plan
    from kmltui.sessions.mysql import Login

Flag = Parameter(negative="")


def monitor(
    *,
    mysql: str | None = None,
    mysql_password_file: Path | None = None,
    mysql_defaults_file: Path | None = None,
    duration: Annotated[str, Parameter(alias="-t")] = "24h",
    sample_rate: float = 1.0,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    name: str | None = None,
    title: str = "",
    headless: Annotated[bool, Flag] = False,
    detach: Annotated[bool, Flag] = False,
) -> int:
    """Watch this machine, and a MySQL or MariaDB server that runs already: no guest, and no root for the basics.

    CPU time of each CPU and of the server, its queries, and its system calls by name where that is permitted (as root;
    else as far as it goes, and the environment page says how far). Nothing is changed on the machine. What is shown is
    recorded as in every run; without ``--out``, ``--detach`` or ``--headless`` the recording is gone with the screen.

    The password is never an argument. It comes from the first of: ``--mysql-password-file``, the environment variable
    MYSQL_PWD, the option file, a prompt if the server asks for one.

    Parameters
    ----------
    mysql:
        The server: mysql://USER@HOST:PORT, mysql:///PATH/TO/SOCKET, or mysql:// for the one that runs here; without a
        password. Default: this machine alone.
    mysql_password_file:
        A file whose first line is the password.
    mysql_defaults_file:
        An option file as the mysql client reads it, with a [client] group (default: ~/.my.cnf if it is there).
    duration:
        When it ends by itself, e.g. 90s, 30m or 24h; it bounds the recording.
    sample_rate:
        Samples a second.
    out:
        Keep the recording, in this file.
    name:
        The run's name (default: made from the date).
    title:
        A line of your own, shown with the recording.
    headless:
        No screen; the recording is kept.
    detach:
        Start it in the background, print its name and return; the recording is kept.
    """
    from kmltui.runner.plan import Monitor

    login = _login(mysql, mysql_password_file, mysql_defaults_file)
    plan = _plan(login, duration=duration, sample_rate=sample_rate, out=out, name=name, title=title)
    if login is not None:
        plan = dataclasses.replace(plan, how=Monitor(_checked(login, ask=not headless)))
    watch = None if detach else screen.watch_passing_run if out is None else screen.watch_run
    return starting.start(plan, headless=headless, watch=watch)


def _plan(
    login: Login | None, *, duration: str, sample_rate: float, out: Path | None, name: str | None, title: str
) -> Plan:
    from kmltui.model import MONITOR
    from kmltui.runner import monitor as runner
    from kmltui.runner import registry

    common.check_run_options(sample_rate, name, out)
    length = common.positive_seconds(duration, "--duration")
    if length > runner.MAX_DURATION_S:
        fail(f"--duration {duration}: must be at most 7 days; the recording grows as long as it lasts")
    return runner.plan(
        login,
        name=name or registry.new_name(MONITOR),
        duration_s=length,
        sample_period_ns=round(1e9 / sample_rate),
        out=out,
        title=title,
    )


def _login(dsn: str | None, password_file: Path | None, option_file: Path | None) -> Login | None:
    from kmltui.sessions.mysql import DsnError, MysqlError, find_login, parse_dsn

    if dsn is None:
        if password_file is not None or option_file is not None:
            fail("a password or an option file is of use with --mysql only; 'mysql://' takes all from the option file")
        return None
    try:
        return find_login(parse_dsn(dsn), password_file, option_file)
    except DsnError as error:
        fail(f"--mysql {error}")
    except MysqlError as error:
        fail(str(error))


def _checked(login: Login, *, ask: bool) -> Login:
    """A login that works: found out before anything is started, so that a typo is answered at once."""
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

# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs our sysbench scripts in a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kmltui import clients
from kmltui.sessions.protocol import Command
from kmltui.workloads.client import ClientOutput, ProgressMessage
from kmltui.workloads.declaration import Context

PROGRAM = "/usr/bin/sysbench"
DIRECTORY = "/tmp/kmltui"
DATABASE = "test"
LIBRARY = "kmltui.lua"


async def put_scripts(ctx: Context, *scripts: str) -> None:
    """Copy the named Lua files, and the one that they all share, to where :func:`run_script` finds them."""
    for name in (LIBRARY, *scripts):
        await ctx.session.put(f"{DIRECTORY}/{name}", (clients.DIRECTORY / name).read_bytes())


async def run_script(
    ctx: Context,
    script: str,
    command: str,
    options: Sequence[str],
    fraction: Callable[[ProgressMessage], float | None] | None = None,
    env: Mapping[str, str] | None = None,
) -> ClientOutput:
    """Run a command of one of our scripts to completion; return what it reported. Raises ``WorkloadError``."""
    output = ClientOutput(ctx, f"sysbench {script}", fraction)
    argv = command_line(ctx, f"{DIRECTORY}/{script}", command, options)
    process = await ctx.session.spawn(Command(argv, env=env or {}, stdin=True))
    await output.follow(process)
    return output


def command_line(ctx: Context, script: str, command: str, options: Sequence[str]) -> list[str]:
    """sysbench's arguments. It connects as root over the server's socket, which needs no password."""
    return [
        PROGRAM,
        "--db-driver=mysql",
        f"--mysql-socket={ctx.mysql_socket}",
        "--mysql-user=root",
        f"--mysql-db={DATABASE}",
        *options,
        script,
        command,
    ]


def client_command(ctx: Context, statements: str) -> list[str]:
    """The arguments of the server's own client that execute statements in the same database."""
    return [
        "/usr/bin/mariadb",
        "--no-defaults",
        f"--socket={ctx.mysql_socket}",
        "--user=root",
        DATABASE,
        "-e",
        statements,
    ]

"""Running a sysbench script of ours in a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kmltui.workloads.client import ClientOutput, ProgressMessage
from kmltui.workloads.declaration import ASSETS, Context

PROGRAM = "/usr/bin/sysbench"
DIRECTORY = "/tmp/kmltui"
DATABASE = "test"
LIBRARY = "kmltui.lua"


async def put_scripts(ctx: Context, *scripts: str) -> None:
    """Put the named Lua files, and the one that all of them share, where :func:`run_script` finds them."""
    for name in (LIBRARY, *scripts):
        await ctx.session.put(f"{DIRECTORY}/{name}", (ASSETS / name).read_bytes())


async def run_script(
    ctx: Context,
    script: str,
    command: str,
    options: Sequence[str],
    fraction: Callable[[ProgressMessage], float | None] | None = None,
) -> ClientOutput:
    """Run a command of a script to its end; return what it reported. Raises ``WorkloadError``.

    It connects as root over the server's socket, which needs no password (``unix_socket`` authentication).
    """
    argv = [
        PROGRAM,
        "--db-driver=mysql",
        f"--mysql-socket={ctx.mysql_socket}",
        "--mysql-user=root",
        f"--mysql-db={DATABASE}",
        *options,
        f"{DIRECTORY}/{script}",
        command,
    ]
    output = ClientOutput(ctx, f"sysbench {script}", fraction)
    process = await ctx.session.spawn(argv, group="client", stdin=True)
    await output.follow(process)
    return output

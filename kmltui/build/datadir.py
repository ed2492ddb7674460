# SPDX-License-Identifier: GPL-2.0-or-later
"""The ready data directory, made by the server itself in a guest that boots only for this."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kmltui import clients
from kmltui.images.errors import GuestError, ImageError
from kmltui.images.image import default_memory_bytes
from kmltui.images.progress import Step
from kmltui.machine.accel import choose
from kmltui.machine.channel import Channel
from kmltui.machine.qemu import Vm, VmConfig
from kmltui.machine.wire import SpawnFlag

_LIMIT_S = 300
"""Enough for a boot and the bootstrap under emulation on a busy machine."""

TABLES = ("kmltui.lua", "wisconsin.lua")
"""The workload's own script makes its tables; the last one is the one that is run."""

_SCRIPT = r"""
set -e
hostname localhost  # the scripts make rights for the host that they run on
export LC_ALL=C
cd /usr/share/mariadb 2>/dev/null || cd /usr/share/mysql
mkdir -p /var/lib/mysql
for part in system_tables performance_tables system_tables_data; do
    for name in mariadb_$part.sql mysql_$part.sql; do
        [ -f $name ] && { parts="$parts $name"; break; }
    done
done
{
    # --bootstrap takes one statement a line.
    echo "CREATE DATABASE IF NOT EXISTS mysql;"
    echo "CREATE DATABASE IF NOT EXISTS test;"
    echo "USE mysql;"
    echo "SET @auth_root_socket='root', @skip_auth_anonymous_user=1;"
    cat $parts
} | /usr/sbin/mariadbd --no-defaults --bootstrap --user=root --datadir=/var/lib/mysql --basedir=/usr \
    --innodb-log-file-size=16M --innodb-use-native-aio=0 --innodb-flush-method=fsync --skip-log-bin
cd /
mkdir -p /run/mysqld
/usr/sbin/mariadbd --no-defaults --user=root --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \
    --skip-networking --innodb-log-file-size=16M --innodb-use-native-aio=0 --innodb-flush-method=fsync \
    --skip-log-bin 2>/run/mysqld/log &
server=$!
until /usr/bin/mariadb --no-defaults -S /run/mysqld/mysqld.sock -e "SELECT 1" >/dev/null 2>&1; do
    kill -0 $server 2>/dev/null || { tail -n 5 /run/mysqld/log; exit 1; }
    sleep 0.1
done
/usr/bin/sysbench --db-driver=mysql --mysql-socket=/run/mysqld/mysqld.sock --mysql-user=root --mysql-db=test \
    /run/wisconsin.lua load
kill $server
wait $server
tar -cf /run/data.tar var/lib/mysql
"""


def make(kernel: Path, initrd: Path, archive: Path, step: Step) -> None:
    """Write a tar file of ``var/lib/mysql`` to ``archive``. In it root logs in over the Unix socket without a password,
    there is no anonymous user, and the tables of the Wisconsin benchmark are in the database ``test``.

    Raises :class:`ImageError`. Boots a guest, for some ten seconds; must not be called in an event loop's thread.
    """
    asyncio.run(_make(kernel, initrd, archive, step))


async def _make(kernel: Path, initrd: Path, archive: Path, step: Step) -> None:
    accel = await choose("auto", kernel, initrd)
    memory = default_memory_bytes(initrd)
    vm = Vm(VmConfig(name="build", kernel=kernel, initrd=initrd, accel=accel, memory_bytes=memory))
    try:
        async with asyncio.timeout(_LIMIT_S):
            await vm.start()
            channel = Channel(*vm.control)
            await channel.hello()
            step.at(0.3)
            for name in TABLES:
                await channel.put(f"/run/{name}", (clients.DIRECTORY / name).read_bytes(), 0o644)
            shell = await channel.spawn(["/bin/sh", "-s"], flags=SpawnFlag.STDIN)
            await shell.write(_SCRIPT.encode())
            await shell.close_stdin()
            output = [text async for _, text in shell.lines()]
            if status := await shell.wait():
                last = "\n".join(output[-10:])
                raise ImageError(f"the database cannot be made in the guest (status {status}):\n{last}")
            step.at(0.8)
            with archive.open("wb") as stream:
                await channel.get("/run/data.tar", stream.write)
    except (TimeoutError, GuestError, OSError) as error:
        if isinstance(error, ImageError):
            raise
        console = "\n".join(list(vm.console)[-10:])
        raise ImageError(f"the guest that makes the database failed: {str(error) or 'no answer'}\n{console}") from error
    finally:
        await vm.stop()

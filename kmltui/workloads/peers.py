# SPDX-License-Identifier: GPL-2.0-or-later
"""What others measure who make system calls cheaper: programs that make many, from a byte's copy to a Redis server."""

from __future__ import annotations

from kmltui.workloads.declaration import Option
from kmltui.workloads.script import Script, ScriptWorkload


class Dd(ScriptWorkload):
    name = "dd"
    title = "dd, a byte at a time"
    description = (
        "Copies 100,000 bytes from /dev/zero to /dev/null, one at a time: two system calls a byte and hardly anything "
        "else, so the most that KML can save. A loop is one copy."
    )
    reported = (
        "Userspace Bypass (OSDI 2023) reports 30 to 88 % more throughput for an I/O micro-benchmark of small transfers"
    )
    default_loops = 10
    options = (Option("bytes", "100000", "bytes to be copied", minimum=1, maximum=100_000_000),)
    script = Script(
        command='dd if=/dev/zero of=/dev/null bs=1 count="$BYTES" 2>/run/dd.txt',
        check="""
            grep -qx "$BYTES+0 records in" /run/dd.txt
            grep -x "$BYTES+0 records out" /run/dd.txt
        """,
    )


class Files(ScriptWorkload):
    name = "files"
    title = "find and tar on small files"
    description = (
        "Finds, archives, unpacks and removes 1,000 files of 1 KiB in 50 directories, in memory. A loop is one round."
    )
    default_loops = 5
    script = Script(
        setup="""
            rm -rf /run/files && mkdir -p /run/files/tree/1 && cd /run/files/tree
            head -c 1024 /dev/zero | tr '\\0' k >1/1
            for f in $(seq 2 20); do cp 1/1 1/$f; done
            for d in $(seq 2 50); do cp -r 1 $d; done
        """,
        command="""
            cd /run/files
            rm -rf unpacked && mkdir unpacked
            find tree -type f -size 2 >found.txt
            tar -cf tree.tar tree
            tar -xf tree.tar -C unpacked
        """,
        check="""
            cd /run/files
            [ $(wc -l <found.txt) = 1000 ] || { echo "find found $(wc -l <found.txt) files of 1000"; exit 1; }
            [ $(find unpacked -type f | wc -l) = 1000 ] || { echo "tar has not unpacked 1000 files"; exit 1; }
            find unpacked -type f | sort | xargs cat | sha256sum
        """,
    )


class Processes(ScriptWorkload):
    name = "processes"
    title = "Making processes and threads, and switching between them"
    description = (
        "Makes 500 processes and waits for each, passes a number back and forth between two processes 500 times, and "
        "makes 500 threads: where KML costs more than it saves. A loop is all of it."
    )
    default_loops = 3
    options = (Option("count", "500", "how many of each", minimum=1, maximum=1_000_000),)
    script = Script(
        command='kml-processes "$COUNT" >/run/processes.txt',
        check="cat /run/processes.txt",
    )


class Sqlite(ScriptWorkload):
    name = "sqlite"
    title = "SQLite, each insert a transaction"
    description = (
        "Inserts 1,000 rows into a table of a new database, each committed by itself: the journal is made, written, "
        "synchronised and removed every time. A loop is one database."
    )
    packages = ("sqlite3",)
    default_loops = 3
    script = Script(
        setup="""
            { echo 'CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);'
              for i in $(seq 1000); do echo "INSERT INTO t VALUES($i, 'value $i');"; done; } >/run/inserts.sql
        """,
        command="rm -f /run/test.db && sqlite3 /run/test.db </run/inserts.sql",
        check="""
            [ "$(sqlite3 /run/test.db 'PRAGMA integrity_check')" = ok ] || { echo 'the database is damaged'; exit 1; }
            told=$(sqlite3 /run/test.db "SELECT count(*), sum(id), sum(v = 'value ' || id) FROM t")
            echo "$told"
            [ "$told" = '1000|500500|1000' ]
        """,
    )


class Redis(ScriptWorkload):
    name = "redis"
    title = "Redis, SET and GET"
    description = (
        "redis-benchmark against a Redis server without persistence, over TCP inside the session: 2,000 SETs, then "
        "2,000 GETs, of 50 connections. A loop is both."
    )
    reported = (
        "Redis became faster by 7.6 % with Privbox (USENIX ATC 2022), by 4.4 to 10.8 % (GET) with Userspace Bypass "
        "(OSDI 2023, against KPTI), by 26 % with UKL (EuroSys 2023, with shortcuts past the system calls)"
    )
    packages = ("redis-server",)
    default_loops = 3
    options = (
        Option("size", "3", "bytes of a value", minimum=1, maximum=1 << 20),
        Option("pipeline", "1", "requests that a connection sends at once", minimum=1, maximum=1000),
        Option("clients", "50", "connections", minimum=1, maximum=1000),
        Option("requests", "2000", "SETs, and GETs, of each loop", minimum=1, maximum=10_000_000),
    )
    script = Script(
        server="exec redis-server --bind 127.0.0.1 --port 6379 --save '' --appendonly no --dir /run",
        ready='[ "$(redis-cli ping)" = PONG ] && redis-cli config resetstat',
        command="""
            redis-benchmark -t set,get -n "$REQUESTS" -d "$SIZE" -P "$PIPELINE" -c "$CLIENTS" --csv >/run/redis.csv
        """,
        check="""
            redis-cli info commandstats | tr -d '\\r' >/run/stats.txt
            for command in set get; do
                done=$(sed -n "s/^cmdstat_$command:calls=\\([0-9]*\\),.*failed_calls=0.*/\\1/p" /run/stats.txt)
                echo "$command: ${done:-none} without an error"
                # Every connection may have one batch more under way when the last request is counted.
                [ "${done:-0}" -ge $((REQUESTS * LOOPS)) ]
            done >/run/told.txt || { cat /run/told.txt; exit 1; }
            [ "$(redis-cli strlen key:__rand_int__)" = "$SIZE" ] || { echo 'the value has a wrong length'; exit 1; }
            redis-cli get key:__rand_int__ | sha256sum
        """,
    )


WORKLOADS = (Dd(), Files(), Processes(), Sqlite(), Redis())

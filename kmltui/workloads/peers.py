# SPDX-License-Identifier: GPL-2.0-or-later
"""What other projects that make system calls cheaper measure: programs that make many, from dd to a Redis server."""

from __future__ import annotations

from collections.abc import Mapping

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
        "Userspace Bypass (OSDI 2023) reports an I/O micro-benchmark that becomes 30 to 88 % faster, in a virtual "
        "machine with page-table isolation"
    )
    default_loops = 10
    unit = "byte"
    unit_s = 1.3e-6
    options = (Option("bytes", "100000", "bytes to copy", minimum=1, maximum=100_000_000),)
    script = Script(
        command='dd if=/dev/zero of=/dev/null bs=1 count="$BYTES" 2>/run/dd.txt',
        check="""
            grep -qx "$BYTES+0 records in" /run/dd.txt
            grep -x "$BYTES+0 records out" /run/dd.txt
        """,
    )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return int(options["bytes"])


class Files(ScriptWorkload):
    name = "files"
    title = "find and tar on small files"
    description = (
        "Finds, archives, unpacks and removes 1,000 files of 1 KiB in 50 directories, in memory. A loop is one round."
    )
    default_loops = 5
    unit = "file"
    unit_s = 1.3e-4
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

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return 1000


class GitStatus(ScriptWorkload):
    name = "git"
    title = "git status"
    description = (
        "git status in a repository of 1,000 files, one of them changed, one new: git looks at every file. "
        "A loop is one git status."
    )
    packages = ("git",)
    default_loops = 5
    unit = "file"
    unit_s = 4e-5
    script = Script(
        setup="""
            rm -rf /run/repository && mkdir -p /run/repository && cd /run/repository
            export HOME=/run GIT_CONFIG_NOSYSTEM=1
            for d in $(seq 50); do
                mkdir $d
                for f in $(seq 20); do echo "$d $f" >$d/$f; done
            done
            # Otherwise git would read those as old as its index, to be sure of them.
            find . -type f -exec touch -d '2020-01-02 00:00' {} +
            git init -q -b main . && git add . && git -c user.name=k -c user.email=k@localhost commit -q -m all
            echo changed >1/1 && echo new >new
        """,
        command="cd /run/repository && HOME=/run git status --porcelain >/run/status.txt",
        check="""
            cat /run/status.txt
            [ "$(cat /run/status.txt)" = " M 1/1
?? new" ] || { echo 'git status is wrong'; exit 1; }
        """,
    )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return 1000


class Processes(ScriptWorkload):
    name = "processes"
    title = "Creating processes and threads, and switching between them"
    description = (
        "Creates 500 processes and waits for each, passes a number back and forth between two processes 500 times, and "
        "creates 500 threads: where KML costs more than it saves. A loop is all of it."
    )
    default_loops = 3
    unit = "process or thread"
    unit_s = 1.7e-4
    options = (Option("count", "500", "how many of each", minimum=1, maximum=1_000_000),)
    script = Script(
        command='kml-processes "$COUNT" >/run/processes.txt',
        check="cat /run/processes.txt",
    )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return 2 * int(options["count"])


class Sqlite(ScriptWorkload):
    name = "sqlite"
    title = "SQLite, each insert a transaction"
    description = (
        "Inserts 1,000 rows into a table of a new database, each committed by itself: the journal is created, "
        "written, synced and deleted every time. A loop is one database."
    )
    packages = ("sqlite3",)
    default_loops = 3
    unit = "transaction"
    unit_s = 1.5e-4
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

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return 1000


class Redis(ScriptWorkload):
    name = "redis"
    title = "Redis, SET and GET"
    description = (
        "redis-benchmark against a Redis server without persistence, over TCP inside the session: 2,000 SETs, then "
        "2,000 GETs, of 50 connections. A loop is both."
    )
    reported = (
        "Redis became faster by up to 7.6 % with Privbox (USENIX ATC 2022), by 4.4 to 10.8 % (GET of 1 B to 4 KiB) "
        "with Userspace Bypass (OSDI 2023, in a virtual machine with page-table isolation), by 26 % with UKL (EuroSys "
        "2023, with shortcuts past the system calls)"
    )
    packages = ("redis-server",)
    default_loops = 3
    unit = "request"
    unit_s = 6e-5
    options = (
        Option("size", "3", "size of a value in bytes", minimum=1, maximum=1 << 20),
        Option("pipeline", "1", "requests that a connection sends at once", minimum=1, maximum=1000),
        Option("clients", "50", "connections", minimum=1, maximum=1000),
        Option("requests", "2000", "SETs per loop, and GETs", minimum=1, maximum=10_000_000),
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

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return 2 * int(options["requests"])


class Nginx(ScriptWorkload):
    name = "nginx"
    title = "nginx, one small file"
    description = (
        "ApacheBench asks an nginx server for one file of 1 KiB, over 10 connections that stay open, over TCP inside "
        "the session. A loop is 2,000 requests."
    )
    packages = ("nginx", "apache2-utils")
    default_loops = 3
    unit = "request"
    unit_s = 8e-5
    options = (
        Option("size", "1024", "size of the file in bytes", minimum=1, maximum=64 << 20),
        Option("clients", "10", "connections", minimum=1, maximum=1000),
        Option("requests", "2000", "requests per loop", minimum=1, maximum=10_000_000),
    )
    script = Script(
        setup="""
            rm -rf /run/www && mkdir -p /run/www
            head -c "$SIZE" /dev/zero | tr '\\0' k >/run/www/file
            cat >/run/nginx.conf <<END
            user root;
            daemon off;
            pid /run/nginx-kmltui.pid;
            error_log stderr;
            events { worker_connections 2048; }
            http {
                access_log off;
                keepalive_requests 100000000;
                server { listen 127.0.0.1:8080; root /run/www; }
            }
END
        """,
        server="exec nginx -c /run/nginx.conf",
        ready="ab -q -n 1 http://127.0.0.1:8080/file",
        command="""
            ab -q -k -n "$REQUESTS" -c "$CLIENTS" http://127.0.0.1:8080/file >/run/ab.txt
        """,
        check="""
            told() { sed -n "s/^$1: *\\([0-9]*\\).*/\\1/p" /run/ab.txt; }
            echo "$(told 'Complete requests') requests, $(told 'HTML transferred') bytes"
            [ "$(told 'Failed requests')" = 0 ] && ! grep -q '^Non-2xx' /run/ab.txt
            [ "$(told 'Complete requests')" = "$REQUESTS" ]
            [ "$(told 'HTML transferred')" = $((REQUESTS * SIZE)) ]
        """,
    )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return int(options["requests"])


class Memcached(ScriptWorkload):
    name = "memcached"
    title = "memcached, GET"
    description = (
        "memcslap reads values of about 400 bytes from a memcached server, over TCP inside the session. A loop is 4 "
        "connections of 500 GETs each, after 500 values have been set."
    )
    packages = ("memcached", "libmemcached-tools")
    default_loops = 3
    unit = "request"
    unit_s = 8e-5
    options = (
        Option("clients", "4", "connections", minimum=1, maximum=100),
        Option("requests", "500", "GETs per connection", minimum=1, maximum=1_000_000),
    )
    script = Script(
        server="exec memcached -u root -l 127.0.0.1 -p 11211 -t 1 -m 64",
        ready="memcping --servers=127.0.0.1:11211",
        command="""
            memcslap --servers=127.0.0.1:11211 --test=get --initial-load=500 --concurrency="$CLIENTS" \\
                --execute-number="$REQUESTS" >/run/memcslap.txt
        """,
        check="""
            memcstat --servers=127.0.0.1:11211 >/run/memcstat.txt
            told() { sed -n "s/^[[:space:]]*$1: *\\([0-9]*\\).*/\\1/p" /run/memcstat.txt; }
            echo "$(told cmd_get) read, $(told get_misses) missing"
            [ "$(told cmd_get)" = $((REQUESTS * CLIENTS * LOOPS)) ] && [ "$(told get_misses)" = 0 ]
        """,
    )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return int(options["requests"]) * int(options["clients"])


class Postgres(ScriptWorkload):
    name = "postgres"
    title = "PostgreSQL, one row by its key"
    description = (
        "pgbench -S against a PostgreSQL server over a Unix socket: each query reads one row of 100,000. A loop is "
        "1,000 queries of one connection."
    )
    packages = ("postgresql",)
    default_loops = 3
    unit = "query"
    unit_s = 1.6e-4
    options = (Option("queries", "1000", "queries per loop", minimum=1, maximum=10_000_000),)
    script = Script(
        setup="""
            # Selects leave the database as it is: it is made once in a session.
            [ -e /run/postgres/made ] && exit
            mkdir -p /run/postgres/socket && chown -R postgres /run/postgres
            bin=$(echo /usr/lib/postgresql/*/bin) && ln -sfn "$bin" /run/postgres-bin
            su -s /bin/sh postgres -c \\
                '/run/postgres-bin/initdb -D /run/postgres/data -A trust --locale=C --no-sync' >/run/initdb.txt
        """,
        server="""
            exec su -s /bin/sh postgres -c 'exec /run/postgres-bin/postgres -D /run/postgres/data \\
                -k /run/postgres/socket -c listen_addresses= -c fsync=off -c autovacuum=off -c jit=off'
        """,
        ready="""
            [ -e /run/postgres/made ] && exec /run/postgres-bin/pg_isready -h /run/postgres/socket
            /run/postgres-bin/pgbench -h /run/postgres/socket -U postgres -i -q postgres && touch /run/postgres/made
        """,
        command="""
            /run/postgres-bin/pgbench -h /run/postgres/socket -U postgres -S -n -M prepared -t "$QUERIES" postgres \\
                >/run/pgbench.txt
        """,
        check="""
            grep "actually processed: $QUERIES/$QUERIES" /run/pgbench.txt
            ! grep 'failed transactions: [1-9]' /run/pgbench.txt
        """,
    )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        return int(options["queries"])


WORKLOADS = (Dd(), Files(), GitStatus(), Processes(), Sqlite(), Redis(), Nginx(), Memcached(), Postgres())

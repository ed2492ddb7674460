# SPDX-License-Identifier: GPL-2.0-or-later
"""The Wisconsin benchmark as sql-bench's ``test-wisconsin`` runs it: the workload of the article's Table 2.

Its tables, phases and statements are in ``wisconsin.lua``, a script for sysbench. With loops, each select is repeated
that often before the next begins, as in sql-bench. With a duration, the ten selects are run in rounds until the time is
over, so that every statement gets its share. Loops compare CPU time for equal work, a duration compares throughput in
equal time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec.structs import replace

from kmltui.model import WorkloadSpec
from kmltui.workloads.client import ProgressMessage
from kmltui.workloads.declaration import Context, Option, UsageError, Workload, WorkloadError
from kmltui.workloads.sysbench import put_scripts, run_script

SCRIPT = "wisconsin.lua"
ARTICLE_CLIENT = "/usr/lib/kmltui/article_client.so"
"""In the session: see ``article_client.c``."""

INSERTS = 31_000
CHANGES = 14

SELECT_COST = (250, 2100, 80, 210, 2600, 2350, 2480, 2350, 660, 66)
INSERT_COST = 35
"""Microseconds for one select of each kind and for an insert, measured once with MyISAM; only for the progress bar."""

LOOP_S, READS_S, LOADING_S = 0.13, 0.04, 30.0
"""In 10⁹ instructions: the ten selects, what they take in addition with the article's client, and filling the tables
(which an emulator does at a third of its speed; that is included)."""

LOADING = ("create", "insert", "delete")
"""The phases that make and fill the tables; skipped with ready tables."""


class Wisconsin(Workload):
    name = "wisconsin"
    title = "Wisconsin benchmark"
    description = (
        "The database benchmark of the article: 31,000 inserts, then ten selects repeated loop-count times and "
        "14 single-row changes on MariaDB, by one C client in the session. The article ran 10,000 loops."
    )
    bound = "either"
    default_loops = 100
    article = True
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "engine",
            "MyISAM",
            "storage engine: MyISAM, the article's, reads rows with system calls; InnoDB, from its own cache",
            choices=("MyISAM", "InnoDB"),
        ),
        Option(
            "net_buffer_length",
            "16384",
            "size of the server's send buffer in bytes: a smaller one causes more system calls for the same rows",
            minimum=1024,
            maximum=1_048_576,
        ),
        Option(
            "client",
            "article",
            "how the client reads. article: one call for each packet's header and one for its body, as the library of "
            "the article's MySQL 4.1 did; buffered: many packets at once, as today's library does",
            choices=("article", "buffered"),
        ),
        Option(
            "tables",
            "fresh",
            "fresh: created and filled as part of the benchmark; ready: those in the guest image, so that the selects "
            "start at once",
            choices=("fresh", "ready"),
        ),
    )
    phases: ClassVar[tuple[str, ...]] = ("create", "insert", "delete", "select", "change")
    statements = (
        "100 rows by unique2",
        "1000 rows by unique1",
        "1 row by unique2",
        "100 rows by unique2, again",
        "tenk1 joined with itself, 1000 rows",
        "tenk1 joined with Bprime, 1000 rows",
        "onek and tenk1 twice joined, 1000 rows",
        "6 columns of all 10000 rows",
        "all of onek, 1000 rows",
        "minimum of unique2",
        "insert 1",
        "insert 2",
        "delete 1",
        "delete 2",
        "update of a key 1",
        "update of a key 2",
        "insert 3",
        "insert 4",
        "delete 3",
        "delete 4",
        "update of a key 3",
        "update of a key 4",
        "update of a key 5",
        "update of a key 6",
    )

    def spec(
        self,
        loops: int | None = None,
        duration_s: float | None = None,
        options: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> WorkloadSpec:
        spec = super().spec(loops, duration_s, options, command)
        if spec.options["tables"] == "fresh":
            return spec
        if spec.options["engine"] != "MyISAM":
            raise UsageError("the ready tables are MyISAM: leave out --tables ready for another --engine")
        return replace(spec, phases=[phase for phase in spec.phases if phase not in LOADING])

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        each = LOOP_S + (READS_S if spec.options["client"] == "article" else 0.0)
        return each * (spec.loops or 0) + (LOADING_S if LOADING[0] in spec.phases else 0.0)

    def server_settings(self, spec: WorkloadSpec) -> tuple[str, ...]:
        return (f"--net-buffer-length={spec.options['net_buffer_length']}",)

    async def prepare(self, ctx: Context) -> None:
        await put_scripts(ctx, SCRIPT)
        if ctx.spec.options["tables"] == "ready":
            await run_script(ctx, SCRIPT, "restore", [])

    async def run(self, ctx: Context) -> None:
        spec = ctx.spec
        by_article = spec.options["client"] == "article"
        bound = f"--loops={spec.loops}" if spec.loops else f"--seconds={spec.duration_s}"
        output = await run_script(
            ctx,
            SCRIPT,
            "wisconsin",
            [bound, f"--engine={spec.options['engine']}", f"--tables={spec.options['tables']}"],
            fraction=lambda message: fraction_done(spec, message),
            env={"LD_PRELOAD": ARTICLE_CLIENT} if by_article else {},
        )
        if by_article and not output.reads_by_packet:
            raise WorkloadError(f"{ctx.name}: the client did not load {ARTICLE_CLIENT}; is the guest image up to date?")
        expected = len(SELECT_COST) * (spec.loops or 0) + CHANGES
        if spec.loops and output.statements != expected:
            raise WorkloadError(f"{ctx.name}: {output.statements} statements were executed, not {expected}")

    async def check(self, ctx: Context) -> None:
        output = await run_script(ctx, SCRIPT, "check", [])
        expected = len(SELECT_COST) + 1
        if len(output.checksums) != expected:
            raise WorkloadError(f"{ctx.name}: {len(output.checksums)} results were checksummed, not {expected}")


def fraction_done(spec: WorkloadSpec, message: ProgressMessage) -> float | None:
    """The fraction of the whole work that is done, 0 to 1. Bounded by a duration, it is the client's figure, for the
    selects."""
    if not spec.loops:
        return message.fraction
    selects = sum(SELECT_COST) * spec.loops
    loading = INSERTS * INSERT_COST if LOADING[0] in spec.phases else 0
    done = 0.0
    match message.phase:
        case "create":
            pass
        case "insert":
            done = message.loop * INSERT_COST
        case "select":
            before = SELECT_COST[: message.statement - 1]
            done = loading + sum(before) * spec.loops + SELECT_COST[message.statement - 1] * message.loop
        case "change":
            done = loading + selects
        case _:
            done = loading
    return done / (loading + selects)


WORKLOADS = (Wisconsin(),)

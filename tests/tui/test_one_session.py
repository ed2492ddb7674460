# SPDX-License-Identifier: GPL-2.0-or-later
"""A run with a single session: one pane as wide as the screen, and tables without a second side."""

from __future__ import annotations

import pytest
from tui_support import MemorySource

from kmltui.model import (
    MONITOR,
    CpuTicks,
    Digest,
    Environment,
    GroupCpu,
    Header,
    Inside,
    KmlCounters,
    Record,
    Sample,
    ServerThread,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.cpus import CpusPage
from kmltui.tui.pages.live import LivePage
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.player import Player
from kmltui.tui.text import width

S = 1_000_000_000


def monitor(seconds: int = 10, *, remote: bool = False, counted: bool = True) -> list[Record]:
    """A server that is watched: 50 queries and 400 system calls a second."""
    records: list[Record] = [State(t_ns=0, session="local", state="running")]
    for second in range(1, seconds + 1):
        ticks = CpuTicks(user=60 * second, nice=0, system=20 * second, idle=20 * second)
        records.append(
            Sample(
                t_ns=second * S,
                session="local",
                mono_ns=second * S,
                mark="start" if second == 1 else "",
                cpus={} if remote else {0: ticks, 1: ticks},
                groups={} if remote else {"server": GroupCpu(300_000 * second, 200_000 * second, 100_000 * second)},
                kml=KmlCounters(trap_nr={0: 300 * second, 1: 100 * second}) if counted and not remote else None,
                io_calls=None if counted else {"server": 250 * second},
            )
        )
        counters = {"Queries": 1000 + 51 * second, "Threads_connected": 7, "Uptime": 3600 + second}
        records.append(Status(t_ns=second * S, session="local", counters=counters, own={"Queries": second}))
    return records


def drawn(page: Page, records: list[Record], size: tuple[int, int] = (100, 30)) -> str:
    source = MemorySource(records, live=True)
    spec = SessionSpec(name="local", kind="local", vcpus=2)
    source.header = Header(run="m", workload=WorkloadSpec(name=MONITOR), sessions=[spec], kind="monitor")
    player = Player(source)
    player.tick(0)
    lines = page.draw(player.tick(S), Canvas(*size, UNICODE, call_name))
    assert len(lines) == size[1]
    assert all(width(line) <= size[0] for line in lines)
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize("size", [(60, 18), (80, 22), (100, 30), (160, 48), (200, 60)])
def test_there_is_one_pane_at_every_size(size: tuple[int, int]) -> None:
    text = drawn(LivePage(), monitor(), size)
    assert text.count("LOCAL") == 1
    assert UNICODE.tee_down not in text


def test_the_pane_shows_the_server_its_calls_and_its_cpu_time() -> None:
    text = drawn(LivePage(), monitor())
    assert "queries/s       50" in text
    assert "connections 7" in text
    assert "up 1:00:10" in text
    assert "syscalls/s 400" in text
    assert "direct" not in text, "without KML there is one way into the kernel"
    server = next(line for line in text.splitlines() if line.startswith(" server"))
    assert server.split() == ["server", "2.7", "1.8", "0.9"]


def test_calls_that_are_not_counted_are_absent_and_what_is_known_is_said() -> None:
    text = drawn(LivePage(), monitor(counted=False))
    assert "not counted in this session; reads and writes, a part of them: 250" in text
    assert "not counted here" in drawn(CallsPage(), monitor(counted=False))


def test_the_cpus_of_another_machine_are_absent() -> None:
    text = drawn(LivePage(), monitor(remote=True))
    assert "the CPUs cannot be seen from here" in text
    assert "queries/s       50" in text


def test_a_server_that_is_gone_is_said_to_be() -> None:
    gone = State(t_ns=11 * S, session="local", state="running", detail="the server does not answer; trying again")
    text = drawn(LivePage(), [*monitor(), gone])
    assert "the server does not answer; trying again" in text
    assert "connections" not in text


def test_why_a_run_was_stopped_is_not_told_of_a_server_that_it_did_not_watch() -> None:
    reason = "by a viewer"
    records = [record for record in monitor() if not isinstance(record, Status)]
    records.append(State(t_ns=11 * S, session="local", state="stopped", detail=reason))
    assert "queries" not in drawn(LivePage(), records)
    shown = drawn(QueriesPage(), records)
    assert "no server is watched" in shown and reason not in shown


def test_the_table_of_calls_has_one_side() -> None:
    text = drawn(CallsPage(), monitor())
    head = next(line for line in text.splitlines() if "calls/s" in line and "in all" in line and "share" in line)
    assert "stock" not in head
    read = next(line for line in text.splitlines() if line.startswith(" read"))
    assert read.split()[:4] == ["read", "300", "2,700", "75.0"]


def test_cpus_and_queries_have_one_side() -> None:
    assert drawn(CpusPage(), monitor()).count("cpu0") == 1
    assert "queries/s 50" in drawn(QueriesPage(), monitor())


def test_a_watched_servers_statements_are_a_table_and_what_it_does_not_tell_is_said() -> None:
    def inside(t_s: int, calls: int) -> Inside:
        slow = Digest("a", "shop", "SELECT * FROM `orders` WHERE `id` = ?", calls, calls * 2000, calls * 7, calls, 0)
        return Inside(
            t_ns=t_s * S,
            session="local",
            digests=[slow],
            threads=[ServerThread("app\x1b[2J", "shop", "Query", 12, "Sending data")],
        )

    told = Environment(t_ns=S, session="local", facts={"absent replication": "watcher may not see it: GRANT x"})
    shown = drawn(QueriesPage(), [*monitor(), told, inside(2, 100), inside(12, 1100)])
    assert "SELECT * FROM `orders` WHERE `id` = ?" in shown
    assert "0.20" in shown, "200 milliseconds of each second"
    assert "100" in shown and "2 ms" in shown
    assert "no replication: watcher may not see it: GRANT x" in shown
    assert "app␛[2J" in shown and "\x1b" not in shown

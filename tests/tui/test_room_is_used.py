# SPDX-License-Identifier: GPL-2.0-or-later
"""Room is used for what can be told: the scale of bars, all arms of a bench, what is awaited."""

from __future__ import annotations

import pytest
from made_up_run import S, boot, run
from test_one_session import drawn, monitor
from tui_support import MemorySource

from kmltui.model import (
    CpuTicks,
    Environment,
    GroupCpu,
    Header,
    Record,
    Repeat,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas, Page
from kmltui.tui.pages.calls import CallsPage
from kmltui.tui.pages.live import LivePage
from kmltui.tui.pages.projector import ProjectorPage
from kmltui.tui.player import Player
from kmltui.tui.text import plain

ARMS = ("stock", "stock+libc", "stock+idt", "kml")


def rows(page: Page, records: list[Record], size: tuple[int, int], header: Header | None = None) -> list[str]:
    source = MemorySource(records, live=True)
    source.header = header or source.header
    return [plain(line) for line in page.draw(Player(source).tick(0), Canvas(*size, UNICODE, call_name))]


class TestBars:
    @pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (160, 48), (200, 60)])
    def test_their_scale_is_named(self, size: tuple[int, int]) -> None:
        assert sum("largest" in row for row in rows(LivePage(), list(run(60)), size)) == 1

    @pytest.mark.parametrize(("width", "least"), [(116, 7), (120, 9), (125, 10), (126, 7), (160, 20)])
    def test_the_table_of_calls_has_them_from_116_columns_on(self, width: int, least: int) -> None:
        table = rows(CallsPage(), list(run(60)), (width, 20))
        assert "of the largest" in table[1]
        assert table[3].count(UNICODE.full) >= least and all(len(row) <= width for row in table)


class TestBeforeTheWorkload:
    def test_calls_that_will_be_counted_are_not_said_to_be_uncounted(self) -> None:
        text = "\n".join(rows(CallsPage(), boot(), (100, 20)))
        assert "no system calls have been counted yet: the workload has not begun" in text
        assert "not counted here" not in text

    def test_a_server_that_was_found_and_cannot_be_counted_will_not_be(self) -> None:
        assert "not counted here" in drawn(CallsPage(), monitor(counted=False))
        unknown = [each for each in monitor(1, counted=False) if not isinstance(each, Status)]
        assert "have been counted yet" in drawn(CallsPage(), unknown)
        told = Environment(t_ns=0, session="local", facts={"calls": "not counted: that needs root"})
        assert "not counted here" in drawn(CallsPage(), [told, *unknown])

    def test_the_audience_is_told_what_is_awaited_in_place_of_a_chart_of_zeros(self) -> None:
        until = [each for each in boot() if each.t_ns <= 2 * S]  # type: ignore[union-attr]
        text = "\n".join(rows(ProjectorPage(), until, (120, 30)))
        assert "Nothing has been counted yet" in text and "stock: booting, starting QEMU" in text
        assert "0–0" not in text


def four_arms(pairs: int) -> list[Record]:
    """Turns of four arms; the last one has begun and is stock+idt's."""
    records: list[Record] = [State(t_ns=0, session=name, state="ready") for name in ARMS]
    share = {"stock": 1.0, "stock+libc": 1.01, "stock+idt": 1.004, "kml": 0.967}
    sums, t, order = dict.fromkeys(ARMS, 0.0), S, 0
    for pair in range(pairs + 1):
        for name in ARMS if pair % 2 else ARMS[::-1]:
            begin = Repeat(t_ns=t, session=name, pair=pair, event="begin", order=order, pairs=10)
            records += [State(t_ns=t, session=name, state="running"), begin]
            if pair == pairs and name == "stock+idt":
                return records
            for mark, at in (("start", t), ("end", t + 4 * S)):
                sums[name] += 1e7 * share[name] * (1 + 0.01 * (pair % 3)) if mark == "end" else 0
                total = int(sums[name])
                ticks = CpuTicks(total // 10_000, 0, 10, 5)
                used = {"server": GroupCpu(total, total * 4 // 5, total // 5)}
                records.append(Sample(t_ns=at, session=name, mono_ns=at, mark=mark, cpus={0: ticks}, groups=used))
            t, order = t + 5 * S, order + 1
            records += [
                Repeat(t_ns=t, session=name, pair=pair, event="end", order=order - 1, pairs=10),
                State(t_ns=t, session=name, state="ready"),
            ]
    raise AssertionError("there is a turn of stock+idt in every pair")


class TestABenchOfFourArms:
    HEADER = Header(
        kind="bench",
        workload=WorkloadSpec(name="wisconsin", loops=10),
        sessions=[SessionSpec(name=name, arm=name) for name in ARMS],  # type: ignore[arg-type]
    )

    @pytest.mark.parametrize("size", [(80, 24), (120, 40)])
    def test_while_an_arm_that_is_not_shown_works_the_panes_tell_of_all_of_them(self, size: tuple[int, int]) -> None:
        table = rows(LivePage(), four_arms(4), size, self.HEADER)
        text = "\n".join(table)
        assert text.count("stock+idt is at work") == 2
        left = [row[: size[0] // 2] for row in table]
        right = [row[size[0] // 2 :] for row in table]
        at = next(index for index, row in enumerate(left) if "CPU seconds a turn, means so far" in row)
        assert [row.split()[0] for row in left[at + 1 : at + 5]] == list(ARMS)
        at = next(index for index, row in enumerate(right) if "saved so far, compared with stock" in row)
        assert [row.split()[:3] for row in (row.strip("│ ") for row in right[at + 1 : at + 4])] == [
            ["stock+libc", "−1.0", "%"],
            ["stock+idt", "−0.4", "%"],
            ["kml", "3.3", "%"],
        ]

    def test_its_means_are_of_the_same_pairs_as_the_table_below(self) -> None:
        table = rows(LivePage(), four_arms(4), (120, 40), self.HEADER)
        total = next(row for row in table if row.startswith(" total")).split()
        at = next(index for index, row in enumerate(table) if "CPU seconds a turn" in row)
        means = {row.split()[0]: row.split()[1] for row in table[at + 1 : at + 5]}
        assert (means["stock"], means["kml"]) == (total[1], total[2])

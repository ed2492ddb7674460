# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that is watched: its statements, the plan of one of them, and an account that may see little."""

from __future__ import annotations

import pytest
from test_callcost import OF_PROCESSES, TRAP
from test_one_session import S, monitor
from tui_support import MemorySource, MockControls, Picture

from kmltui.model import MONITOR, Digest, Environment, Header, Inside, Record, SessionSpec, WorkloadSpec
from kmltui.tui.app import ViewerApp
from kmltui.tui.controls import QueryPlan
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.pages.queries import QueriesPage
from kmltui.tui.player import Player
from kmltui.tui.screens.dialogs import Table
from kmltui.tui.screens.main import MainScreen
from kmltui.tui.text import plain
from kmltui.tui.widgets.lines import Lines

SLOW = Digest("a1", "shop", "SELECT * FROM `orders` WHERE `name` = ?", 1000, 9_000_000, 200_000, 1000, 0)
QUICK = Digest("b2", "shop", "SELECT `name` FROM `orders` WHERE `id` = ?", 5000, 900_000, 5000, 5000, 0)
PLAN = QueryPlan(
    ["id", "select_type", "table", "type", "possible_keys", "key", "rows", "Extra"],
    [["1", "SIMPLE", "orders", "ALL", "", "", "200", "Using where\x1b[2J"]],
)


def watching(
    *more: Record, controls: MockControls | None = None, live: bool = True, facts: dict[str, str] | None = None
) -> ViewerApp:
    known = Environment(t_ns=S, session="local", facts={"calls": OF_PROCESSES} | (facts or {}))
    source = MemorySource([*monitor(), known, *more], live=live)
    spec = SessionSpec(name="local", kind="local", vcpus=2)
    source.header = Header(run="m", workload=WorkloadSpec(name=MONITOR), sessions=[spec], kind="monitor", host=TRAP)
    return ViewerApp(Player(source), controls, theme="kmltui-dark", glyph_set=UNICODE, threaded=False)


def told(t_s: int, *digests: Digest) -> Inside:
    return Inside(t_ns=t_s * S, session="local", digests=list(digests))


class TestThePlan:
    async def test_one_key_shows_that_of_the_marked_statement(self) -> None:
        controls = MockControls(PLAN)
        app = watching(told(5, SLOW, QUICK), controls=controls)
        async with app.run_test(size=(80, 24)) as pilot:
            app.pump(0)
            await pilot.press("u", "down", "x")
            await pilot.pause()
            first, second = app.main.pages["queries"].listed  # type: ignore[attr-defined]
            assert controls.explained == [second] != [first]
            assert isinstance(app.screen, Table)
            shown = "\n".join(plain(line) for line in app.screen.query_one(Lines).lines)
            assert "type           ALL" in shown and "possible_keys" not in shown, "what is empty is left out"
            assert "\x1b" not in shown
            await pilot.press("escape")
            assert isinstance(app.screen, MainScreen)

    async def test_why_there_is_none_is_said(self) -> None:
        app = watching(told(5, SLOW), controls=MockControls(RuntimeError("watcher may not read it: GRANT SELECT")))
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            app.pump(0)
            await pilot.press("u", "x")
            await pilot.pause()
            assert isinstance(app.screen, MainScreen)
            assert any("GRANT SELECT" in note.message for note in app._notifications)

    @pytest.mark.parametrize(("live", "keys"), [(False, "ux"), (True, "tx"), (True, "x")])
    async def test_nobody_is_asked_of_a_recording_or_where_no_statement_is_marked(self, live: bool, keys: str) -> None:
        controls = MockControls(PLAN)
        app = watching(told(5, SLOW), controls=controls, live=live)
        async with app.run_test(size=(80, 24)) as pilot:
            app.pump(0)
            await pilot.press(*keys)
            await pilot.pause()
            assert controls.explained == [] and isinstance(app.screen, MainScreen)

    async def test_the_mark_stays_with_its_statement_and_the_rest_is_reached(self) -> None:
        many = [Digest(f"{n:02}", "shop", f"SELECT {n} FROM t", n, n * 1000, n, n, 0) for n in range(40, 0, -1)]
        app = watching(told(5, *many), controls=MockControls())
        async with app.run_test(size=(80, 24)) as pilot:
            app.pump(0)
            page = app.main.pages["queries"]
            assert isinstance(page, QueriesPage)
            await pilot.press("u", "pagedown")
            marked = page.picked
            await pilot.press("S")
            assert page.picked == marked
            assert any(plain(line).startswith(UNICODE.play) for line in app.main.query_one("#body", Lines).lines)
            await pilot.press("pagedown", "pagedown", "pagedown", "pagedown")
            shown = "\n".join(plain(line) for line in app.main.query_one("#body", Lines).lines)
            assert "what system calls cost this server" in shown


@pytest.mark.parametrize("size", [(60, 40), (80, 24), (160, 48)])
async def test_a_grant_that_would_show_more_can_be_read_to_its_end(size: tuple[int, int]) -> None:
    account = "mysql://watcher@/var/run/mysqld/mysqld.sock"
    grants = {"digests": "SELECT ON performance_schema.*", "replication": "REPLICA MONITOR ON *.*"}
    facts = {
        f"absent {what}": f"{account} may not see it: GRANT {grant} TO that account" for what, grant in grants.items()
    }
    app = watching(facts=facts)
    async with app.run_test(size=size) as pilot:
        app.pump(0)
        await pilot.press("u")
        await pilot.pause()
        rows = [plain(line).rstrip() for line in app.main.query_one("#body", Lines).lines]
        shown = " ".join(" ".join(rows).split())
        assert all(
            f"no {what}: {account} may not see it: GRANT {grant} TO that account" in shown
            for what, grant in grants.items()
        )
        assert max(map(len, rows)) <= size[0]


class TestPictures:
    def test_an_account_with_few_rights_sees_what_would_show_more(self, picture: Picture) -> None:
        denied = {
            f"absent {what}": f"watcher may not see it: GRANT {grant} TO that account"
            for what, grant in (("digests", "SELECT ON performance_schema.*"), ("threads", "PROCESS ON *.*"))
        }
        assert picture(watching(facts=denied), "u", size=(80, 24))

    def test_a_plan(self, picture: Picture) -> None:
        app = watching(told(5, SLOW, QUICK), controls=MockControls(PLAN))
        assert picture(app, "u", "x", size=(80, 24))

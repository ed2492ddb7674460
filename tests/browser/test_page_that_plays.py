# SPDX-License-Identifier: GPL-2.0-or-later
"""The page that plays a recording, in a real browser: Debian's Chromium, opened from disk, without a network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_selenium_python import Axe
from run_samples import watched
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from kmltui import paths
from kmltui.figures.summarise import summarise
from kmltui.model import (
    End,
    Header,
    Log,
    Mark,
    Measure,
    Phase,
    Progress,
    Proof,
    Record,
    SessionSpec,
    State,
    WorkloadSpec,
)
from kmltui.recording import Reader
from kmltui.report import playable

pytestmark = pytest.mark.slow

SHIPPED = sorted(path.name for path in paths.data_dir("recordings").glob("*.kmlrec"))
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!-- \x1b[2J \u202e{{7*7}} ' \" & %"


def _page(records: list[Record], duration_ns: int) -> str:
    return playable.render(records, duration_ns, summarise(records))


def _shipped(name: str) -> str:
    with Reader.open(paths.data_dir("recordings") / name) as reader:
        return _page(list(reader.records()), reader.duration_ns)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--window-size=1100,1400",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def _open(browser: Chrome, page: str, where: Path) -> None:
    path = where / "page.html"
    path.write_text(page, encoding="utf-8")
    browser.get_log("browser")
    browser.get(path.as_uri())
    WebDriverWait(browser, 20).until(lambda b: b.execute_script("return document.documentElement.dataset.ready"))


def _complaints(browser: Chrome) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def _text(browser: Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def _figures(browser: Chrome) -> list[str]:
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, ".pane dd")]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recording_plays_without_a_complaint_and_is_small(
    browser: Chrome, tmp_path: Path, name: str
) -> None:
    page = _shipped(name)
    assert len(page.encode()) <= 1_000_000
    _open(browser, page, tmp_path)
    assert browser.find_elements(By.CSS_SELECTOR, ".pane")
    assert _complaints(browser) == []


def test_it_opens_at_the_end_with_the_verdict_of_the_report(browser: Chrome, tmp_path: Path) -> None:
    _open(browser, _shipped("wisconsin.kmlrec"), tmp_path)
    with Reader.open(paths.data_dir("recordings") / "wisconsin.kmlrec") as reader:
        summary = summarise(reader.records())
    assert _text(browser, "#head .verdict") == summary.verdict
    assert [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".pane h2")] == list(summary.sessions)
    queries = summary.sessions["kml"].queries
    assert f"{queries:,}" in _figures(browser)


def test_its_calls_are_those_of_the_report_and_figures_in_a_row_have_one_unit(browser: Chrome, tmp_path: Path) -> None:
    _open(browser, _shipped("wisconsin.kmlrec"), tmp_path)
    with Reader.open(paths.data_dir("recordings") / "wisconsin.kmlrec") as reader:
        calls = summarise(reader.records()).sessions["kml"].syscalls
    assert calls is not None
    rows = [row.text.split() for row in browser.find_elements(By.CSS_SELECTOR, "#calls tbody tr")]
    (read,) = (row for row in rows if row[0] == "read")
    assert read[3:] == [f"{calls.by_name['read'].trap:,}", f"{calls.by_name['read'].direct:,}"]
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.HOME)
    units: set[tuple[str, ...]] = set()
    for _ in range(24):
        body.send_keys(Keys.ARROW_RIGHT)
        both = [text for text in _figures(browser) if re.search("(µs|ms), ", text)]
        units.add(tuple(re.findall("µs|ms", " ".join(both))))
    assert all(len(set(row)) <= 1 for row in units), units


def test_of_a_machine_without_kml_nothing_is_said_of_direct_calls(browser: Chrome, tmp_path: Path) -> None:
    records = watched()
    _open(browser, _page(records, 20 * 10**9), tmp_path)
    text = _text(browser, "#player")
    assert "direct" not in text and "by trap" not in text
    head = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#calls th")]
    assert head == ["call", "local"]
    assert "What system calls cost this server" in _text(browser, "#report")
    assert "950" in _figures(browser), "the queries that the server counted"
    assert _complaints(browser) == []


def test_the_timeline_scrubs_by_mouse_and_by_the_screens_keys(browser: Chrome, tmp_path: Path) -> None:
    _open(browser, _shipped("wisconsin.kmlrec"), tmp_path)
    at_end = _figures(browser)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.HOME)
    assert _text(browser, "#clock").startswith("0:00")
    assert _figures(browser) != at_end
    body.send_keys(Keys.ARROW_RIGHT)
    assert _text(browser, "#clock").startswith("0:05")
    body.send_keys("]")
    assert "phase" in _text(browser, ".pane .note")
    browser.find_element(By.ID, "time").send_keys(Keys.END)
    assert _figures(browser) == at_end


def test_it_plays_to_the_end_and_stops(browser: Chrome, tmp_path: Path) -> None:
    _open(browser, _shipped("syscalls.kmlrec"), tmp_path)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.HOME)
    for _ in range(6):
        body.send_keys("+")
    body.send_keys(" ")
    WebDriverWait(browser, 60).until(lambda b: len(set(_text(b, "#clock").split(" / "))) == 1)
    assert _text(browser, "#play") == "Play"


def test_it_prints_with_the_report(browser: Chrome, tmp_path: Path) -> None:
    _open(browser, _shipped("wisconsin.kmlrec"), tmp_path)
    pdf = base64.b64decode(browser.print_page())
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2


@pytest.mark.parametrize("name", ["wisconsin.kmlrec", "syscalls.kmlrec"])
def test_a_screen_reader_can_use_it(browser: Chrome, tmp_path: Path, name: str) -> None:
    _open(browser, _shipped(name), tmp_path)
    axe = Axe(browser)
    axe.inject()
    found = axe.run()["violations"]
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_hostile_recording_changes_nothing_but_its_own_texts(browser: Chrome, tmp_path: Path) -> None:
    session = "kml" + HOSTILE
    records: list[Record] = [
        Header(
            run=HOSTILE,
            workload=WorkloadSpec(name=HOSTILE, loops=1, phases=[HOSTILE], statements=[HOSTILE]),
            sessions=[SessionSpec(name="stock"), SessionSpec(name=session, arm="kml")],
            title=HOSTILE,
        ),
        State(t_ns=1, session=session, state="running", detail=HOSTILE),
        Phase(t_ns=2, session="stock", name=HOSTILE, event="begin"),
        Progress(t_ns=3, session=session, phase=HOSTILE, queries=1, rows=1),
        Log(t_ns=4, session=session, source="console", text=HOSTILE),
        Mark(t_ns=5, note=HOSTILE, author=HOSTILE),
        Proof(t_ns=6, session=session, name=HOSTILE, subject=HOSTILE, value=HOSTILE),
        Measure(t_ns=7, session=session, name=HOSTILE, unit=HOSTILE, values={HOSTILE: 1.0}),
        End(t_ns=8, status="failed", reason=HOSTILE),
    ]
    page = _page(records, 8)
    assert "\x1b" not in page
    assert "\u202e" not in page
    _open(browser, page, tmp_path)
    assert browser.title.endswith("– kmltui")
    assert browser.title != "owned"
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert _complaints(browser) == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2


def test_the_page_may_load_nothing(browser: Chrome, tmp_path: Path) -> None:
    _open(browser, _shipped("wisconsin.kmlrec"), tmp_path)
    blocked = browser.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', e => done(e.effectiveDirective));"
        "const s = document.createElement('img'); s.src = 'http://127.0.0.1:9/x'; document.body.append(s);"
    )
    assert blocked == "img-src"


def test_the_data_is_what_the_screen_shows() -> None:
    with Reader.open(paths.data_dir("recordings") / "wisconsin.kmlrec") as reader:
        page = _page(list(reader.records()), reader.duration_ns)
        summary = summarise(reader.records())
    found = re.search(r'<script type="application/json" id="course">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    for session in data["sessions"]:
        lengths = {len(session[name]) for name in ("trap", "direct", "queries", "trapped", "directly", "cpu_ms")}
        assert lengths == {len(data["t"])}
        figures = summary.sessions[session["name"]]
        assert session["done"][-1] == figures.queries

# SPDX-License-Identifier: GPL-2.0-or-later
"""What Prometheus gets to see of a run."""

from __future__ import annotations

import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from made_up_run import header as made_up_header
from made_up_run import run
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from run_samples import sample, two_sessions

from kmltui.model import Header, KmlCounters, Record
from kmltui.runner.exporter import BUCKETS_US, MOST_CALLS, Exporter, check_address, parse_address

Found = dict[tuple[str, frozenset[tuple[str, str]]], float]


def exposed(records: list[Record]) -> tuple[str, Found]:
    """The text that is served, and its values by name and labels."""
    exporter = Exporter()
    for record in records:
        exporter.hear(record)
    registry = CollectorRegistry()
    registry.register(exporter)
    text = generate_latest(registry).decode()
    found = {
        (one.name, frozenset(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    return text, found


def value(found: Found, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def until_end() -> list[Record]:
    """A run up to its end, with what a trap costs in its header."""
    first, *records = two_sessions()
    assert isinstance(first, Header)
    return [replace(first, host={"trap_ns": "80.0 to 100.0"}), *records[:-1]]


def test_calls_are_counted_by_name_and_by_trap_or_direct() -> None:
    _, found = exposed(until_end())
    assert value(found, "kmltui_system_calls_total", session="stock", call="recvfrom", way="trap") == 900_050
    assert value(found, "kmltui_system_calls_total", session="kml", call="recvfrom", way="direct") == 891_000
    assert value(found, "kmltui_elevations_total", session="kml") == 90_000


def test_cpu_time_and_queries_are_the_recordings() -> None:
    _, found = exposed(until_end())
    assert value(found, "kmltui_cpu_seconds_total", session="stock", group="server") == 500
    assert value(found, "kmltui_cpu_mode_seconds_total", session="stock", group="server", mode="system") == 125
    assert value(found, "kmltui_queries_total", session="kml") == 41_010


def test_the_cost_of_traps_is_a_bound_by_the_slower_timing() -> None:
    _, found = exposed(until_end())
    traps = 900_050 + 9
    assert value(found, "kmltui_trap_cost_bound_seconds_total", session="stock") == pytest.approx(traps * 100e-9)
    text, _ = exposed(two_sessions()[:-1])
    assert "trap_cost" not in text, "where no trap was timed nothing is said of its cost"


def test_the_latency_histogram_holds_every_query() -> None:
    _, found = exposed([made_up_header(), *run(30)])
    count = value(found, "kmltui_query_duration_seconds_count", session="stock")
    assert count > 1000
    name = "kmltui_query_duration_seconds_bucket"
    below = [value(found, name, session="stock", le=str(us / 1e6)) for us in BUCKETS_US]
    assert below == sorted(below) and below[-1] == count
    assert 0 < value(found, "kmltui_query_duration_seconds_sum", session="stock") / count < 0.01


def test_the_number_of_names_is_bounded() -> None:
    first = until_end()[0]
    many = sample("stock", 1)
    many = replace(many, kml=KmlCounters(trap_nr=dict.fromkeys(range(300), 1)))
    _, found = exposed([first, many])
    calls = [labels for name, labels in found if name == "kmltui_system_calls_total"]
    assert len(calls) == MOST_CALLS + 1
    assert value(found, "kmltui_system_calls_total", session="stock", call="other", way="trap") == 200


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool, of Debian's package prometheus")
def test_promtool_finds_nothing_to_complain_of() -> None:
    text, _ = exposed([made_up_header(), *run(30)])
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serving(port: int) -> Iterator[Exporter]:
    exporter = Exporter()
    exporter.serve(str(port))
    yield exporter
    exporter.close()


def test_it_is_served_on_this_machine_alone(serving: Exporter, port: int) -> None:
    for record in until_end():
        serving.hear(record)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"kmltui_queries_total" in answer.read()
    with pytest.raises(OSError, match="in use"):
        check_address(str(port))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("host:1", ("host", 1)),
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_an_address_is_a_port_or_more(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "0", "65536", "a:b", "::1:9464", "host:80/path", "http://host:80"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        parse_address(text)

# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs through the command line, as a user or a script starts them: the contract of ``run`` and ``report``, and
what is left after Ctrl-C, SIGKILL and a dying guest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kmltui.model import Log, Mark
from kmltui.recording import Reader

from .conftest import own_home

START_LIMIT_S = 240
END_LIMIT_S = 60


@pytest.fixture
def state(tmp_path):
    """A list of runs of this test's own."""
    with own_home(tmp_path / "home"):
        yield tmp_path


def kmltui(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "kmltui", *map(str, arguments)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip


def start(image, *arguments, **options):
    """A headless run in the background; its lines come from ``stderr``."""
    given = ("--image", image.name, "--tables", "ready", *arguments)
    command = [sys.executable, "-m", "kmltui", "run", "--headless", *map(str, given)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)


def guests(process):
    """The QEMU processes below ``process``."""
    with contextlib.suppress(psutil.Error):
        return [child for child in psutil.Process(process.pid).children(recursive=True) if "qemu" in child.name()]
    return []


def wait_for(process, text):
    """Read the run's lines until one has ``text``; all lines so far."""
    lines = []
    deadline = time.monotonic() + START_LIMIT_S
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
        assert time.monotonic() < deadline, "".join(lines)
    raise AssertionError(f"the run ended without {text!r}:\n" + "".join(lines))


def ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not alive


def report(path):
    done = kmltui("report", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Of the session, not of the module: pytest mixes tests of several modules, and each return would be a run of its own.
@pytest.fixture(scope="session")
def finished(image, tmp_path_factory):
    """One complete run of both sessions, used by several tests; without the inserts, which take minutes in emulation
    (test_workloads.py has them, by hand)."""
    path = tmp_path_factory.mktemp("run") / "full.kmlrec"
    begun = time.time()
    done = kmltui("run", "--headless", "--image", image.name, "--loops", "2", "--tables", "ready", "--out", path)
    assert done.returncode == 0, done.stderr
    return path, done.stderr, begun


def test_a_complete_run_keeps_the_contract_of_the_report(finished):
    path, _, _ = finished
    found = report(path)
    assert found["run"]["workload"] == "wisconsin"
    assert found["run"]["loops"] == 2
    assert found["run"]["duration_s"] > 0
    for name in ("stock", "kml"):
        session = found["sessions"][name]
        cpu = session["cpu_s"]
        for part in ("total", "user", "system"):
            assert cpu[part] == pytest.approx(session["server"][part] + session["client"][part], abs=1e-5)
        assert cpu["total"] > 0.1
        assert len(session["per_cpu"]) >= 1
        assert session["queries"] >= 10 * 2 + 14
        assert session["queries_per_s"] > 0
        assert session["duration_s"] > 0
        by_name = session["syscalls"]["by_name"]
        assert sum(call["trap"] for call in by_name.values()) == session["syscalls"]["trap"]
        assert sum(call["direct"] for call in by_name.values()) == session["syscalls"]["direct"]
    saved = found["saved"]
    stock, kml = (found["sessions"][name]["cpu_s"]["total"] for name in ("stock", "kml"))
    assert saved["total"] == pytest.approx(1 - kml / stock)
    assert set(saved) == {"total", "user", "system"}


def test_ring_0_is_real_and_calls_are_direct(finished):
    sessions = report(finished[0])["sessions"]
    assert sessions["stock"]["ring"] == 3
    assert sessions["kml"]["ring"] == 0
    assert sessions["stock"]["syscalls"]["direct"] == 0
    assert sessions["kml"]["syscalls"]["direct"] > 100 * sessions["kml"]["syscalls"]["trap"]
    assert sessions["kml"]["elevations"] > 0
    assert sessions["stock"]["elevations"] == 0


def test_both_sessions_did_the_same_work(finished):
    sessions = report(finished[0])["sessions"]
    assert sessions["stock"]["queries"] == sessions["kml"]["queries"]
    assert sessions["stock"]["rows"] == sessions["kml"]["rows"] == 2 * 15_202
    calls = {name: s["syscalls"]["trap"] + s["syscalls"]["direct"] for name, s in sessions.items()}
    assert calls["kml"] == pytest.approx(calls["stock"], rel=0.05)


def test_a_headless_run_tells_its_phases_and_proofs(finished):
    _, lines, _ = finished
    for text in ("booting", "select: ", "change: ", "ring of mariadbd, read inside it: 0", "done: "):
        assert text in lines


def test_files_are_copied_into_the_guests_of_a_live_run(image, tmp_path):
    path, word, program = tmp_path / "run.kmlrec", tmp_path / "word", tmp_path / "said"
    word.write_text("here it is\n")
    program.write_text("#!/bin/sh\ncat /opt/word\n")
    program.chmod(0o755)
    script = "until [ -e /opt/word ] && [ -x /opt/said ]; do sleep 0.1; done; /opt/said"
    name = f"copy-{os.getpid()}"
    started = ("run", "--detach", "--name", name, "--image", image.name, "--out", path, "--", "/bin/sh", "-c", script)
    assert kmltui(*started).returncode == 0
    try:
        deadline = time.monotonic() + 120
        while (first := kmltui("guest", "cp", word, program, "kml:/opt/", "--run", name)).returncode:
            assert "that is up" in first.stderr and time.monotonic() < deadline, first.stderr
            time.sleep(0.5)
        while (second := kmltui("guest", "cp", program, "stock:/opt/said", "--run", name)).returncode:
            assert "that is up" in second.stderr and time.monotonic() < deadline, second.stderr
            time.sleep(0.5)
        nowhere = kmltui("guest", "cp", word, "other:/opt/word", "--run", name)
        assert nowhere.returncode == 1 and "its guests are stock, kml" in nowhere.stderr
        not_there = kmltui("guest", "cp", word, "stock:/proc/no-such-place", "--run", name)
        assert not_there.returncode == 1 and "/proc/no-such-place" in not_there.stderr
        assert kmltui("guest", "cp", word, "stock:/opt/word", "--run", name).returncode == 0
    except BaseException:
        kmltui("stop", name)
        raise
    deadline = time.monotonic() + 60
    while report(path)["run"]["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    with Reader.open(path) as reader:
        records = list(reader.records())
    assert [r.text for r in records if isinstance(r, Log) and r.source == "client"] == ["here it is"] * 2
    assert any(isinstance(r, Mark) and "put into kml: /opt/word, /opt/said" in r.note for r in records)


@pytest.mark.parametrize("format", ["text", "markdown", "html"])
def test_reports_show_the_article_beside_the_run(finished, format):
    done = kmltui("report", finished[0], "--format", format)
    assert done.returncode == 0
    for figure in ("753.86", "728.61", "142.08", "122.66"):
        assert figure in done.stdout


@pytest.mark.parametrize("moment", ["starting QEMU", "starting MariaDB", "running"])
def test_ctrl_c_at_any_moment_leaves_a_closed_recording_and_no_guest(state, image, moment):
    path = state / "cut.kmlrec"
    process = start(image, "--loops", 1000, "--out", path)
    wait_for(process, moment)
    machines = guests(process)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=END_LIMIT_S)
    assert process.returncode == 1
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert ended(machines)
    (run,) = json.loads(kmltui("ls", "--json").stdout)
    assert run["state"] == "stopped"
    assert kmltui("report", path).returncode == 0


def test_a_killed_runner_is_listed_as_lost_and_takes_its_guests_along(state, image):
    path = state / "lost.kmlrec"
    process = start(image, "--loops", 1000, "--out", path)
    wait_for(process, "running")
    time.sleep(3)
    machines = guests(process)
    assert len(machines) == 2
    process.kill()
    process.communicate()
    assert ended(machines)
    (run,) = json.loads(kmltui("ls", "--json").stdout)
    assert run["state"] == "lost"
    assert run["duration_s"] > 3
    assert kmltui("report", path).returncode == 0


def test_a_lost_guest_fails_the_run_which_says_so(state, image):
    path = state / "gone.kmlrec"
    process = start(image, "--loops", 1000, "--out", path)
    wait_for(process, "running")
    first, second = guests(process)
    first.kill()
    _, rest = process.communicate(timeout=END_LIMIT_S)
    assert process.returncode == 1
    assert "QEMU has ended" in rest
    assert ended([second])
    (run,) = json.loads(kmltui("ls", "--json").stdout)
    assert run["state"] == "failed"


def test_two_runs_at_once_both_work_and_stop_by_name(state, image):
    runs = [start(image, "--arms", arm, "--name", f"at-once-{arm}", "--loops", 1000) for arm in ("stock", "kml")]
    for process in runs:
        wait_for(process, "running")
    assert {run["state"] for run in json.loads(kmltui("ls", "--json").stdout)} == {"live"}
    for process, arm in zip(runs, ("stock", "kml"), strict=True):
        assert kmltui("mark", f"at-once-{arm}", "seen").returncode == 0
        stopped = kmltui("stop", f"at-once-{arm}")
        assert stopped.returncode == 0, stopped.stderr
        process.communicate(timeout=END_LIMIT_S)
    assert [run["state"] for run in json.loads(kmltui("ls", "--json").stdout)] == ["stopped", "stopped"]


def test_a_detached_run_outlives_its_starter_and_can_be_streamed(state, image):
    arguments = ("--image", image.name, "--arms", "stock", "--name", "away", "--loops", 1000)
    done = kmltui("run", "--detach", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "away\n"
    deadline = time.monotonic() + START_LIMIT_S
    while json.loads(kmltui("ls", "--json").stdout)[0]["duration_s"] < 5:
        assert time.monotonic() < deadline
        time.sleep(1)
    copy = state / "copy.kmlrec"
    with copy.open("wb") as file:
        stream = subprocess.Popen([sys.executable, "-m", "kmltui", "stream", "away"], stdout=file)
    time.sleep(2)
    assert kmltui("stop", "away").returncode == 0
    stream.wait(END_LIMIT_S)
    assert kmltui("report", copy).returncode == 0


def test_the_password_is_nowhere(state, image):
    """It is made at random, so what can be looked for is the places: no argument and no file of the run has one."""
    path = state / "secret.kmlrec"
    process = start(image, "--arms", "stock", "--loops", 1000, "--out", path)
    wait_for(process, "running")
    words = [word for machine in guests(process) for word in machine.cmdline()]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=END_LIMIT_S)
    assert not [word for word in words if "password" in word.lower()]
    exported = kmltui("export", path, "--format", "jsonl").stdout
    assert "IDENTIFIED BY" not in exported
    assert "password=" not in exported.lower()


def test_environment_is_not_needed_to_find_python(finished):
    """A run's processes inherit a scrubbed environment in cron and systemd; only HOME-like settings may matter."""
    path, _, _ = finished
    environment = {key: os.environ[key] for key in ("HOME",) if key in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "kmltui", "report", str(Path(path))], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr

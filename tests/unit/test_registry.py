# SPDX-License-Identifier: GPL-2.0-or-later
"""The register of runs."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time

import pytest
from recording_samples import HEADER

from kmltui import paths
from kmltui.model import SessionSpec
from kmltui.recording import Writer, library
from kmltui.runner import listing, monitor, registry
from kmltui.runner.launch import LaunchError, launch


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    return tmp_path


def entry(home, name, created=1):
    recording = home / f"{name}.kmlrec"
    recording.touch()
    return registry.register(name, recording, created)


def test_a_registered_run_is_found_and_alive(home):
    entry(home, "20260101-100000-wisconsin")
    found = registry.find("20260101-100000-wisconsin")
    assert found.alive
    assert found.recording.endswith("wisconsin.kmlrec")


def test_runs_are_listed_newest_first(home):
    entry(home, "old", 1)
    entry(home, "new", 2)
    assert [run.name for run in registry.entries()] == ["new", "old"]


def test_a_name_may_be_shortened_while_it_is_unique():
    runs = ["20260101-wisconsin", "20260102-syscalls"]
    assert registry.choose("20260102", runs) == "20260102-syscalls"
    assert registry.choose("wisconsin", runs) == "20260101-wisconsin"
    with pytest.raises(LookupError, match="several"):
        registry.choose("2026", runs)
    with pytest.raises(LookupError, match="kmltui ls"):
        registry.choose("nothing", runs)


def test_a_run_that_is_to_be_stopped_or_marked_is_named_in_full(home):
    entry(home, "20260101-wisconsin")
    with pytest.raises(LookupError, match="write the name in full: 20260101-wisconsin"):
        registry.find("wisconsin")
    with pytest.raises(LookupError, match="kmltui ls"):
        registry.find("nothing")


def test_a_run_whose_process_cannot_be_seen_goes_on_while_its_recording_is_written(home, monkeypatch):
    """From a container with the same files, say: pids and the times of starts are others there."""
    with Writer.create(home / "r.kmlrec", HEADER):
        registry.register("r", home / "r.kmlrec", 1)
        registry.socket_path("r").touch()
        monkeypatch.setattr(registry, "began", lambda pid: "elsewhere 1")
        assert registry.find("r").alive
        with pytest.raises(FileExistsError):
            registry.reserve("r")
        registry.tidy()
        assert registry.socket_path("r").exists(), "it can still be stopped"
    assert not registry.find("r").alive
    registry.tidy()
    assert not registry.socket_path("r").exists()


def test_a_process_is_known_by_the_boot_and_the_tick_of_its_start(monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = registry.began(process.pid)
    boot, tick = began.rsplit(" ", 1)
    assert boot and tick.isdigit()
    # No wall clock is asked, so none that is set moves a live run out of reach.
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert registry.began(process.pid) == began
    assert registry.began(os.getpid()) != began, "another process began at another moment"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert registry.began(process.pid) == "", "a zombie runs nothing"
    process.wait()
    assert registry.began(process.pid) == ""


def test_a_process_of_another_boot_is_not_the_runner(home, monkeypatch):
    found = entry(home, "a")
    assert found.alive
    monkeypatch.setattr(registry, "_boot_id", lambda: "another")
    assert not found.alive


def test_what_is_registered_is_private(home):
    entry(home, "a")
    directory = paths.state_dir() / "register"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in directory.glob("*.json")} == {0}


def test_names_of_one_second_differ_and_are_taken_at_once(home, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda form: "20260101-100000")
    script = "import time; time.strftime = lambda form: '20260101-100000'; "
    script += "from kmltui.runner import registry; print(registry.new_name('monitor'), flush=True); input()"
    others = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    names = [registry.new_name("monitor"), *(other.stdout.readline().strip() for other in others)]
    assert sorted(names) == ["20260101-100000-monitor", *(f"20260101-100000-monitor-{n}" for n in range(2, 6))]
    assert registry.entries() == [], "a name is no run yet"
    for other in others:
        other.communicate("\n")
    registry.reserve(names[0])  # one's own once more


def test_who_comes_second_leaves_the_first_ones_log_alone(home, monkeypatch):
    entry(home, "same")
    log = registry.log_path("same")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("what the first one says")
    plan = monitor.plan(None, name="same", duration_s=1, sample_period_ns=10**9, out=home / "other.kmlrec")
    with pytest.raises(LaunchError, match="is live"):
        asyncio.run(launch(plan))
    assert log.read_text() == "what the first one says"


def test_the_process_that_is_started_takes_the_name_over(home):
    name = registry.new_name("x")
    script = "import sys; from pathlib import Path; from kmltui.runner import registry; "
    script += "name, path = sys.argv[1], Path(sys.argv[2]); path.touch(); registry.register(name, path, 1); "
    script += "print(registry.find(name).alive)"
    command = [sys.executable, "-c", script, name, str(home / "r")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_damaged_entries_and_lost_files_are_passed_over(home):
    entry(home, "good")
    directory = paths.state_dir() / "register"
    (directory / "bad.json").write_bytes(b"\x00{")
    assert [run.name for run in registry.entries()] == ["good"]


def test_the_runtime_directory_is_private(home):
    assert paths.runtime_dir().stat().st_mode & 0o777 == 0o700


def test_a_runtime_directory_of_somebody_else_is_not_used(home, monkeypatch):
    (home / "run").symlink_to(home)
    assert paths.runtime_dir() != home / "run"


def test_the_name_of_a_live_run_is_not_given_twice(home):
    first = entry(home, "same")
    with pytest.raises(FileExistsError, match="is live"):
        entry(home, "same")
    assert registry.find("same") == first
    assert {path.name for path in (paths.state_dir() / "register").iterdir()} == {"lock", "same.json"}


def test_the_name_of_a_run_that_is_over_is_free(home, monkeypatch):
    entry(home, "same", 1)
    monkeypatch.setattr(registry, "began", lambda pid: "")
    assert entry(home, "same", 2).created_unix_ns == 2
    assert [run.created_unix_ns for run in registry.entries()] == [2]


def test_a_process_that_goes_on_after_its_run_gives_the_name_back(home):
    entry(home, "again")
    registry.release("again")
    assert not registry.find("again").alive
    entry(home, "again")
    assert registry.find("again").alive


def test_without_a_runtime_directory_sockets_are_in_a_private_one_below_the_temporary(home, monkeypatch, tmp_path):
    monkeypatch.delenv("KMLTUI_HOME")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert paths.runtime_dir() == tmp_path / f"kmltui-{os.getuid()}"


def test_what_a_killed_run_has_left_is_removed(home, monkeypatch):
    killed, deleted = entry(home, "killed"), entry(home, "deleted")
    for left in (killed, deleted):
        left.socket.touch()
        registry.log_path(left.name).parent.mkdir(exist_ok=True)
        registry.log_path(left.name).touch()
    (home / "deleted.kmlrec").unlink()
    registry.tidy()
    assert killed.socket.exists(), "a live run keeps what it has"
    monkeypatch.setattr(registry, "began", lambda pid: "")
    registry.tidy()
    assert not killed.socket.exists()
    assert registry.log_path("killed").exists()
    assert not registry.log_path("deleted").exists()
    assert [path.stem for path in (paths.state_dir() / "register").glob("*.json")] == ["killed"]


def test_a_run_with_many_sessions_takes_no_more_room_in_the_list(home):
    sessions = tuple(SessionSpec(name=f"session-{number}") for number in range(500))
    row = library.Entry(path=home / "a.kmlrec", state="done", size_bytes=1, modified_unix_ns=1, sessions=sessions)
    assert max(map(len, listing.table([row]).splitlines())) < 120

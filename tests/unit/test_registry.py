"""The register of runs."""

import os
import subprocess
import sys
import tempfile

import psutil
import pytest

from kmltui import paths
from kmltui.runner import registry


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


def test_a_name_may_be_shortened_while_it_is_unique(home):
    entry(home, "20260101-wisconsin")
    entry(home, "20260102-syscalls")
    assert registry.find("20260102").name == "20260102-syscalls"
    assert registry.find("wisconsin").name == "20260101-wisconsin"
    with pytest.raises(LookupError, match="several"):
        registry.find("2026")
    with pytest.raises(LookupError, match="kmltui ls"):
        registry.find("nothing")


def test_a_recycled_pid_is_not_the_runner():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(process.pid).create_time()
    assert registry.is_process(process.pid, started)
    assert not registry.is_process(process.pid, started - 60)
    process.kill()
    process.wait()
    assert not registry.is_process(process.pid, started)


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
    assert not list((paths.state_dir() / "register").glob("*.new"))


def test_the_name_of_a_run_that_is_over_is_free(home, monkeypatch):
    entry(home, "same", 1)
    monkeypatch.setattr(registry, "is_process", lambda pid, started: False)
    assert entry(home, "same", 2).created_unix_ns == 2
    assert [run.created_unix_ns for run in registry.entries()] == [2]


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
    monkeypatch.setattr(registry, "is_process", lambda pid, started: False)
    registry.tidy()
    assert not killed.socket.exists()
    assert registry.log_path("killed").exists()
    assert not registry.log_path("deleted").exists()
    assert [path.stem for path in (paths.state_dir() / "register").iterdir()] == ["killed"]
